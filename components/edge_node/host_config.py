"""What changes in a node's life, as text: sysctls, who may log in, the firewall, the time, the journal.

All of it is put in force in place and again at each boot; nothing here replaces a VM (ADR 12).
"""

from collections.abc import Mapping, Sequence

from components._files import PROGRAMS, File
from components._firewall import NFTABLES, Inbound, mesh_forward, mesh_input, table
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
        File(path=NFTABLES, contents=nftables(inbound)),
        File(path="/etc/systemd/timesyncd.conf.d/fjord-edge.conf", contents=timesyncd_conf(node.time_servers)),
        File(path="/etc/systemd/journald.conf.d/fjord-edge.conf", contents=journald_conf()),
        File(path=f"{_UPGRADES}.timer.d/window.conf", contents=upgrades_timer(node.upgrade_window)),
        File(path=f"{_UPGRADES}.service.d/window.conf", contents=upgrades_service(node.upgrade_window)),
    ]


#: A new connection from outside into one of Docker's bridges that is none to a published port.
_NO_BYPASS = 'iifname != "br-*" oifname "br-*" ct state new ct status & dnat == 0 drop'

#: What comes in by an uplink or the farm's network for an address of the node that is another interface's.
_NO_DETOUR = 'iifname "eth*" fib daddr type local fib daddr . iif type != local drop'


def nftables(inbound: Inbound) -> str:
    """Render nft(8)'s rules: what comes in, and what comes out of the tunnels.

    A container's published port does not come in here but is forwarded, by Docker's rules and only to the address it is
    bound to. Docker before 28 lets a neighbour's packet that names the container itself go on to that port, also if it
    is published on the loopback alone; here such a packet ends. So does one that comes by another interface than the
    one whose address it names: Linux would take it in, and what is published in the farm's network or in the mesh alone
    would be reached from beside an uplink (nft(8), fib).
    """
    rules = [
        "ct state established,related accept",
        'iifname "lo" accept',
        "meta l4proto { icmp, ipv6-icmp } accept",
        *mesh_input(inbound),
        "tcp dport 22 accept",
        *(f"udp dport {port} accept" for port in inbound.tunnel_ports),
    ]
    return table(
        input_policy="drop",
        input_rules=rules,
        forward_rules=[_NO_BYPASS, *mesh_forward(inbound)],
        prerouting_rules=[_NO_DETOUR],
    )


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
