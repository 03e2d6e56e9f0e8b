"""A node as the other components see it: where to log in, what it lives and dies with, how to bring files onto it."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command import remote

from components._files import INSTALL, Directory, File, archive
from components._options import child_options


@dataclass(frozen=True, kw_only=True)
class Login:
    """SSH as one user, to a host whose key is known."""

    user: str
    address: str
    host_key: str

    def __str__(self) -> str:
        return f"{self.user}@{self.address}"


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A node that is up, or will be before anything that depends on it runs.

    Attributes:
        connection: SSH to its first user.
        login: the same, for programs of their own.
        domain: the VM; what lives in the guest is made anew with it. None where the machine is nobody's to make.
        booted: the first command in this VM. What lives in the guest goes with it unasked: its deletion is decided
            together with theirs, the domain's only afterwards (ADR 10).
        ready: what must have succeeded before anything else happens on the node.
        unpack: the command that takes an archive on standard input and a command as its one argument.
    """

    login: Login
    connection: remote.ConnectionArgs
    domain: pulumi.Resource | None = None
    booted: pulumi.Resource | None = None
    ready: pulumi.Resource
    unpack: str = INSTALL

    def options(
        self, parent: pulumi.Resource, *, depends_on: Sequence[pulumi.Resource] = (), **more: Any
    ) -> pulumi.ResourceOptions:
        """Options of what lives in the guest: made once it is ready, made anew with a new VM, gone with the VM."""
        return child_options(
            parent,
            depends_on=[self.ready, *depends_on],
            deleted_with=self.booted,
            replace_with=[self.domain] if self.domain else None,
            **more,
        )

    def install(
        self,
        name: str,
        entries: Iterable[File | Directory],
        *,
        then: str,
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> remote.Command:
        """Bring files onto the node, then run a command; again whenever a file or the command changes.

        Args:
            name: the resource's name.
            entries: what to bring; it travels on standard input and stays secret in the state.
            then: an idempotent shell command without secrets, run as root; when it fails, the files are put back.
            parent: the component.
            depends_on: what must be there before.
        """
        return remote.Command(
            name,
            connection=self.connection,
            create=f"{self.unpack} {shlex.quote(then)}",
            stdin=pulumi.Output.secret(archive(entries)),
            logging=remote.Logging.NONE,
            add_previous_output_in_env=False,
            opts=self.options(parent, depends_on=depends_on),
        )
