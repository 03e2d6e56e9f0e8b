"""A whole farm with its page, natively, and headquarters with its own: all that `services/` has, in one network."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from components._influxdb import Grant
from components._page import NAMES, internal_ports, page_files, page_service
from components.iot_stack import services
from components.iot_stack.telegraf import DATABASE
from components.summary_store.accounts import HEADQUARTERS, database
from config import derive
from config.derive import Purpose
from config.iot import Iot
from lab.pipeline.site import (
    LIFE,
    LOOPBACK,
    NAME,
    SEED,
    Site,
    authority,
    grant,
    mqtt_user,
    ours,
    password,
    program,
    store,
)
from services._settings import Broker
from services.page.settings import Headquarters, Tls
from services.page.settings import Settings as PageSettings

#: A site of headquarters' that has never spoken.
NEVER_HEARD = "bergen"

SILENT_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Farm:
    """What a farm is made of, and what its people must know.

    Attributes:
        site: the data path, and the farm's page as its image has it.
        beside: what `lab.pipeline.beside` runs, settings by service: in one network only one container can tell of its
            health.
        page: the page's address.
        headquarters: that of headquarters' page.
        page_key: the SHA-256 of both servers' public key, base64: a browser is told to trust it.
        pin: acknowledges alarms.
    """

    site: Site
    beside: Mapping[str, Any] = field(repr=False)
    page: str
    headquarters: str
    page_key: str
    pin: str = field(repr=False)


def farm(iot: Iot, folder: Path) -> Farm:
    """Render it, of a site's section; what runs beside the pipeline has its files in the folder."""
    signer, pin = authority(), derive.page_pin(SEED, NAME, 1)
    server = derive.server_certificate(
        SEED, NAME, 1, purpose=Purpose.PAGE_SERVER, authority=signer, names=NAMES, addresses=[LOOPBACK], **LIFE
    )
    service = page_service(iot.images.services, [LOOPBACK])
    [port] = ports = internal_ports(service)
    shown = services.page_settings(iot, NAME, mqtt_user, influxdb_password=password("page"), pin=pin, ports=ports)
    files = page_files(shown, signer, server)
    for name, text in files.items():
        (folder / name).write_text(text)
    public = (
        x509.load_pem_x509_certificate(server.certificate.encode())
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    made = ours(iot, _grants())
    return Farm(
        site=replace(made, programs={**made.programs, "page": program(service, files, "services")}),
        beside=_beside(iot, folder, port + 1),
        page=f"https://localhost:{port}",
        headquarters=f"https://localhost:{port + 1}",
        page_key=base64.b64encode(hashlib.sha256(public).digest()).decode(),
        pin=pin,
    )


def _grants() -> Mapping[str, Grant]:
    """The database's users beside the data path's, and those that headquarters' store would have."""
    return {
        **{name: grant(name, "READ", DATABASE) for name in ("page", "uplink")},
        NAME: grant(NAME, "ALL", database(NAME)),
        HEADQUARTERS: grant(HEADQUARTERS, "READ", database(NAME), database(NEVER_HEARD)),
    }


def _beside(iot: Iot, folder: Path, port: int) -> Mapping[str, Any]:
    def here(broker: Broker) -> Broker:
        return replace(broker, host="localhost")

    alarms = services.alarm_settings(iot, NAME, mqtt_user, certificates={}, webhook_key="")
    uplink = services.uplink_settings(
        iot, NAME, mqtt_user, influxdb_password=password("uplink"), headquarters=store(database(NAME), NAME)
    )
    sites = {site: store(database(site), HEADQUARTERS) for site in (NAME, NEVER_HEARD)}
    shown = Headquarters(silent_seconds=SILENT_SECONDS, sites=sites)
    tls = Tls(certificate=str(folder / "server.crt"), key=str(folder / "server.key"), authority=str(folder / "ca.crt"))
    data = {name: folder / name for name in ("alarms", "uplink")}
    for each in data.values():
        each.mkdir()
    return {
        # The disk of the machine that runs a test is none of the farm's business.
        "alarms": asdict(replace(alarms, broker=here(alarms.broker), data=str(data["alarms"]), disk_percent=101)),
        "uplink": asdict(
            replace(uplink, broker=here(uplink.broker), data=str(data["uplink"]), readings=store(DATABASE, "uplink"))
        ),
        "page": asdict(PageSettings(name="hq", ports=(port,), tls=tls, shown=shown)),
    }
