"""What changes in a node's life, as text: sysctls, who may log in, the firewall, the time, the journal.

All of it is put in force in place and again at each boot; nothing here replaces a VM (ADR 12).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from components._files import CONFIGURATION, PROGRAMS, File
from config.site import Node, UpgradeWindow
from config.versions import FIXED_SYSCTLS

SYSCTL_FILE = "/etc/sysctl.d/90-fjord-edge.conf"

#: The queueing discipline that BBR paces with; sysctl alone does not reach an interface that is already up.
EGRESS_QDISC = "fq"


def sysctl_conf(sysctls: Mapping[str, str]) -> str:
    """Render sysctl.d(5)."""
    return "".join(f"{key} = {value}\n" for key, value in sysctls.items())


#: cloud-init makes the first user, under the first number that Debian gives to people.
_FIRST_USER = 1000

_NFTABLES = f"{CONFIGURATION}/nftables.conf"

_UPGRADES = "/etc/systemd/system/fjord-edge-upgrades"

#: Puts the files in force, of which a boot does the same; sshd reads its keys at each login.
APPLY = (
    f"{PROGRAMS}/tuning && systemctl daemon-reload && "
    "systemctl restart systemd-journald.service systemd-timesyncd.service fjord-edge-upgrades.timer"
)

#: MiB of the root disk, and of memory, that the node's journal takes at most.
_JOURNAL_MIB, _RUNTIME_JOURNAL_MIB = 200, 50


def sysctls(node: Node) -> dict[str, str]:
    """The seed's sysctls and the site's own."""
    return {**FIXED_SYSCTLS, **node.sysctls}


@dataclass(frozen=True, kw_only=True)
class Inbound:
    """Whom a node lets in, containers and its own administration apart."""

    tunnel_ports: Sequence[int]
    """UDP ports of WireGuard."""
    administrators: Sequence[IPv4Address | IPv6Address] = ()
    """Headquarters' addresses in the mesh, from which a site is administered; none at headquarters itself."""
    published: Sequence[tuple[IPv4Address, int]] = ()
    """Own addresses and TCP ports in the mesh at which containers serve the other sites."""


def host_files(node: Node, inbound: Inbound) -> list[File]:
    """The files of a node's life."""
    return [
        File(path=SYSCTL_FILE, contents=sysctl_conf(sysctls(node))),
        File(
            path=f"/home/{node.user}/.ssh/authorized_keys",
            contents="".join(f"{key}\n" for key in node.authorized_keys),
            mode=0o600,
            owner=_FIRST_USER,
        ),
        File(path=_NFTABLES, contents=nftables(inbound)),
        File(path="/etc/systemd/timesyncd.conf.d/fjord-edge.conf", contents=timesyncd_conf(node.time_servers)),
        File(path="/etc/systemd/journald.conf.d/fjord-edge.conf", contents=journald_conf()),
        File(path=f"{_UPGRADES}.timer.d/window.conf", contents=upgrades_timer(node.upgrade_window)),
        File(path=f"{_UPGRADES}.service.d/window.conf", contents=upgrades_service(node.upgrade_window)),
    ]


def nftables(inbound: Inbound) -> str:
    """Render nft(8)'s rules: what comes in, and what comes out of the tunnels.

    The table is our own and made anew in one transaction, so Docker's rules stay. A container's published port does not
    come in here but is forwarded, by Docker's rules and only to the address it is bound to; nothing new is forwarded
    out of a tunnel, neither to another site nor to a container, but to what is published there.
    """
    input_rules = [
        "ct state established,related accept",
        'iifname "lo" accept',
        "meta l4proto { icmp, ipv6-icmp } accept",
        *(
            f'iifname "wg*" {_family(address)} saddr {address} tcp dport 22 accept'
            for address in inbound.administrators
        ),
        'iifname "wg*" drop',
        "tcp dport 22 accept",
        *(f"udp dport {port} accept" for port in inbound.tunnel_ports),
    ]
    forward_rules = [
        "ct state established,related accept",
        *(
            f'iifname "wg*" meta l4proto tcp ct original ip daddr {address} ct original proto-dst {port} accept'
            for address, port in inbound.published
        ),
        'iifname "wg*" drop',
    ]
    return (
        "table inet fjord_edge\ndelete table inet fjord_edge\ntable inet fjord_edge {\n"
        + _chain("input", "type filter hook input priority filter; policy drop;", input_rules)
        + _chain("forward", "type filter hook forward priority filter - 10; policy accept;", forward_rules)
        + "}\n"
    )


def _family(address: IPv4Address | IPv6Address) -> str:
    return "ip" if address.version == 4 else "ip6"


def _chain(name: str, hook: str, rules: Sequence[str]) -> str:
    return f"    chain {name} {{\n" + "".join(f"        {line}\n" for line in (hook, *rules)) + "    }\n"


def timesyncd_conf(servers: Sequence[str]) -> str:
    """Render timesyncd.conf(5)."""
    return f"[Time]\nNTP={' '.join(servers)}\n"


def journald_conf() -> str:
    """Render journald.conf(5): kept over a boot, and never so big that it is in the way."""
    return f"[Journal]\nStorage=persistent\nSystemMaxUse={_JOURNAL_MIB}M\nRuntimeMaxUse={_RUNTIME_JOURNAL_MIB}M\n"


def upgrades_timer(window: UpgradeWindow) -> str:
    """Render systemd.timer(5)'s part that is the site's: the window's beginning, in the place of the image's."""
    day = "" if window.day == "daily" else f"{window.day} "
    return f"[Timer]\nOnCalendar=\nOnCalendar={day}*-*-* {window.start}:00 UTC\n"


def upgrades_service(window: UpgradeWindow) -> str:
    """Render systemd.service(5)'s part that is the site's: the window's end."""
    return f"[Service]\nTimeoutStartSec={window.minutes}min\n"
