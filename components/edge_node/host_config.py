"""The node's tuning as text: the seed's network sysctls, in the kernel's own spelling."""

from collections.abc import Mapping

SYSCTL_FILE = "/etc/sysctl.d/90-fjord-edge.conf"

#: The queueing discipline that BBR paces with; sysctl alone does not reach an interface that is already up.
EGRESS_QDISC = "fq"

#: The seed's section "Tuning the Host Network". Buffers in bytes (minimum, default, maximum), backlog in packets.
SYSCTLS: Mapping[str, str] = {
    "net.core.rmem_max": "16777216",
    "net.core.wmem_max": "16777216",
    "net.ipv4.tcp_rmem": "4096 87380 16777216",
    "net.ipv4.tcp_wmem": "4096 65536 16777216",
    "net.core.default_qdisc": EGRESS_QDISC,
    "net.ipv4.tcp_congestion_control": "bbr",
    "net.core.netdev_max_backlog": "5000",
}


def sysctl_conf(sysctls: Mapping[str, str]) -> str:
    """Render sysctl.d(5)."""
    return "".join(f"{key} = {value}\n" for key, value in sysctls.items())
