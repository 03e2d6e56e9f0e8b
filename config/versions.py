"""What is the same at every site, each in one place: the versions of what runs there, what is taken, and the tuning."""

from collections.abc import Mapping
from ipaddress import IPv4Network

#: The services' releases; a stack file pins the digest that was published for them.
IMAGES = {
    "mosquitto": "eclipse-mosquitto:2.1",
    "telegraf": "telegraf:1.39",
    "influxdb": "influxdb:1.8.10",
    "services": "ghcr.io/fjord-edge/services:0.1.0",
}

#: What Docker gives its own bridge, docker0, on a node.
DOCKER_NETWORK = IPv4Network("172.17.0.0/16")

#: The seed's section "Tuning the Host Network". Buffers in bytes (minimum, default, maximum), backlog in packets.
FIXED_SYSCTLS: Mapping[str, str] = {
    "net.core.rmem_max": "16777216",
    "net.core.wmem_max": "16777216",
    "net.ipv4.tcp_rmem": "4096 87380 16777216",
    "net.ipv4.tcp_wmem": "4096 65536 16777216",
    "net.core.default_qdisc": "fq",
    "net.ipv4.tcp_congestion_control": "bbr",
    "net.core.netdev_max_backlog": "5000",
}
