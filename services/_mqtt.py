"""A service's session with the site's broker: a name of its own, a last will."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from services._settings import Broker

KEEPALIVE_SECONDS = 15


def status_topic(site: str, service: str) -> str:
    """Where a service says, retained, how it does; its last will says `{"up": false}` there."""
    return f"status/{site}/{service}"


def session(
    broker: Broker,
    *,
    site: str,
    service: str,
    topics: Sequence[tuple[str, int]],
    received: Callable[[MQTTMessage], None],
    persistent: bool = False,
    begun: Callable[[], None] | None = None,
) -> Client:
    """Begin a session that comes back by itself after every loss; start it with `loop_start()`.

    Args:
        broker: where, and who.
        site: the site's name.
        service: the service's name, which is the session's too.
        topics: what it subscribes to at each connect, in this order, each with its QoS.
        received: called with each message; never raises.
        persistent: whether the broker keeps what comes in while the service is away; the service then acknowledges each
            message itself, by `client.ack`, once it needs it no more.
        begun: called at each connect, before any message of it is received.
    """

    def connected(client: Client, _: object, __: ConnectFlags, code: ReasonCode, ___: Properties | None) -> None:
        if not code.is_failure:
            if begun:
                begun()
            client.subscribe(list(topics))
            tell(client, site, service)

    def arrived(_: Client, __: object, message: MQTTMessage) -> None:
        received(message)

    client = Client(CallbackAPIVersion.VERSION2, service, clean_session=not persistent, protocol=MQTTv311)
    client.manual_ack_set(persistent)
    client.on_connect = connected
    client.on_message = arrived
    client.username_pw_set(broker.user, broker.password)
    client.will_set(status_topic(site, service), json.dumps({"up": False}), qos=1, retain=True)
    client.reconnect_delay_set(1, 5)
    client.max_queued_messages_set(10_000)
    client.connect_async(broker.host, broker.port, KEEPALIVE_SECONDS)
    return client


def tell(client: Client, site: str, service: str, more: Mapping[str, Any] | None = None) -> None:
    """Say how a service does; `time` is epoch ms."""
    status = {"up": True, "time": time.time_ns() // 1_000_000, **(more or {})}
    client.publish(status_topic(site, service), json.dumps(status), qos=1, retain=True)
