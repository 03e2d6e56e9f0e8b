"""What a machine that is there already lets out of the tunnels; the rest of its firewall is its owner's."""

from components._files import File
from components._firewall import NFTABLES, Inbound, mesh_forward, mesh_input, table

#: Puts the rules in force; the tunnels' service does the same at each boot, before there is an interface.
APPLY = f"nft --file {NFTABLES}"

_AT_BOOT = f"""\
[Service]
ExecStartPre=/usr/sbin/nft --file {NFTABLES}
"""

#: Programs that must be there; nothing is installed.
PROGRAMS = ("base64", "getent", "ip", "nft", "ping", "python3", "systemctl", "tar", "wg")

#: Names what is missing, and changes nothing.
LOOK = (
    f"missing=; for program in {' '.join(PROGRAMS)}; do "
    'sudo sh -c "command -v $program" > /dev/null || missing="$missing $program"; done; '
    'if [ -n "$missing" ]; then '
    'echo "missing here:$missing; on Debian: apt install iproute2 iputils-ping nftables python3 wireguard-tools" >&2; '
    "exit 1; fi"
)


def nftables(inbound: Inbound) -> str:
    """Render nft(8)'s rules: only of the tunnels' packets something is said."""
    rules = ["ct state established,related accept", *_pings(), *mesh_input(inbound)]
    return table(input_policy="accept", input_rules=rules, forward_rules=mesh_forward(inbound))


def firewall_files(inbound: Inbound) -> list[File]:
    """The rules, and the line that brings them back at a boot."""
    return [
        File(path=NFTABLES, contents=nftables(inbound)),
        File(path="/etc/systemd/system/fjord-edge-mesh.service.d/firewall.conf", contents=_AT_BOOT),
    ]


def _pings() -> list[str]:
    """The sites ask by ping whether headquarters is there."""
    return ["meta l4proto { icmp, ipv6-icmp } accept"]
