"""`SummaryStore`: one database and one user a site, reached through the tunnel alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pulumi

from components._docker import Runner
from components._guest import Guest
from components._influxdb import APPLY_USERS, INFLUXDB_CONF, INFLUXDB_PORT, influxdb, user_files
from components.summary_store.accounts import users
from config.site import Summaries


@dataclass(frozen=True, kw_only=True)
class SummaryStoreArgs:
    """What the store is made of.

    `accounts` are names and passwords by site, `admin` the administrator's password and those before it, `address`
    headquarters' own in the mesh, which is there once `tunnel` is.
    """

    summaries: Summaries
    accounts: Mapping[str, Mapping[str, str]] = field(repr=False)
    admin: Sequence[str] = field(repr=False)
    address: IPv4Address
    tunnel: pulumi.Resource
    guest: Guest


class SummaryStore(pulumi.ComponentResource):
    """Headquarters' InfluxDB.

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
        args.guest.install(
            f"{name}-influxdb-users",
            user_files(users(args.accounts), admin=password, former_admins=former, address=args.address),
            then=APPLY_USERS,
            parent=self,
            depends_on=[container],
        )
        self.endpoints = {"summaries": f"http://{args.address}:{INFLUXDB_PORT} (in the mesh)"}
        self.register_outputs({"endpoints": self.endpoints})
