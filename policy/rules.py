"""What no site may do, as functions of the resources that its program asks for; nothing here imports Pulumi.

The rules hold the program, not its config: where they can they read the very files that a node is sent. A value that
is not known before the update passes; what it is made of is judged where it is known.
"""

import base64
import binascii
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

#: What the engine writes for a value that is not known yet.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

COMMAND = "command:remote:Command"
CONTAINER = "docker:index/container:Container"
DOCKER = "pulumi:providers:docker"
FIRST_BOOT = "libvirt:index/cloudInitDisk:CloudInitDisk"
IMAGE = "docker:index/remoteImage:RemoteImage"
LIBVIRT = "pulumi:providers:libvirt"
POOL = "libvirt:index/pool:Pool"
VOLUME = "libvirt:index/volume:Volume"

#: Networks that are nobody else's: RFC 1918 and RFC 4193.
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

#: Those that are allowed beside them, by setting: each fleet has its own.
PLACES: Mapping[str, list[str]] = json.loads((Path(__file__).parent / "places.json").read_text())

_MQTT_PORT = 1883
_DIGEST = re.compile(r"(?:^|@)sha256:[0-9a-f]{64}$")
_UNPINNED = re.compile(r"StrictHostKeyChecking[= ](?!yes)\S*|no_verify=\S*")
_CONFIGURATION, _DATA = "/etc/fjord-edge/", "/srv/fjord-edge/"
_NET_ADMIN = "CAP_NET_ADMIN"


@dataclass(frozen=True)
class Resource:
    """A resource as its program asks for it.

    Attributes:
        type: the engine's token, for instance `docker:index/container:Container`.
        name: its name in the stack.
        properties: its inputs in the engine's spelling, secrets as their values; `UNKNOWN` is what is not known yet.
        protect: whether the engine refuses to delete it.
    """

    type: str
    name: str
    properties: Mapping[str, Any] = field(repr=False)
    protect: bool = False


@dataclass(frozen=True)
class Violation:
    """What a resource does against a rule, without any secret."""

    rule: str
    resource: Resource
    message: str


@dataclass(frozen=True)
class Setting:
    """A list of words that a rule takes from the pack's config."""

    description: str
    default: tuple[str, ...]


Settings = Mapping[str, Sequence[str]]
Found = Iterator[tuple[Resource, str]]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: as the engine reports it, and as the pack's config names it.
        description: what must hold.
        check: gives resources and what each does against the rule.
        settings: what can be set, by key.
        whole_stack: whether a resource is judged by others too, and so only once all are there.
    """

    name: str
    description: str
    check: Callable[[Iterable[Resource], Settings], Found]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    whole_stack: bool = False

    def violations(self, resources: Iterable[Resource], given: Settings) -> list[Violation]:
        """What these resources do against it, with what is `given` instead of a setting's default."""
        settings = {key: given.get(key, setting.default) for key, setting in self.settings.items()}
        return [Violation(self.name, resource, message) for resource, message in self.check(resources, settings)]


def violations(resources: Iterable[Resource], config: Mapping[str, Settings] | None = None) -> list[Violation]:
    """What a stack's resources do against the rules.

    Args:
        resources: all that its program registers.
        config: settings by rule, as in the file for `--policy-pack-config`.
    """
    whole = list(resources)
    return [found for rule in RULES for found in rule.violations(whole, (config or {}).get(rule.name, {}))]


def files(resource: Resource) -> dict[str, str]:
    """The files that a command or the first boot brings onto a node, by path; their contents may be secret."""
    if resource.type == COMMAND:
        return _unpacked(str(resource.properties.get("stdin") or UNKNOWN))
    if resource.type == FIRST_BOOT:
        asked = yaml.load(resource.properties["userData"], Loader=yaml.CSafeLoader)
        written = asked.get("write_files", []) if isinstance(asked, dict) else []
        return {file["path"]: file["content"] for file in written}
    return {}


def _unpacked(stdin: str) -> dict[str, str]:
    """The files of a packed archive; none in what is a program for the hypervisor, or not known yet."""
    try:
        packed = base64.b64decode(stdin, validate=True)
    except binascii.Error:
        return {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
        found = {f"/{member.name}": tar.extractfile(member) for member in tar.getmembers()}
        return {path: content.read().decode() for path, content in found.items() if content}


def is_allowed(place: str, allowed: Iterable[str]) -> bool:
    """Whether a host is on a list of hosts (`hq.example.com`), domains (`.example.com`) and networks (`10.0.0.0/8`)."""
    try:
        address = ip_address(place)
    except ValueError:
        return any(place == entry or (entry.startswith(".") and place.endswith(entry)) for entry in allowed)
    return any(address in network for network in map(_network, allowed) if network)


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        return None


def _residency(resources: Iterable[Resource], settings: Settings) -> Found:
    for resource in resources:
        for kind, place in _places(resource):
            if not is_allowed(place, settings[kind]):
                yield resource, f"{place} is not among the {kind} of policy/places.json; use another, or add it there"


def _places(resource: Resource) -> Iterator[tuple[str, str]]:
    """The hosts that a resource makes a node speak to, by the setting that must allow them."""
    if resource.type in {IMAGE, CONTAINER}:
        reference = resource.properties["name" if resource.type == IMAGE else "image"]
        if resource.type == IMAGE or "/" in reference:
            yield "registries", registry(reference)
    for path, text in files(resource).items():
        match path:
            case "/etc/resolv.conf":
                yield from (("dns", place) for place in re.findall(r"^nameserver (\S+)", text, re.MULTILINE))
            case "/etc/systemd/timesyncd.conf.d/fjord-edge.conf":
                lines = re.findall(r"^(?:Fallback)?NTP=(.*)$", text, re.MULTILINE)
                yield from (("timeServers", place) for line in lines for place in line.split())
            case "/etc/fjord-edge/mesh/mesh.json":
                endpoints = [peer.get("endpoint") for peer in json.loads(text)["peers"]]
                yield from (("headquarters", _host(endpoint)) for endpoint in endpoints if endpoint)
            case "/etc/fjord-edge/backup/settings.json":
                yield from (("backups", place) for place in re.findall(r"--repo=sftp:[^@]+@(\[.+?\]|[^:]+):", text))
            case "/etc/fjord-edge/alarms/settings.json" | "/etc/fjord-edge/watch/settings.json":
                if webhook := json.loads(text).get("webhook"):
                    yield "webhooks", urlsplit(webhook).hostname or webhook


def registry(reference: str) -> str:
    """The host of an image reference; a name without one is Docker Hub's."""
    first, slash, _ = reference.partition("/")
    return _host(first) if slash and (set(first) & {".", ":"} or first == "localhost") else "docker.io"


def _host(endpoint: str) -> str:
    """The host of `host`, `host:port` or `[address]:port`."""
    return urlsplit(f"//{endpoint}").hostname or endpoint


def _mqtt(resources: Iterable[Resource], _settings: Settings) -> Found:
    whole = list(resources)
    configurations = [text for each in whole for path, text in files(each).items() if path.endswith("/mosquitto.conf")]
    plain = {_MQTT_PORT}.union(*map(_plain_listeners, configurations))
    farm = [network for each in whole if each.type == FIRST_BOOT for network in _farm_networks(each)]
    for container in (each for each in whole if each.type == CONTAINER):
        for port in container.properties.get("ports") or []:
            place = port.get("ip") or "0.0.0.0"  # noqa: S104  Docker's default
            if {port["internal"], port.get("external")} & plain and not is_allowed(place, farm):
                yield (
                    container,
                    f"plain MQTT at {place}:{port.get('external')}; only the farm's own network may have it",
                )


def _plain_listeners(configuration: str) -> set[int]:
    """The ports at which a broker speaks without TLS."""
    _, *listeners = re.split(r"^listener (?=\d)", configuration, flags=re.MULTILINE)
    return {int(text.split()[0]) for text in listeners if not re.search(r"^certfile ", text, re.MULTILINE)}


def _farm_networks(first_boot: Resource) -> list[str]:
    """The networks of a node that have no way out."""
    interfaces = yaml.load(first_boot.properties["networkConfig"], Loader=yaml.CSafeLoader)["config"]
    subnets = [each["subnets"] for each in interfaces if not any("gateway" in subnet for subnet in each["subnets"])]
    return [str(ip_interface(subnet["address"]).network) for group in subnets for subnet in group]


def _digests(resources: Iterable[Resource], _settings: Settings) -> Found:
    for resource in resources:
        if resource.type in {IMAGE, CONTAINER}:
            reference = resource.properties["name" if resource.type == IMAGE else "image"]
            if reference != UNKNOWN and not _DIGEST.search(reference):
                yield resource, f"{reference} is no digest; pin it as <name>@sha256:<64 hex digits>"


def _protection(resources: Iterable[Resource], _settings: Settings) -> Found:
    for resource in resources:
        made_of_another = {"source", "baseVolumeId"} & resource.properties.keys()
        if not resource.protect and (resource.type == POOL or (resource.type == VOLUME and not made_of_another)):
            yield resource, "it holds data and can be deleted; declare it with protect=True"


def _host_keys(resources: Iterable[Resource], _settings: Settings) -> Found:
    for resource in resources:
        properties = resource.properties
        if resource.type == LIBVIRT:
            uri = urlsplit(properties["uri"])
            if uri.scheme != "qemu+ssh" or not parse_qs(uri.query).get("knownhosts") or "no_verify" in uri.query:
                yield (
                    resource,
                    "the hypervisor's key is not verified; use qemu+ssh with knownhosts and without no_verify",
                )
        elif resource.type == DOCKER:
            options = properties.get("sshOpts") or []
            words = json.loads(options) if isinstance(options, str) else options
            if not str(properties["host"]).startswith("ssh://") or "StrictHostKeyChecking=yes" not in words:
                yield resource, "Docker's host is not verified; use ssh:// with StrictHostKeyChecking=yes"
        elif resource.type == COMMAND:
            if not (properties.get("connection") or {}).get("hostKey"):
                yield resource, "connection.hostKey is missing; pin the host's key"
            for text in (str(properties.get("create")), *files(resource).values()):
                for word in _UNPINNED.findall(text):
                    yield resource, f"{word} accepts any host; use StrictHostKeyChecking=yes"


def _containers(
    judge: Callable[[Mapping[str, Any], Settings], Iterator[str]],
) -> Callable[[Iterable[Resource], Settings], Found]:
    """A rule's check of what its judge says of each container's properties."""

    def check(resources: Iterable[Resource], settings: Settings) -> Found:
        for resource in resources:
            if resource.type == CONTAINER:
                yield from ((resource, message) for message in judge(resource.properties, settings))

    return check


def _privileges(container: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    capabilities = container.get("capabilities") or {}
    allowed = {_NET_ADMIN} if container["name"] in settings["onHost"] else set()
    if capabilities.get("drops") != ["ALL"]:
        yield "it keeps Docker's capabilities; drop ALL"
    if added := sorted(set(capabilities.get("adds") or []) - allowed):
        yield f"it has {', '.join(added)}; take that away"
    if container.get("privileged"):
        yield "it is privileged; take that away"
    if container.get("devices"):
        yield "it has devices of the node; take them away"
    if str(container.get("user") or "root").partition(":")[0] in {"0", "root"} and not allowed:
        yield "it runs as root; give it a user of its own"
    options = container.get("securityOpts") or []
    if not {"no-new-privileges", "no-new-privileges:true"} & set(options):
        yield "it can gain privileges; set no-new-privileges:true"
    yield from (f"{option} switches a guard off; remove it" for option in options if option.endswith("unconfined"))


def _files_of(container: Mapping[str, Any], _settings: Settings) -> Iterator[str]:
    if not container.get("readOnly"):
        yield "its root file system can be written; set readOnly"
    if container.get("uploads"):
        yield "its uploads stay in the state; bring files with Guest.install"
    for volume in container.get("volumes") or []:
        path = f"{volume.get('hostPath') or ''}/"
        if not path.startswith(_DATA) and not (path.startswith(_CONFIGURATION) and volume.get("readOnly")):
            yield f"{volume.get('hostPath')} is mounted; only {_CONFIGURATION}, read-only, and {_DATA} may be"


def _bounds(container: Mapping[str, Any], _settings: Settings) -> Iterator[str]:
    if not container.get("memory") or container.get("memorySwap") != container.get("memory"):
        yield "its memory is not bounded; set memory, and memorySwap to the same"
    if not str(container.get("cgroupParent") or "").endswith(".slice"):
        yield "its processes are not bounded; set cgroupParent to a slice with TasksMax"


def _network_of(container: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    if container.get("networkMode") == "host":
        if container["name"] not in settings["onHost"]:
            yield "it is in the node's network; give it a network of its own"
    elif not container.get("networksAdvanced"):
        yield "it is in docker0, with every other container; give it a network of its own"
    yield from (
        f"it shares {key} with the node; take that away"
        for key in ("pidMode", "ipcMode")
        if container.get(key) == "host"
    )
    for port in container.get("ports") or []:
        if (place := port.get("ip")) is None or ip_address(place).is_unspecified:
            yield f"port {port.get('external')} is bound to every address; bind it to one"


_ON_HOST = Setting("containers that may be in the node's network, as root with CAP_NET_ADMIN", ("telegraf-mesh",))

RULES = (
    Rule(
        "data-residency",
        "Where its site's files send a node is on an allow-list of places.",
        _residency,
        {
            kind: Setting(description, (*PLACES[kind], *PRIVATE))
            for kind, description in (
                ("headquarters", "where tunnels may end"),
                ("dns", "who may be asked for names"),
                ("registries", "where images may come from"),
                ("timeServers", "who may be asked for the time"),
                ("backups", "where backups may lie"),
                ("webhooks", "who may be told of alarms"),
            )
        },
    ),
    Rule("plain-mqtt", "MQTT without TLS stays in the farm's own network.", _mqtt, whole_stack=True),
    Rule("images-by-digest", "An image is pinned by its digest.", _digests),
    Rule("data-protected", "What holds data cannot be deleted by an update.", _protection),
    Rule("host-keys", "Every host is known by its key.", _host_keys),
    Rule(
        "container-privileges",
        "A container has no rights but those that its work needs.",
        _containers(_privileges),
        {"onHost": _ON_HOST},
    ),
    Rule("container-files", "A container writes to the data disk only.", _containers(_files_of)),
    Rule("container-bounds", "A container cannot take the node's memory and processes.", _containers(_bounds)),
    Rule(
        "container-network",
        "A container is reached where it serves, and nowhere else.",
        _containers(_network_of),
        {"onHost": _ON_HOST},
    ),
)
