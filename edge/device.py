"""The site's devices: what each measures and its limits; a further one; what one needs to log in."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.iot_stack.containers import MQTT_PORT, MQTT_TLS_PORT, broker_addresses
from config import derive
from config.iot import Iot
from config.loader import parse_section
from config.yaml_text import read_text
from edge.site import SECTION, EdgeError, Site, read_config, table
from edge.stack_file import append, put

_IOT = ("config", SECTION, "iot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the sensors of the stack file")
    listing.add_argument("--json", action="store_true", help="for scripts")
    listing.set_defaults(action=_list)
    adding = actions.add_parser("add", help="write a further sensor into the stack file")
    adding.add_argument("id", help="its name, and its user at the broker")
    adding.add_argument("--pen", required=True, help="where it hangs")
    adding.add_argument("--new-pen", action="store_true", help="the pen is new at this site, and is written too")
    adding.add_argument("--quantity", required=True, action="append", help="what it measures; again for each further")
    adding.add_argument("--every", type=int, metavar="SECONDS", help="how often it sends each of them")
    adding.add_argument("--unit", help="of a quantity that is new at this site")
    adding.add_argument("--low", type=float, help="alarm below it: for this sensor, or for all of a new quantity")
    adding.add_argument("--high", type=float, help="alarm above it, likewise")
    adding.set_defaults(action=_add)
    showing = actions.add_parser("show", help="what to set in a sensor or gateway: broker, user, password, authority")
    showing.add_argument("id", help="its name")
    showing.add_argument("--show-password", action="store_true", help="even where the output is no terminal")
    showing.add_argument("--out", type=Path, metavar="FOLDER", help="write ca.crt and options of mosquitto_pub there")
    showing.set_defaults(action=_show)


def run(arguments: argparse.Namespace) -> int:
    """Do it; nothing is deployed."""
    site = Site.of(arguments)
    iot = site.section.iot
    if iot is None:
        raise EdgeError(f"{site.name} takes in no sensors: its stack file has no section iot")
    arguments.action(site, iot, arguments)
    return 0


def _list(site: Site, iot: Iot, arguments: argparse.Namespace) -> None:
    rows = list(_rows(iot))
    if arguments.json:
        print(json.dumps({"site": site.name, "devices": rows}, indent=2))
    else:
        print(table([list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]))


def _rows(iot: Iot) -> Iterator[dict[str, Any]]:
    """A row for each quantity of each sensor."""
    for sensor in iot.sensors:
        for quantity in sensor.quantities:
            limits = iot.limits(sensor, quantity)
            yield {
                "sensor": sensor.id,
                "pen": sensor.pen,
                "quantity": quantity,
                "unit": iot.quantities[quantity].unit,
                "low": limits.low,
                "high": limits.high,
                "every": sensor.every_seconds,
                "gateways": [name for name, spoken_for in iot.gateways.items() if sensor.id in spoken_for],
            }


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(value) or "-"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _add(site: Site, iot: Iot, arguments: argparse.Namespace) -> None:
    """Judge the file as it would be, and only then write it."""
    _check_new(site, iot, arguments)
    text = read_text(site.config_file, site.config_file.name)
    limits = {side: limit for side in ("low", "high") if (limit := getattr(arguments, side)) is not None}
    sensor = {"id": arguments.id, "pen": arguments.pen, "quantities": arguments.quantity}
    if arguments.every is not None:
        sensor["everySeconds"] = arguments.every
    [quantity, *_] = arguments.quantity
    if arguments.unit:
        text = put(text, (*_IOT, "quantities", quantity), {"unit": arguments.unit, **limits})
    elif limits:
        sensor["limits"] = {quantity: limits}
    if arguments.new_pen:
        text = append(text, (*_IOT, "pens"), arguments.pen)
    text = append(text, (*_IOT, "sensors"), sensor)
    parse_section(read_config(text, site.config_file.name)[SECTION], site.config_file.name)
    site.config_file.write_text(text)
    print(
        f"{arguments.id} is in {site.config_file.name}; in no group of uplink.groups, nothing of it leaves the site.\n"
        f"Merge, deploy (pulumi up --stack {site.name}), then: edge device {site.name} show {arguments.id}"
    )


def _check_new(site: Site, iot: Iot, arguments: argparse.Namespace) -> None:
    """What the section's own rules could not tell as well."""
    if arguments.id in iot.devices:
        raise EdgeError(
            f"{site.name} has {arguments.id} already. A new device under the same id takes what the broken one had, "
            f"and nothing is deployed: edge device {site.name} show {arguments.id}"
        )
    if arguments.pen not in iot.pens and not arguments.new_pen:
        pens = ", ".join(iot.pens)
        raise EdgeError(f"{site.name} has the pens {pens}; if {arguments.pen} is new there, give --new-pen")
    if arguments.pen in iot.pens and arguments.new_pen:
        raise EdgeError(f"{site.name} has the pen {arguments.pen} already; leave --new-pen out")
    several = len(arguments.quantity) > 1
    if several and (arguments.unit or arguments.low is not None or arguments.high is not None):
        raise EdgeError("--unit, --low and --high are of one quantity; write the others' into the stack file")
    for quantity in arguments.quantity:
        known = iot.quantities.get(quantity)
        if known is None and not arguments.unit:
            names = ", ".join(iot.quantities)
            raise EdgeError(f"{site.name} measures {names}; if {quantity} is new there, give its --unit")
        if known and arguments.unit:
            raise EdgeError(f"{site.name} measures {quantity} in {known.unit} already; leave --unit out")


def _show(site: Site, iot: Iot, arguments: argparse.Namespace) -> None:
    name = arguments.id
    if name not in iot.devices:
        known = ", ".join(iot.devices)
        raise EdgeError(f"{site.name} has no device {name}, but {known}; edge device {site.name} add makes one")
    seed, epochs, life = site.needed_seed(), site.section.epochs, iot.certificates
    user = derive.mqtt_user(seed, site.name, name, epochs.passwords)
    authority = derive.certificate_authority(
        seed, site.name, epochs.mqtt_authority, not_before=life.not_before, not_after=life.not_after
    ).certificate
    # The farm's own network, where sensors are, comes first.
    hosts = [str(address) for address in reversed(broker_addresses(site.section.node.network))]
    password = user.password
    if arguments.out:
        _write(arguments.out.resolve(), hosts[0], user, authority)
        password = f"in {arguments.out}/mosquitto_pub"
    elif not (arguments.show_password or sys.stdout.isatty()):
        password = "not shown: this is no terminal; --show-password, or --out FOLDER"  # noqa: S105
    plain = [("port without TLS", f"{MQTT_PORT}, at {hosts[0]} alone")] if iot.plain_mqtt else []
    quantities = {sensor.id: sensor.quantities for sensor in iot.sensors}
    rows = [
        ("host", " or ".join([*hosts, *iot.server_names])),
        ("port", f"{MQTT_TLS_PORT}, TLS 1.2 or later"),
        *plain,
        ("user", user.name),
        ("password", password),
        *(
            ("topic", f"sensors/{sensor}/{quantity}  in {iot.quantities[quantity].unit}")
            for sensor in iot.devices[name]
            for quantity in quantities[sensor]
        ),
        ("message", '{"value": 8.5, "time": <epoch ms>}  with QoS 1; without time, that of its arrival'),
        ("authority", f"{arguments.out}/ca.crt" if arguments.out else "the certificate below"),
    ]
    print(table(rows))
    if not arguments.out:
        print(authority, end="")


def _write(folder: Path, host: str, user: derive.MqttUser, authority: str) -> None:
    """What `XDG_CONFIG_HOME=<folder> mosquitto_pub` needs, and the authority for any other client."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "ca.crt").write_text(authority)
    options = folder / "mosquitto_pub"
    options.touch(mode=0o600)
    options.chmod(0o600)
    words = [f"-h {host}", f"-p {MQTT_TLS_PORT}", "-q 1", f"-u {user.name}", f"-P {user.password}"]
    options.write_text("\n".join([*words, f"--cafile {folder / 'ca.crt'}"]) + "\n")
