"""`SummaryStore`: one database and one user a site, reached through the tunnel alone; who watches and shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pulumi

from components._docker import Runner
from components._guest import Guest
from components._influxdb import APPLY_USERS, INFLUXDB_CONF, INFLUXDB_PORT, influxdb, user_files
from components._mender import APPLY_MENDER, mender_files
from components._own import own_files, own_service
from components._page import NAMES, internal_ports, page_files, page_service
from components.summary_store.accounts import users
from components.summary_store.services import page_settings, watch_settings
from config import derive
from config.derive import Purpose, Seed
from config.site import Epochs, HeadquartersPage, Summaries


@dataclass(frozen=True, kw_only=True)
class SummaryStoreArgs:
    """What the store is made of.

    `accounts` are names and passwords by site, `admin` the administrator's password and those before it, `headquarters`
    the one with which all sites are read, `webhook_key` the one that signs; `address` is headquarters' own in the mesh,
    which is there once `tunnel` is, and `page_address` the one outside it.
    """

    summaries: Summaries
    epochs: Epochs
    seed: Seed
    accounts: Mapping[str, Mapping[str, str]] = field(repr=False)
    admin: Sequence[str] = field(repr=False)
    headquarters: str = field(repr=False)
    webhook_key: str = field(repr=False)
    address: IPv4Address
    page_address: IPv4Address | None
    tunnel: pulumi.Resource
    guest: Guest


class SummaryStore(pulumi.ComponentResource):
    """Headquarters' InfluxDB, the watch that tells of sites that say nothing, and the page that shows them all.

    Attributes:
        endpoints: where sites and people reach it.
        certificate_authority: what a browser trusts, PEM; None without a page.
    """

    endpoints: dict[str, str]
    certificate_authority: str | None

    def __init__(self, name: str, args: SummaryStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:SummaryStore", name, None, opts)
        self._site = name
        self._args = args
        service = influxdb(args.summaries.image, args.address)
        self._runner = Runner.on(args.guest, site=name, parent=self)
        args.guest.install(f"{name}-hooks", mender_files(), then=APPLY_MENDER, parent=self)
        container = self._runner.run(service, service.files({"influxdb.conf": INFLUXDB_CONF}), depends_on=[args.tunnel])
        password, *former = args.admin
        applied = args.guest.install(
            f"{name}-influxdb-users",
            user_files(
                users(args.accounts, args.headquarters), admin=password, former_admins=former, address=args.address
            ),
            then=APPLY_USERS,
            parent=self,
            depends_on=[container],
        )
        settings = watch_settings(
            name, args.summaries, args.accounts, password=args.headquarters, webhook_key=args.webhook_key
        )
        watch = own_service("watch", args.summaries.services, memory_mib=48, cpu_shares=256)
        self._runner.run(watch, watch.files(own_files(settings)), depends_on=[applied])
        self.certificate_authority = None
        self.endpoints = {"summaries": f"http://{args.address}:{INFLUXDB_PORT} (in the mesh)"}
        if args.summaries.page and args.page_address:
            self.certificate_authority = self._page(args.summaries.page, args.page_address, after=[applied])
            self.endpoints["page"] = f"https://{args.page_address}"
        self.register_outputs({"endpoints": self.endpoints})

    def _page(self, page: HeadquartersPage, address: IPv4Address, after: Sequence[pulumi.Resource]) -> str:
        """The page; returns what a browser trusts, PEM."""
        seed, epochs = self._args.seed, self._args.epochs
        authority = derive.certificate_authority(
            seed,
            self._site,
            epochs.mqtt_authority,
            purpose=Purpose.PAGE_CA,
            not_before=page.authority.not_before,
            not_after=page.authority.not_after,
        )
        server = derive.server_certificate(
            seed,
            self._site,
            epochs.mqtt_server,
            purpose=Purpose.PAGE_SERVER,
            authority=authority,
            names=NAMES,
            addresses=[address],
            not_before=page.certificate.not_before,
            not_after=page.certificate.not_after,
        )
        service = page_service(self._args.summaries.services, [address])
        settings = page_settings(
            self._site,
            self._args.summaries,
            self._args.accounts,
            password=self._args.headquarters,
            ports=internal_ports(service),
        )
        self._runner.run(service, service.files(page_files(settings, authority, server)), depends_on=after)
        return authority.certificate
