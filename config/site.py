"""The models of `fjord-edge:site` in `Pulumi.<site>.yaml`: what is neither public nor secret about one site."""

import re
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from itertools import combinations, product
from typing import Annotated, Literal, Self

from pydantic import Field, IPvAnyAddress, StringConstraints, field_validator, model_validator

from config.base import Model
from config.iot import Certificates, Iot, Page
from config.names import (
    Epoch,
    HostName,
    MacAddress,
    Name,
    NameOrIPv4,
    Sha256,
    SysctlKey,
    SysctlValue,
    WebAddress,
    check_pinned,
)
from config.versions import DOCKER_NETWORK, FIXED_SYSCTLS, IMAGES

_PUBLIC_KEY = re.compile(r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+=*( [^\n]*)?")
_HOST_KEY = re.compile(r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*")


#: Users and groups that a node has by itself (base-passwd, and the packages of the node image): the first user is made
#: beside them, and one of these logs in nowhere.
SYSTEM_NAMES = """
    adm audio backup bin cdrom crontab daemon dialout dip disk docker fax floppy games input irc kmem kvm list lp mail
    man messagebus netdev news nobody nogroup operator plugdev polkitd proxy render root sasl sgx shadow src sshd staff
    sudo sync sys systemd-coredump systemd-journal systemd-network systemd-resolve systemd-timesync tape tty users utmp
    uucp video voice www-data
"""

#: What is checked on the hypervisor before anything is made there: on_hypervisor/preflight.py.
Check = Literal["kvm", "libvirt", "network", "space", "nvme", "image", "data-disk", "management"]


class Hypervisor(Model):
    """The machine that runs the site's guest, reached by SSH on a path of its own, never through its own guest."""

    host: NameOrIPv4
    """Host name or IPv4 address of the hypervisor's management interface."""
    user: str = "root"
    """SSH user; it needs access to libvirt's socket."""
    known_hosts: str = "config/known_hosts"
    """File with the hypervisor's SSH host key, relative to the checkout or absolute."""
    key_file: str | None = None
    """File with your private SSH key for the hypervisor; the agent's keys when absent."""
    accelerator: Literal["kvm", "qemu"] = "kvm"
    """libvirt's domain type; `qemu` is emulation and only for a lab."""
    pool: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._-]+)+$")] = "/srv/nvme/fjord-edge"
    """Directory on NVMe that holds the site's storage pools, absolute and without a slash at its end."""
    skip_checks: tuple[Check, ...] = ()
    """Checks of the hypervisor that are left out; only for a lab."""


class Image(Model):
    """The node image, built by `make node-image`."""

    source: str
    """Path or http(s) address of the qcow2 file."""
    sha256: Sha256
    """Checksum of that file, as `sha256sum` prints it."""


class Interface(Model):
    """One of the guest's network interfaces; its addresses are static."""

    bridge: str | None = None
    """Bridge on the hypervisor that the guest joins; this or `libvirtNetwork`."""
    libvirt_network: str | None = None
    """Network of the hypervisor's libvirt that the guest joins; this or `bridge`."""
    address: IPv4Interface
    """Static address with prefix length."""
    address6: IPv6Interface | None = None
    """Static IPv6 address with prefix length."""
    mac: MacAddress | None = None
    """MAC address; derived from the site's name when absent."""

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The addresses of both families."""
        return (self.address, self.address6) if self.address6 else (self.address,)

    @field_validator("mac")
    @classmethod
    def mac_is_unicast(cls, mac: str | None) -> str | None:
        """A multicast address cannot be an interface's own (IEEE 802)."""
        if mac and int(mac[:2], 16) & 1:
            raise ValueError("a multicast MAC cannot be an interface's address; make its first byte even")
        return mac

    @model_validator(mode="after")
    def joins_one_thing(self) -> Self:
        """An interface is plugged in at one place."""
        if self.bridge and self.libvirt_network:
            raise ValueError(
                f"bridge {self.bridge} and libvirtNetwork {self.libvirt_network} are two places; remove one of both"
            )
        if not self.bridge and not self.libvirt_network:
            raise ValueError("neither bridge nor libvirtNetwork is given; name the one that the guest joins")
        return self

    @model_validator(mode="after")
    def addresses_are_hosts(self) -> Self:
        """A network's first address belongs to no host, in either family, and in IPv4 its broadcast address neither."""
        for address in self.addresses:
            network = address.network
            ends = [network.network_address, *([network.broadcast_address] if network.version == 4 else [])]
            if network.prefixlen < network.max_prefixlen - 1 and address.ip in ends:
                raise ValueError(f"address {address} is not a host of {network}; give one between its ends")
        return self

    @model_validator(mode="after")
    def network_is_not_dockers(self) -> Self:
        """The node's Docker puts its own bridge there."""
        if self.address.network.overlaps(DOCKER_NETWORK):
            raise ValueError(
                f"network {self.address.network} overlaps {DOCKER_NETWORK}, which Docker takes on the node; "
                "give the interface another network"
            )
        return self


class Uplink(Interface):
    """An interface with a way out."""

    gateway: IPv4Address
    """Default gateway."""
    gateway6: IPv6Address | None = None
    """Default gateway for IPv6, in the network of `address6` or link-local."""
    mtu: int = Field(default=1500, ge=1280, le=9000)
    """Largest packet that the way out carries, bytes; the tunnel's own is worked out from it."""

    @model_validator(mode="after")
    def gateways_are_neighbours(self) -> Self:
        """A gateway must be another host of the guest's own network; by IPv6 routers go by link-local addresses too."""
        if self.gateway6 and not self.address6:
            raise ValueError(f"gateway {self.gateway6} is of no use without an address6; add one, or remove gateway6")
        for address, gateway in zip(self.addresses, (self.gateway, self.gateway6), strict=False):
            if gateway is None:
                continue
            if gateway == address.ip:
                raise ValueError(f"gateway {gateway} is the guest's own address; give the router's")
            link_local = gateway.version == 6 and gateway.is_link_local
            if gateway not in address.network and not link_local:
                raise ValueError(f"gateway {gateway} is outside {address.network}; give one inside it")
        return self


class Network(Uplink):
    """The guest's network: the first uplink, by which it is reached, and the further interfaces.

    A first boot reads all of it, so any change takes a new `generation` of the node.
    """

    dns: tuple[IPvAnyAddress, ...] = Field(min_length=1)
    """Name servers."""
    lan: Interface | None = None
    """The farm's own network, where sensors live; no way out."""
    backup: Uplink | None = None
    """A second uplink, such as LTE; its routes count while the first uplink has no link."""

    @property
    def interfaces(self) -> dict[str, Interface]:
        """The interfaces by their section's place in `node`, in the guest's order."""
        given = {"network": self, "network.lan": self.lan, "network.backup": self.backup}
        return {place: interface for place, interface in given.items() if interface}

    @model_validator(mode="after")
    def networks_do_not_overlap(self) -> Self:
        """An address lies behind one interface."""
        for (place, one), (other_place, other) in combinations(self.interfaces.items(), 2):
            for mine, theirs in product(one.addresses, other.addresses):
                if mine.version == theirs.version and mine.network.overlaps(theirs.network):
                    raise ValueError(
                        f"{mine.network} of {place} and {theirs.network} of {other_place} overlap; "
                        "give each interface a network of its own"
                    )
        return self

    @model_validator(mode="after")
    def macs_differ(self) -> Self:
        """A network tells its hosts apart by their MAC addresses."""
        given = [(place, interface.mac) for place, interface in self.interfaces.items() if interface.mac]
        for (place, mac), (other_place, other) in combinations(given, 2):
            if mac == other:
                raise ValueError(f"mac {mac} is given to {place} and {other_place}; change one, or leave it out")
        return self


class TrustedRegistry(Model):
    """An image registry with a certificate authority of its own."""

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:\d{1,5})?$")]
    """Host and port as in the images' names."""
    certificate_authority: str
    """The authority's certificate, PEM."""


class UpgradeWindow(Model):
    """The hours in which a site can do without its node for a minute."""

    day: Literal["daily", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] = "daily"
    """Day of the week, or every day."""
    start: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "02:00"
    """Beginning, UTC."""
    minutes: int = Field(default=120, ge=30, le=720)
    """Length, minutes; what is not installed by then waits for the next window."""


class Node(Model):
    """The guest: `EdgeNode`."""

    generation: int = Field(default=1, ge=1)
    """Raise it to replace the VM with what its first boot reads and another SSH host key; the data disk stays."""
    cpus: int = Field(ge=1, le=64)
    """Virtual CPUs."""
    memory_mib: int = Field(ge=768)
    """Memory, MiB."""
    root_disk_gib: int = Field(default=8, ge=4)
    """Root disk, GiB; images and containers live here."""
    data_disk_gib: int = Field(ge=1)
    """Data disk, GiB; outlives the VM."""
    image: Image
    """What it boots."""
    hypervisor: Hypervisor
    """Where it runs."""
    network: Network
    """How it is reached."""
    user: Name = "edge"
    """First user, by key only, with sudo; none that the node has by itself."""
    authorized_keys: tuple[str, ...] = Field(min_length=1)
    """Public SSH keys of those who may log in."""
    sysctls: dict[SysctlKey, SysctlValue] = Field(default_factory=dict)
    """Further sysctls by their name; the fixed ones cannot be changed."""
    upgrade_window: UpgradeWindow = UpgradeWindow()
    """When security upgrades are installed, and the node reboots where they ask for it."""
    time_servers: tuple[HostName, ...] = Field(default=("ntp.justervesenet.no", "no.pool.ntp.org"), min_length=1)
    """NTP servers."""
    registries: tuple[TrustedRegistry, ...] = ()
    """Image registries with their own certificate authority."""

    @field_validator("user")
    @classmethod
    def user_is_a_new_one(cls, user: str) -> str:
        """Nobody logs in as root, and a system's own user has no shell: the node would be out of reach."""
        if user in SYSTEM_NAMES.split():
            raise ValueError(f"{user} is one of the system's own users or groups; give the first user another name")
        return user

    @field_validator("sysctls")
    @classmethod
    def sysctls_leave_the_fixed_ones(cls, sysctls: dict[str, str]) -> dict[str, str]:
        """The tuning that every site is promised is not a site's to change."""
        for key in sysctls:
            if key in FIXED_SYSCTLS:
                raise ValueError(f"{key} is {FIXED_SYSCTLS[key]!r} at every site; remove it here")
        return sysctls

    @field_validator("authorized_keys")
    @classmethod
    def authorized_keys_are_public_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        """One OpenSSH public key a line; a private key pasted here by mistake is refused."""
        for number, key in enumerate(keys):
            if not _PUBLIC_KEY.fullmatch(key):
                raise ValueError(f"entry {number} is not an OpenSSH public key; paste one line of a `.pub` file")
        return keys


def _checked_host_key(key: str) -> str:
    if not _HOST_KEY.fullmatch(key):
        raise ValueError("this is no SSH host key; paste kind and key of a line of `ssh-keyscan`")
    return key


class Keep(Model):
    """How many backups are kept; the newest of each day, week and month."""

    daily: int = Field(default=14, ge=1)
    """So many days' newest."""
    weekly: int = Field(default=8, ge=0)
    """So many weeks' newest."""
    monthly: int = Field(default=12, ge=0)
    """So many months' newest."""


class Backup(Model):
    """Encrypted copies of what the services keep, off the node, by restic over SFTP."""

    host: NameOrIPv4
    """Where they go: a NAS, or a machine at headquarters; a name or IPv4 address, beside the node, not in the mesh."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """SSH port there."""
    user: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]{0,30}$")]
    """SFTP user; it takes the key in the stack's output `backupKey`."""
    path: Annotated[str, StringConstraints(pattern=r"^/?[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")]
    """Folder there, as that user sees it; each site has its own folder in it."""
    host_key: str
    """SSH host key there: kind and key, as in known_hosts."""
    start: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "00:30"
    """When a backup begins each day, UTC."""
    kib_per_second: int = Field(default=1024, ge=16)
    """No more than this is sent, KiB/s; readings and alarms share the line."""
    keep: Keep = Keep()
    """What is kept."""

    @field_validator("host_key")
    @classmethod
    def host_key_is_one(cls, key: str) -> str:
        """The connection is refused unless the other side has exactly this key."""
        return _checked_host_key(key)


class Epochs(Model):
    """Raise one to change the keys of that purpose; all are derived from the seed."""

    wireguard: Epoch = 1
    """Tunnel key."""
    identity: Epoch = 1
    """Key for secrets shared with headquarters."""
    mqtt_authority: Epoch = 1
    """The site's certificate authority."""
    mqtt_server: Epoch = 1
    """The broker's certificate."""
    passwords: Epoch = 1
    """Passwords of sensors and services."""
    backup: Epoch = 1
    """Key and password of the backups; another epoch begins another repository."""


class HeadquartersPage(Page):
    """The page at headquarters; it has no broker whose authority could sign."""

    authority: Certificates
    """The life of the certificate authority that browsers trust."""

    @model_validator(mode="after")
    def page_does_not_outlive_its_authority(self) -> Self:
        """A browser would refuse it."""
        if self.outlives(self.authority):
            raise ValueError(
                f"certificate is not within authority, {self.authority.not_before} to {self.authority.not_after}; "
                "change one of both"
            )
        return self


class Summaries(Model):
    """Headquarters' store of the sites' summaries: one database and one user a site, reached through the tunnel."""

    image: str = IMAGES["influxdb"]
    """InfluxDB 1.8, pinned by digest."""
    services: str = IMAGES["services"]
    """Our own programs, pinned by digest."""
    silent_minutes: int = Field(default=5, ge=1, le=1440)
    """A site from which nothing came for so long is silent; it says every half minute how it does."""
    repeat_seconds: int = Field(default=900, ge=10)
    """A site that stays silent is told again."""
    webhook: WebAddress | None = None
    """Where a silent site is posted until it is accepted, signed with a key that is derived from headquarters' seed."""
    page: HeadquartersPage | None = None
    """The page that lists all sites, at headquarters' own address; without it there is none."""

    @model_validator(mode="after")
    def images_are_pinned(self) -> Self:
        """A tag can change under headquarters' feet, a digest cannot."""
        check_pinned("image", self.image)
        check_pinned("services", self.services)
        return self


class Host(Model):
    """A machine that is there already and carries headquarters: only interface, service and firewall are made there."""

    address: HostName
    """Host name or address for SSH."""
    user: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]{0,30}$")] = "root"
    """SSH user; root, or one who may use `sudo` without a password."""
    host_key: str
    """SSH host key: kind and key, as in known_hosts."""
    mtu: int = Field(default=1500, ge=1280, le=9000)
    """Largest packet that its way out carries, bytes."""

    @field_validator("host_key")
    @classmethod
    def host_key_is_one(cls, key: str) -> str:
        """The connection is refused unless the other side has exactly this key."""
        return _checked_host_key(key)


class HostSection(Model):
    """What `fjord-edge:site` says of a headquarters without a guest of its own."""

    host: Host
    """The machine."""
    epochs: Epochs = Epochs()
    """Rotation of derived keys."""
    summaries: Summaries | None = None
    """What the sites send; the machine needs Docker for it."""
    allow_published_seed: bool = False
    """Accept the published seed of an example stack; only for a lab."""

    @model_validator(mode="after")
    def page_has_an_address(self) -> Self:
        """It is bound to one, and never to the mesh."""
        if self.summaries and self.summaries.page and self.address is None:
            raise ValueError(
                f"summaries.page needs host.address as an IPv4 address, not {self.host.address}: the page is served "
                "there; write the address, or remove summaries.page"
            )
        return self

    @property
    def address(self) -> IPv4Address | None:
        """The machine's own, where its host is given by one."""
        try:
            return IPv4Address(self.host.address)
        except ValueError:
            return None


class SiteSection(Model):
    """What `fjord-edge:site` says."""

    node: Node
    """The guest."""
    backup: Backup | None = None
    """Where its data is kept beside the node; without it, a lost data disk is lost. Dropped, what was sent stays."""
    epochs: Epochs = Epochs()
    """Rotation of derived keys."""
    iot: Iot | None = None
    """The sensors' side; absent at headquarters."""
    summaries: Summaries | None = None
    """What the sites send; at headquarters alone."""
    allow_published_seed: bool = False
    """Accept the published seed of an example stack; only for a lab."""

    @model_validator(mode="after")
    def plain_mqtt_stays_on_the_farm(self) -> Self:
        """What is sent in the clear must not pass any other network."""
        if self.iot and self.iot.plain_mqtt and not self.node.network.lan:
            raise ValueError(
                "iot.plainMqtt needs the farm's own network; give node.network a lan, or let the sensors use TLS"
            )
        return self

    @model_validator(mode="after")
    def disk_holds_what_is_kept(self) -> Self:
        """The local database is the buffer of a cut: what it cannot hold would be lost."""
        if self.iot is None:
            return self
        asked = {
            "iot.uplink.outageBudgetDays": self.iot.uplink.outage_budget_days,
            "iot.storage.retentionDays": self.iot.storage.retention_days,
        }
        for key, days in asked.items():
            needed = self.iot.needed_gib(days)
            if needed > self.node.data_disk_gib:
                fits = int(days * self.node.data_disk_gib / needed)
                raise ValueError(
                    f"{key} {days}: {self.iot.readings_per_second:.1f} readings/s need {needed:.0f} GiB, "
                    f"node.dataDiskGib is {self.node.data_disk_gib}; make the disk bigger, or write at most {fits} days"
                )
        return self
