"""`ExistingHost`: headquarters on a machine that is there already, on which only what the tunnels need is made."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import pulumi
from pulumi_command import remote

from components._firewall import Inbound
from components._guest import Guest, Login
from components._options import child_options
from components.existing_host.firewall import APPLY, LOOK, firewall_files
from config.site import Host

#: A node has this program from its image; here its text travels in the command, and nothing of it stays.
_INSTALL_FILES = (
    Path(__file__).parents[2] / "node_image" / "rootfs" / "usr" / "local" / "lib" / "fjord-edge" / "install-files"
)


@dataclass(frozen=True, kw_only=True)
class ExistingHostArgs:
    """The machine, and whom it lets in from the mesh."""

    host: Host
    inbound: Inbound


class ExistingHost(pulumi.ComponentResource):
    """A machine that somebody else looks after.

    Attributes:
        guest: how the other components reach it; ready once it has the programs and the firewall.
    """

    guest: Guest

    def __init__(self, name: str, args: ExistingHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:ExistingHost", name, None, opts)
        login = Login(user=args.host.user, address=args.host.address, host_key=args.host.host_key)
        connection = remote.ConnectionArgs(host=login.address, user=login.user, host_key=login.host_key)
        looked_at = remote.Command(
            f"{name}-programs",
            connection=connection,
            create=LOOK,
            logging=remote.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=child_options(self),
        )
        guest = Guest(
            login=login,
            connection=connection,
            ready=looked_at,
            unpack=f"sudo sh -c {shlex.quote(_INSTALL_FILES.read_text())} install-files",
        )
        firewall = guest.install(f"{name}-firewall", firewall_files(args.inbound), then=APPLY, parent=self)
        self.guest = replace(guest, ready=firewall)
        self.register_outputs({})
