"""Print the registry file that a site's seed and epochs give: its public keys, which everybody else needs."""

import argparse
import json
import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from config.loader import REGISTRY, public_keys
from config.registry import Registry, load_registry, port_of, shown
from edge.site import EdgeError, Site

_NEXT = ("nextTunnelKey", "nextIdentityKey", "nextEndpoint")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--next", action="store_true", help="with the keys of the next epochs too: a rotation begins")
    parser.add_argument("--write", action="store_true", help="write the file instead of printing it")


def run(arguments: argparse.Namespace) -> int:
    """Print or write."""
    site = Site.of(arguments)
    if arguments.write:
        write(site, with_next=arguments.next)
        print(f"wrote {shown(site.name)}")
    else:
        print(entry(site, with_next=arguments.next), end="")
    return 0


def write(site: Site, *, with_next: bool) -> None:
    """Write the site's registry file."""
    text = entry(site, with_next=with_next)
    (REGISTRY / f"{site.name}.yaml").write_text(text)


def entry(site: Site, *, with_next: bool) -> str:
    """The site's registry file with the keys that its seeds and epochs give.

    Raises:
        ConfigError: there is no seed.
        EdgeError: the engine does not decrypt it.
    """
    keys = public_keys(site.needed_seed(), site.seed("nextSeed"), site.name, site.stack_section.epochs)
    path = REGISTRY / f"{site.name}.yaml"
    before = (
        path.read_text() if path.exists() else new_entry(site.name, f"@fjord-edge/{site.name}", load_registry(REGISTRY))
    )
    return with_keys(before, keys, with_next=with_next)


def with_keys(text: str, keys: Mapping[str, str], *, with_next: bool) -> str:
    """A registry file with these keys in it; everything else in it stays as a person wrote it.

    A hub that takes its next key into use is found at that key's endpoint from then on.

    Args:
        text: the file, with or without keys.
        keys: by their place in the file.
        with_next: whether a rotation is under way; without it, its lines go.
    """
    endpoint, next_endpoint = (_value(text, key) for key in ("endpoint", "nextEndpoint"))
    promoted = keys["tunnelKey"] == _value(text, "nextTunnelKey")
    for key in _NEXT:
        text = without(text, key)
    if promoted and next_endpoint:
        text = with_line(text, "endpoint", json.dumps(next_endpoint))
        endpoint = next_endpoint
    for key in ("tunnelKey", "identityKey"):
        text = with_line(text, key, keys[key])
    if with_next:
        for key in ("nextTunnelKey", "nextIdentityKey"):
            text = with_line(text, key, keys[key])
        if endpoint and _value(text, "role") == "hub":
            text = with_line(text, "nextEndpoint", json.dumps(next_endpoint or _other_port(endpoint)))
    return text


def new_entry(site: str, owner: str, registry: Registry) -> str:
    """A registry file without keys, at the first free address of the mesh.

    Raises:
        EdgeError: there is no free address.
    """
    taken = {address for entry in registry.entries.values() for address in (entry.address, entry.address6)}
    first = int(registry.network.network_address)

    def addresses(free: IPv4Address) -> list[IPv4Address | IPv6Address]:
        """With the one at the same place in the mesh's IPv6 network."""
        return [free, *(network[int(free) - first] for network in registry.networks if network.version == 6)]

    free = next((each for each in map(addresses, registry.network.hosts()) if not taken & set(each)), None)
    if free is None:
        raise EdgeError(f"the mesh {registry.network} is full; give it a bigger network in {shown(registry.hub)}")
    lines = [
        f"# Public facts of the site {site}; see config/registry.py.",
        "role: site",
        f'owner: "{owner}"',
        *(f"{key}: {address}" for key, address in zip(("address", "address6"), free, strict=False)),
    ]
    return "\n".join(lines) + "\n"


def new_hub_entry(owner: str, mesh: IPv4Network, endpoint: str) -> str:
    """Headquarters' registry file without keys, at the first address of the mesh, which no other file says."""
    lines = [
        "# Public facts of headquarters; see config/registry.py.",
        "role: hub",
        f'owner: "{owner}"',
        f"mesh: {mesh}",
        f"address: {next(mesh.hosts())}",
        f"endpoint: {json.dumps(endpoint)}",
    ]
    return "\n".join(lines) + "\n"


def with_line(text: str, key: str, value: str) -> str:
    """A registry file in which a key has this value, in the key's place where it was there."""
    line, text = f"{key}: {value}\n", _ended(text)
    found = re.sub(_line_of(key), lambda _: line, text, flags=re.MULTILINE)
    return found if found != text or line in text else text + line


def without(text: str, key: str) -> str:
    """A registry file without a key."""
    return re.sub(_line_of(key), "", _ended(text), flags=re.MULTILINE)


def _ended(text: str) -> str:
    """With the last line's end, which an editor may leave out."""
    return text if text.endswith("\n") else f"{text}\n"


def _line_of(key: str) -> str:
    """A pattern for a key's line, and for the items of its list below it."""
    return rf"^{key}:.*\n(?:[ \t]*-.*\n|[ \t]+\S.*\n)*"


def _value(text: str, key: str) -> str | None:
    found = re.search(rf"^{key}: *['\"]?([^\s'\"#]+)", text, re.MULTILINE)
    return found[1] if found else None


def _other_port(endpoint: str) -> str:
    """The same host at the port's neighbour, to which the next rotation goes back."""
    port = port_of(endpoint)
    return f"{endpoint.rpartition(':')[0]}:{port + 1 if port % 2 == 0 else port - 1}"
