"""One device's flood, on this machine's own kernel: an emulated guest takes in less than a device may send."""

import json
import subprocess
from pathlib import Path

from components.edge_node.host_config import nftables
from tests.components.edge_node.test_host_config import OF_A_SITE

SECONDS = 4

#: The burst, a second's worth beside it (nft keeps that in hand), and what comes until the broker has counted.
ALLOWED = (1024 + (SECONDS + 2) * 512) * 1024
ECHOES = 100

#: A node between two devices and a broker, which is published at 10.0.9.9 as Docker does it. The broker counts what a
#: peer sends, and answers each line with a line.
HOUSE = """\
mount -t tmpfs tmpfs /run
ip link set lo up
for name in flooder neighbour broker; do
    ip netns add $name
    ip link add $name type veth peer name eth0 netns $name
    ip link set $name up
    ip -n $name link set eth0 up
    ip -n $name link set lo up
done
ip address add 10.0.1.1/24 dev flooder && ip -n flooder address add 10.0.1.2/24 dev eth0
ip address add 10.0.2.1/24 dev neighbour && ip -n neighbour address add 10.0.2.2/24 dev eth0
ip address add 10.0.3.1/24 dev broker && ip -n broker address add 10.0.3.2/24 dev eth0
for number in 1 2 3; do
    name=$(echo flooder neighbour broker | cut -d ' ' -f $number)
    ip -n $name route add default via 10.0.$number.1
done
sysctl -q net.ipv4.ip_forward=1
nft --file {rules}
nft add table ip published
nft add chain ip published prerouting '{{ type nat hook prerouting priority dstnat; }}'
nft add rule ip published prerouting ip daddr 10.0.9.9 dnat to 10.0.3.2
ip netns exec broker {python} {program} broker {seconds} > {folder}/broker &
sleep 0.5
ip netns exec flooder timeout {seconds} {python} {program} flooder > {folder}/flooder &
ip netns exec neighbour {python} {program} neighbour > {folder}/neighbour
wait
nft --json list chain inet fjord_edge forward > {folder}/chain
"""
PROGRAM = f"""\
import socket, sys, threading, time
def serve(peer, received):
    with peer:
        while data := peer.recv(65536):
            received[peer.getpeername()[0]] = received.get(peer.getpeername()[0], 0) + len(data)
            if data.endswith(b"\\n"):
                peer.sendall(b"\\n")
def broker(seconds):
    received = dict()
    listener = socket.create_server(("10.0.3.2", 8883))
    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0], received), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    time.sleep(float(seconds) + 1)
    print(received["10.0.1.2"])
def flooder():
    peer = socket.create_connection(("10.0.9.9", 8883))
    while True:
        peer.sendall(bytes(65536))
def neighbour():
    peer = socket.create_connection(("10.0.9.9", 8883))
    for _ in range({ECHOES}):
        peer.sendall(b"reading\\n")
        print(len(peer.recv(16)))
        time.sleep(0.02)
globals()[sys.argv[1]](*sys.argv[2:])
"""


def test_it_is_slowed_and_nobody_else_waits(tmp_path: Path) -> None:
    rules, program = tmp_path / "nftables.conf", tmp_path / "program.py"
    rules.write_text(nftables(OF_A_SITE))
    program.write_text(PROGRAM)
    house = HOUSE.format(rules=rules, program=program, folder=tmp_path, seconds=SECONDS, python="python3")
    subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", house], check=True, timeout=60
    )
    chain = json.loads((tmp_path / "chain").read_text())["nftables"]
    [dropped] = [
        p["counter"]["packets"] for each in chain if "rule" in each for p in each["rule"]["expr"] if "counter" in p
    ]
    assert dropped > 0
    assert 0 < int((tmp_path / "broker").read_text()) < ALLOWED
    assert (tmp_path / "neighbour").read_text().split() == ["1"] * ECHOES
