"""What a bad line carries: BBR against CUBIC, beside the tunnel and through it.

Rate, delay and loss are made where the packets arrive, behind the receiver's interface: under the sender's own queueing
discipline they would tell the sender what no real line tells.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from lab.sensors import on_node
from lab.stacks import Stack

LINE_MBIT, DELAY_MS, LOSS_PERCENT = 20, 50, 1

#: Packets on their way and in the line's queue: 83 are in flight at this rate and delay.
QUEUE_PACKETS = 250

#: Each measurement; its beginning, in which the rate is found, does not count.
SECONDS, SETTLE_SECONDS = 25, 5

PORT = 5201

#: Of a full packet of 1,500 bytes and its Ethernet header what is TCP's payload, with timestamps: on the bare line, and
#: inside a tunnel whose packets are 80 bytes smaller.
BARE_SHARE, TUNNEL_SHARE = 1448 / 1514, 1368 / 1514

RECEIVER = """
import contextlib, json, socket, sys, time
address, settle = sys.argv[1], float(sys.argv[2])
server = socket.create_server((address, int(sys.argv[3])))
server.settimeout(60)
connection, _ = server.accept()
connection.settimeout(60)
begun = counted_from = time.monotonic()
received = 0
with contextlib.suppress(ConnectionResetError):
    while chunk := connection.recv(1 << 16):
        if time.monotonic() - begun < settle:
            counted_from, received = time.monotonic(), 0
        received += len(chunk)
print(json.dumps({"bytes": received, "seconds": time.monotonic() - counted_from}))
"""

SENDER = """
import socket, sys, time
address, control, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
connection = socket.socket()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
connection.settimeout(60)
connection.connect((address, int(sys.argv[4])))
deadline = time.monotonic() + seconds
while time.monotonic() < deadline:
    connection.send(bytes(1 << 14))
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
connection.close()
"""


@dataclass(frozen=True)
class Goodput:
    """What one connection carried.

    Attributes:
        way: `line` or `tunnel`.
        control: TCP's congestion control at the sender.
        mbit: payload, Mbit/s.
        fraction: of what the line can carry of payload on this way.
    """

    way: str
    control: str
    mbit: float
    fraction: float


def goodput(sender: Stack, receiver: Stack, address: str) -> list[Goodput]:
    """Measure each way with each congestion control, one after another.

    Args:
        sender: the node that sends.
        receiver: the node behind whose interface the line is bad.
        address: the receiver's in the mesh.
    """
    source, bare = (str(stack.site.node.network.address.ip) for stack in (sender, receiver))
    ways = {"line": (bare, BARE_SHARE), "tunnel": (address, TUNNEL_SHARE)}
    with _bad_line(receiver, source), _single_packets(sender):
        return [
            _measured(sender, receiver, way, to, control, share)
            for way, (to, share) in ways.items()
            for control in ("cubic", "bbr")
        ]


def _measured(sender: Stack, receiver: Stack, way: str, address: str, control: str, share: float) -> Goodput:
    with ThreadPoolExecutor(1) as pool:
        words = f"{address} {SETTLE_SECONDS} {PORT}"
        told = pool.submit(on_node, receiver, f"python3 - {words}", stdin=RECEIVER)
        time.sleep(3)
        on_node(sender, f"sudo python3 - {address} {control} {SECONDS} {PORT}", stdin=SENDER)
        found = json.loads(told.result())
    mbit = found["bytes"] * 8 / found["seconds"] / 1e6
    return Goodput(way=way, control=control, mbit=mbit, fraction=mbit / (LINE_MBIT * share))


@contextmanager
def _bad_line(receiver: Stack, source: str) -> Iterator[None]:
    """What comes from this address passes a slow, long, lossy line first; the measurement's port is let in."""
    line = f"netem delay {DELAY_MS}ms loss {LOSS_PERCENT}% rate {LINE_MBIT}mbit limit {QUEUE_PACKETS}"
    _as_root(
        receiver,
        "modprobe ifb numifbs=1",
        "ip link set ifb0 up",
        f"tc qdisc replace dev ifb0 root {line}",
        "tc qdisc replace dev eth0 ingress",
        f"tc filter add dev eth0 parent ffff: protocol ip u32 match ip src {source}/32 "
        "action mirred egress redirect dev ifb0",
        f"nft insert rule inet fjord_edge input tcp dport {PORT} accept",
    )
    try:
        yield
    finally:
        _as_root(
            receiver,
            "tc qdisc delete dev eth0 ingress",
            "ip link delete ifb0",
            "nft --file /etc/fjord-edge/nftables.conf",
        )


@contextmanager
def _single_packets(sender: Stack) -> Iterator[None]:
    """Between two guests a packet of 64 KiB would pass whole, and the line lose it as one."""
    _as_root(sender, "ip link set dev eth0 gso_max_segs 1")
    try:
        yield
    finally:
        _as_root(sender, "ip link set dev eth0 gso_max_segs 65535")


def _as_root(stack: Stack, *commands: str) -> None:
    on_node(stack, "sudo sh -ec '" + "; ".join(commands) + "'")
