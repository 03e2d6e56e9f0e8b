"""A hypervisor as a component sees it: where to log in, and how to run a program there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_command import remote

from components._options import child_options
from config.site import Hypervisor


@dataclass(frozen=True, kw_only=True)
class HypervisorHost:
    """A hypervisor and its pinned SSH host key; the client's key comes from the agent, or from `keyFile`."""

    hypervisor: Hypervisor
    host_key: str
    client_key: str | None = field(repr=False)

    def run(
        self,
        name: str,
        program: str,
        *,
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource] = (),
        **more: Any,
    ) -> remote.Command:
        """Run an idempotent Python program without secrets, again whenever its text changes."""
        return self.command(name, self._as_root("python3 -"), program, parent=parent, depends_on=depends_on, **more)

    def command(
        self,
        name: str,
        command: str,
        stdin: str | None = None,
        *,
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource] = (),
        **more: Any,
    ) -> remote.Command:
        """Run an idempotent shell command without secrets, again whenever it or its input changes."""
        return remote.Command(
            name,
            connection=remote.ConnectionArgs(
                host=self.hypervisor.host,
                user=self.hypervisor.user,
                host_key=self.host_key,
                private_key=pulumi.Output.secret(self.client_key) if self.client_key else None,
            ),
            create=command,
            stdin=stdin,
            logging=remote.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=child_options(parent, depends_on=depends_on, **more),
        )

    def _as_root(self, command: str) -> str:
        """As root; sudo would take away where the connection came from, which the preflight looks at."""
        if self.hypervisor.user == "root":
            return command
        return f'sudo -n env "SSH_CONNECTION=$SSH_CONNECTION" {command}'
