"""The SSH keys with which the program reaches a hypervisor: the pinned host key, and the client's own."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from config.base import ConfigError, Mistake
from config.site import Hypervisor

#: The order in which Go's SSH client, which the plugins use, asks for a host key; the pinned one must be the first.
_PREFERENCE = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa", "ssh-ed25519")


@dataclass(frozen=True, kw_only=True)
class HypervisorKeys:
    """What an SSH client needs: the host's public key as in known_hosts; the client's private key, or the agent."""

    host: str
    client: str | None = field(repr=False)


def hypervisor_keys(hypervisor: Hypervisor, checkout: Path, *, file: str, key: str) -> HypervisorKeys:
    """Read the host key from `knownHosts` and the client's key from `keyFile`.

    Args:
        hypervisor: the section of the stack file.
        checkout: what a relative path is relative to.
        file: the stack file, for messages.
        key: the section's key in it, for messages.

    Raises:
        ConfigError: a file or the host's line in it is missing.
    """
    return HypervisorKeys(
        host=_host_key(hypervisor, checkout), client=_client_key(hypervisor, checkout, file=file, key=key)
    )


def planned_keys(hypervisor: Hypervisor, checkout: Path) -> HypervisorKeys:
    """What stands for them in a plan: the host key if it is pinned in the checkout, and no private key."""
    try:
        host = _host_key(hypervisor, checkout)
    except ConfigError:
        host = "not pinned in the checkout"
    return HypervisorKeys(host=host, client="not read for a plan" if hypervisor.key_file else None)


def _host_key(hypervisor: Hypervisor, checkout: Path) -> str:
    found = subprocess.run(
        ["ssh-keygen", "-F", hypervisor.host, "-f", str(checkout / hypervisor.known_hosts)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in found.stdout.splitlines() if line and not line.startswith(("#", "@"))]
    keys = {words[1]: f"{words[1]} {words[2]}" for words in lines}
    for kind in _PREFERENCE:
        if kind in keys:
            return keys[kind]
    remedy = (
        f"no SSH host key of {hypervisor.host} is pinned here: compare its fingerprint, "
        f"then ssh-keyscan {hypervisor.host} >> {hypervisor.known_hosts}"
    )
    raise ConfigError(Mistake(hypervisor.known_hosts, "", "", remedy))


def _client_key(hypervisor: Hypervisor, checkout: Path, *, file: str, key: str) -> str | None:
    if hypervisor.key_file is None:
        return None
    path = checkout / Path(hypervisor.key_file).expanduser()
    if not path.is_file():
        raise ConfigError(
            Mistake(file, f"{key}.keyFile", hypervisor.key_file, "there is no such file; use an SSH agent")
        )
    return path.read_text()
