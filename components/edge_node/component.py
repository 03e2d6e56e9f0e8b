"""`EdgeNode`: a KVM guest on the site's hypervisor, tuned as asked, proven by its own facts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pulumi
from pulumi_command import remote

from components._firewall import Inbound
from components._guest import Guest, Login
from components._hypervisor import HypervisorHost
from components._options import child_options
from components.edge_node.facts import READ_FACTS, fact_files, parse_facts
from components.edge_node.host_config import APPLY, host_files
from components.edge_node.libvirt import VirtualMachine
from config.derive import SshKey
from config.registry import IPNetwork
from config.site import Node

#: Dials come 3 to 8 s apart: a first boot takes 30 to 90 s, under emulation twice that.
_DIAL_LIMIT = 120
_DIAL_TIMEOUT_SECONDS = 5

#: cloud-init's end, and a Docker that answers. Exit status 2 is "done with warnings", which the facts then name.
_WAIT_UNTIL_READY = "cloud-init status --wait > /dev/null; sudo docker info > /dev/null"


@dataclass(frozen=True, kw_only=True)
class EdgeNodeArgs:
    """What a node is made of: its section of the config, its derived host key, and where it runs.

    `mesh` are the networks that the hypervisor must not be reached through.
    """

    node: Node
    host_key: SshKey
    hypervisor: HypervisorHost
    mesh: Sequence[IPNetwork]
    inbound: Inbound


class EdgeNode(pulumi.ComponentResource):
    """The guest of one site.

    Attributes:
        guest: how the other components reach and follow it; ready once the facts are as asked.
        facts: what the node says of itself, read back by `on_node/facts.py`.
    """

    guest: Guest
    facts: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: EdgeNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:EdgeNode", name, None, opts)
        machine = VirtualMachine(
            site=name, node=args.node, host=args.hypervisor, mesh=args.mesh, host_key=args.host_key, parent=self
        )
        domain = machine.create()
        login = Login(user=args.node.user, address=str(args.node.network.address.ip), host_key=args.host_key.public)
        connection = remote.ConnectionArgs(
            host=login.address,
            user=login.user,
            host_key=login.host_key,
            dial_error_limit=_DIAL_LIMIT,
            per_dial_timeout=_DIAL_TIMEOUT_SECONDS,
        )
        booted = remote.Command(
            f"{name}-ready",
            connection=connection,
            create=_WAIT_UNTIL_READY,
            add_previous_output_in_env=False,
            opts=child_options(self, depends_on=[domain], deleted_with=domain, replace_with=[domain]),
        )
        guest = Guest(
            login=login, connection=connection, domain=domain, booted=booted, ready=machine.settle(domain, booted)
        )
        configured = guest.install(
            f"{name}-host-config",
            host_files(args.node, args.inbound),
            then=APPLY,
            parent=self,
        )
        proven = guest.install(
            f"{name}-facts", fact_files(args.node), then=READ_FACTS, parent=self, depends_on=[configured]
        )
        self.guest = replace(guest, ready=proven)
        self.facts = proven.stdout.apply(lambda text: parse_facts(name, text))
        self.register_outputs({"facts": self.facts})
