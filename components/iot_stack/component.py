"""`IoTStack`: the containers of a site, from rendered files to running services."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components._docker import Runner
from components._files import File
from components._guest import Guest
from components._influxdb import (
    ADMIN,
    APPLY_USERS,
    INFLUXDB_CONF,
    INFLUXDB_PORT,
    MAKE_USERS,
    Grant,
    Retention,
    influxdb,
    user_files,
)
from components._mender import APPLY_MENDER, mender_files
from components._own import own_files
from components._page import NAMES, internal_ports, page_files, page_service
from components._services import LOOPBACK
from components.iot_stack import containers, services
from components.iot_stack.containers import hook_files, reserve
from components.iot_stack.mosquitto import mosquitto_files
from components.iot_stack.telegraf import DATABASE, telegraf_files, tunnel_files
from components.iot_stack.users import broker_users
from config import derive
from config.derive import COLLECTOR, CertifiedKey, Purpose, Seed
from config.iot import Iot, Page
from config.site import Epochs, Network
from services._settings import Database

#: Who reads the site's readings, beside the administrator.
_READERS = ("reader", "uplink", "page")


@dataclass(frozen=True, kw_only=True)
class IoTStackArgs:
    """What the containers are made of: the site's sections, the seed of its passwords, and the node they run on.

    `headquarters` is where the site's summaries go.
    """

    iot: Iot
    epochs: Epochs
    seed: Seed
    former_seed: Seed | None
    network: Network
    headquarters: Database
    guest: Guest


class IoTStack(pulumi.ComponentResource):
    """Broker, collector, database, alarms, uplink and page of one site.

    Attributes:
        endpoints: where sensors and people on the node reach them.
        certificate_authority: what a sensor and a browser trust, PEM.
        page_pin: what people type to acknowledge an alarm.
    """

    endpoints: dict[str, str]
    certificate_authority: str
    page_pin: pulumi.Output[str] | None

    def __init__(self, name: str, args: IoTStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:IoTStack", name, None, opts)
        self._site = name
        self._args = args
        self._addresses = containers.broker_addresses(args.network)
        self._runner = Runner.on(args.guest, site=name, parent=self)
        then = f"{reserve(args.iot.queued_messages)} && {APPLY_MENDER}"
        args.guest.install(f"{name}-hooks", [*hook_files(), *mender_files()], then=then, parent=self)
        authority = self._authority()
        container, users = self._database(), self._database_users()
        broker, database = self._broker(authority), self._make_users(users, after=[container])
        writers = [self._collector(after=[broker, database]), self._tunnel_figures(after=[database])]
        self._remove_former_users(users, after=writers)
        self._alarms(after=[broker])
        self._uplink(after=[broker, database])
        self.page_pin = None
        self.certificate_authority = authority.certificate
        self.endpoints = {
            "mqtt": f"mqtts://{self._addresses[-1]}:{containers.MQTT_TLS_PORT}",
            "influxdb": f"http://{LOOPBACK}:{INFLUXDB_PORT} (on the node)",
        }
        if args.iot.page:
            self.page_pin = pulumi.Output.secret(self._page(args.iot.page, authority, after=[broker]))
            self.endpoints["page"] = f"https://{self._addresses[-1]}"
        self.register_outputs({"endpoints": self.endpoints})

    def _authority(self) -> CertifiedKey:
        life = self._args.iot.certificates
        return derive.certificate_authority(
            self._args.seed,
            self._site,
            self._args.epochs.mqtt_authority,
            not_before=life.not_before,
            not_after=life.not_after,
        )

    def _mqtt_user(self, user: str) -> derive.MqttUser:
        return derive.mqtt_user(self._args.seed, self._site, user, self._args.epochs.passwords)

    def _collector_account(self) -> tuple[str, str]:
        return derive.collector_account(self._args.seed, self._site, self._args.epochs.passwords)

    def _influxdb_password(self, user: str) -> str:
        return derive.influxdb_password(self._args.seed, self._site, user, self._args.epochs.passwords)

    def _broker(self, authority: CertifiedKey) -> pulumi.Resource:
        iot = self._args.iot
        server = derive.server_certificate(
            self._args.seed,
            self._site,
            self._args.epochs.mqtt_server,
            authority=authority,
            names=["mosquitto", "localhost", *iot.server_names],
            addresses=self._addresses,
            not_before=iot.certificates.not_before,
            not_after=iot.certificates.not_after,
        )
        lan = self._args.network.lan
        ports = containers.broker_ports(self._addresses, lan.address.ip if lan and iot.plain_mqtt else None)
        files = mosquitto_files(
            broker_users(iot, self._site, self._mqtt_user),
            authority,
            server,
            ports=ports,
            queued_messages=iot.queued_messages,
        )
        service = containers.mosquitto(iot.images, ports)
        return self._runner.run(service, service.files(files))

    def _database(self) -> pulumi.Resource:
        service = influxdb(self._args.iot.images.pulled("influxdb"))
        return self._runner.run(service, service.files({"influxdb.conf": INFLUXDB_CONF}))

    def _database_users(self) -> list[File]:
        """The database's users, as files."""
        writer, password = self._collector_account()
        users = {
            writer: Grant(databases=[DATABASE], privilege="WRITE", password=password),
            **{
                name: Grant(databases=[DATABASE], privilege="READ", password=self._influxdb_password(name))
                for name in _READERS
            },
        }
        kept = self._args.iot.storage
        admin, *former = derive.influxdb_passwords(
            self._args.seed, self._args.former_seed, self._site, ADMIN, self._args.epochs.passwords
        )
        return user_files(
            users,
            admin=admin,
            former_admins=former,
            retention={DATABASE: Retention(days=kept.retention_days, shard_hours=kept.shard_hours)},
        )

    def _make_users(self, users: Sequence[File], after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """What depends on it can read and write; a collector that was there before can still write."""
        name = f"{self._site}-influxdb-users"
        return self._args.guest.install(name, users, then=MAKE_USERS, parent=self, depends_on=after)

    def _remove_former_users(self, users: Sequence[File], after: Sequence[pulumi.Resource]) -> None:
        name = f"{self._site}-influxdb-former-users"
        self._args.guest.install(name, users, then=APPLY_USERS, parent=self, depends_on=after)

    def _collector(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        service = containers.telegraf(self._args.iot.images)
        files = telegraf_files(self._args.iot, self._mqtt_user(COLLECTOR), self._collector_account())
        return self._runner.run(service, service.files(files), depends_on=after)

    def _tunnel_figures(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        service = containers.tunnel_figures(self._args.iot.images)
        files = tunnel_files(self._collector_account())
        return self._runner.run(service, service.files(files), depends_on=after)

    def _alarms(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        iot = self._args.iot
        settings = services.alarm_settings(
            iot,
            self._site,
            self._mqtt_user,
            certificates={
                "mqtt": iot.certificates.not_after.isoformat(),
                **({"page": iot.page.certificate.not_after.isoformat()} if iot.page else {}),
            },
            webhook_key=derive.webhook_key(self._args.seed, self._site, self._args.epochs.passwords),
        )
        service = containers.alarms(iot.images)
        files = own_files(settings)
        return self._runner.run(service, service.files(files), depends_on=after)

    def _uplink(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """It waits for no tunnel: headquarters may be out of reach for weeks."""
        settings = services.uplink_settings(
            self._args.iot,
            self._site,
            self._mqtt_user,
            influxdb_password=self._influxdb_password("uplink"),
            headquarters=self._args.headquarters,
        )
        service = containers.uplink(self._args.iot.images)
        files = own_files(settings)
        return self._runner.run(service, service.files(files), depends_on=after)

    def _page(self, page: Page, authority: CertifiedKey, after: Sequence[pulumi.Resource]) -> str:
        """The page; returns the PIN."""
        iot, epochs = self._args.iot, self._args.epochs
        server = derive.server_certificate(
            self._args.seed,
            self._site,
            epochs.mqtt_server,
            purpose=Purpose.PAGE_SERVER,
            authority=authority,
            names=[*NAMES, *iot.server_names],
            addresses=self._addresses,
            not_before=page.certificate.not_before,
            not_after=page.certificate.not_after,
        )
        pin = derive.page_pin(self._args.seed, self._site, epochs.passwords)
        service = page_service(iot.images.pulled("services"), self._addresses)
        settings = services.page_settings(
            iot,
            self._site,
            self._mqtt_user,
            influxdb_password=self._influxdb_password("page"),
            pin=pin,
            ports=internal_ports(service),
        )
        files = page_files(settings, authority, server)
        self._runner.run(service, service.files(files), depends_on=after)
        return pin
