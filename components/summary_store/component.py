"""`SummaryStore`: one database and one user a site, reached through the tunnel alone, and what watches over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pulumi

from components._docker import Runner
from components._guest import Guest
from components._influxdb import APPLY_USERS, INFLUXDB_CONF, INFLUXDB_PORT, influxdb, user_files
from components._own import own_service
from components.summary_store.accounts import users
from components.summary_store.services import watch_settings
from config.site import Summaries
from services import _settings


@dataclass(frozen=True, kw_only=True)
class SummaryStoreArgs:
    """What the store is made of.

    `accounts` are names and passwords by site, `admin` the administrator's password and those before it, `headquarters`
    the one with which all sites are read, `webhook_key` the one that signs; `address` is headquarters' own in the mesh,
    which is there once `tunnel` is.
    """

    summaries: Summaries
    accounts: Mapping[str, Mapping[str, str]] = field(repr=False)
    admin: Sequence[str] = field(repr=False)
    headquarters: str = field(repr=False)
    webhook_key: str = field(repr=False)
    address: IPv4Address
    tunnel: pulumi.Resource
    guest: Guest


class SummaryStore(pulumi.ComponentResource):
    """Headquarters' InfluxDB, and the watch that tells of sites that say nothing.

    Attributes:
        endpoints: where sites reach it.
    """

    endpoints: dict[str, str]

    def __init__(self, name: str, args: SummaryStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:SummaryStore", name, None, opts)
        service = influxdb(args.summaries.image, args.address)
        runner = Runner.on(args.guest, site=name, parent=self)
        container = runner.run(service, service.files({"influxdb.conf": INFLUXDB_CONF}), depends_on=[args.tunnel])
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
            args.summaries, args.accounts, password=args.headquarters, webhook_key=args.webhook_key
        )
        watch = own_service("watch", args.summaries.services, memory_mib=48, cpu_shares=256)
        runner.run(watch, watch.files({"settings.json": _settings.render(settings)}), depends_on=[applied])
        self.endpoints = {"summaries": f"http://{args.address}:{INFLUXDB_PORT} (in the mesh)"}
        self.register_outputs({"endpoints": self.endpoints})
