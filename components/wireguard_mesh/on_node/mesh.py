#!/usr/bin/env python3
"""Runs on the node: brings WireGuard's interfaces to what a file says, and keeps them there.

`watch` alone acts, as a service. A file that is asked for is on trial first: when a peer that was there before does not
answer any more, the file before it comes back. `apply` asks for the file and waits for the verdict; an update that is
cut off by its own change is thereby taken back without anybody's hand. `show` prints the tunnels as they are.
"""

import hashlib
import ipaddress
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WANTED = Path("/etc/fjord-edge/mesh/mesh.json")
#: The last file that held; what a boot puts in force.
CONFIRMED = Path("/var/lib/fjord-edge/mesh/confirmed.json")
#: Gone with a boot: what is asked for, what is on trial, how the last trial ended.
ASKED, TRIAL, VERDICT = (Path("/run/fjord-edge-mesh", name) for name in ("asked", "trial", "verdict.json"))

UNIT = "fjord-edge-mesh.service"

#: After that long without a handshake a session is over (REJECT_AFTER_TIME, the WireGuard paper, section 6).
PRESENT_SECONDS = 180
#: A session that is in use is renewed after 120 s, and tried again every 5 s: one that is older is not.
AGED_SECONDS = 135
RESOLVE_SECONDS = 15
LOOKUPS = 32
TRIAL_SECONDS = 40
#: A name server that does not answer, a peer that is asked three times for two seconds, a slow machine.
VERDICT_SECONDS = TRIAL_SECONDS + 60

TICK_SECONDS = 1
#: Where nothing can move, only the endpoints' names are looked after.
QUIET_TICK_SECONDS = 5

PING_SECONDS = 2
PINGS = 3

#: Marks the routes that are ours (rtnetlink(7): numbers from 4 are free to users).
ROUTE_PROTOCOL = "51"
#: Marks the interfaces that are ours.
ALIAS = "fjord-edge"


def main(word: str) -> int:
    """Run one of the three."""
    actions: dict[str, Callable[[], int]] = {"apply": apply, "show": show, "watch": watch}
    try:
        return actions[word]()
    except MeshError as error:
        print(error, file=sys.stderr)
        return 1


class MeshError(Exception):
    """What could not be brought in force, without any secret."""


# What is asked for


def apply() -> int:
    """Ask for the file and wait for the verdict; the status is 1 when it was taken back."""
    digest = digest_of(WANTED)
    write(ASKED, digest)
    VERDICT.unlink(missing_ok=True)
    run("systemctl", "restart", UNIT)
    deadline = time.monotonic() + VERDICT_SECONDS
    while time.monotonic() < deadline:
        verdict = read(VERDICT)
        if verdict and verdict["digest"] == digest:
            print(verdict["reason"], file=sys.stderr)
            return 0 if verdict["held"] else 1
        time.sleep(TICK_SECONDS / 4)
    print(f"the tunnels were not changed within {VERDICT_SECONDS} s; see: journalctl --unit {UNIT}", file=sys.stderr)
    return 1


def show() -> int:
    """Print the tunnels as JSON: each peer once for each interface and key on which it is known."""
    mesh = read(CONFIRMED) or {"peers": [], "interfaces": {}}
    known = {key: (peer["name"], number > 0) for peer in mesh["peers"] for number, key in enumerate(peer["keys"])}
    rows = [
        {
            "peer": known[one.key][0],
            "next": known[one.key][1],
            "interface": one.interface,
            "publicKey": one.key,
            "endpoint": one.endpoint,
            "allowedIps": list(one.allowed_ips),
            "latestHandshake": one.handshake or None,
            "receivedBytes": one.received,
            "sentBytes": one.sent,
        }
        for one in sessions()
        if one.key in known
    ]
    print(json.dumps({"time": int(time.time()), "onTrial": TRIAL.exists(), "sessions": rows}))
    return 0


# The service


def watch() -> int:
    """Put the file that holds in force, or the one that is asked for on trial, and then look after it for ever."""
    watcher = Watcher()
    watcher.begin()
    subprocess.run(["systemd-notify", "--ready"], check=False)
    while True:
        watcher.tick()
        time.sleep(TICK_SECONDS if watcher.is_busy() else QUIET_TICK_SECONDS)


@dataclass
class Watcher:
    """What the service remembers between two looks."""

    text: str = ""
    """The file that is in force, as it was then: the one on disk may be the next already."""
    mesh: dict[str, Any] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)
    """The peers whose answer the trial still waits for."""
    deadline: float | None = None
    """When the trial ends; None while there is none."""
    known: dict[str, list[str]] = field(default_factory=dict)
    """The addresses at which peers were dialled when the file was put in force."""
    looked_up: dict[str, float] = field(default_factory=dict)
    """When each peer's name was last looked up."""

    def begin(self) -> None:
        """Boot: what held. Asked for: a trial of what is wanted. Ended in the middle of a trial: back to what held."""
        asked = ASKED.read_text() if ASKED.exists() else None
        ASKED.unlink(missing_ok=True)
        if TRIAL.exists() and asked is None:
            self.take_back("the service was ended in the middle of the trial")
            return
        TRIAL.unlink(missing_ok=True)
        if read(CONFIRMED) is None or digest_of(CONFIRMED) == digest_of(WANTED):
            self.put_in_force(WANTED, dial=False)
            self.confirm("the tunnels are as asked")
        elif asked == digest_of(WANTED):
            self.put_in_force(CONFIRMED, dial=False)
            self.try_wanted()
        else:
            self.put_in_force(CONFIRMED, dial=False)

    def try_wanted(self) -> None:
        """Put the wanted file on trial: who is there now, and is to stay, must answer afterwards."""
        found = sessions()
        present = answering(peer for peer in self.mesh["peers"] if is_present(peer, found))
        wanted = json.loads(WANTED.read_text())
        self.judged = present & {peer["name"] for peer in wanted["peers"]}
        write(TRIAL, digest_of(WANTED))
        self.deadline = time.monotonic() + TRIAL_SECONDS
        try:
            self.put_in_force(WANTED)
        except MeshError as error:
            self.take_back(str(error))
            return
        self.judge()

    def judge(self) -> None:
        """Ask those who have not answered since the change; the trial ends when all have, or when its time is over."""
        if self.deadline is None:
            return
        asked = [peer for peer in self.mesh["peers"] if peer["name"] in self.judged]
        there = answering(asked, pings=1)
        found = sessions()
        self.judged -= {peer["name"] for peer in asked if peer["name"] in there and self.is_dialled(peer, found)}
        if not self.judged:
            absent = sorted(peer["name"] for peer in self.mesh["peers"] if not is_present(peer, found))
            self.confirm("the tunnels are as asked" + (f"; not there: {', '.join(absent)}" if absent else ""))
        elif time.monotonic() > self.deadline:
            lost = ", ".join(sorted(self.judged))
            self.take_back(
                f"{lost} answered before the change and not within {TRIAL_SECONDS} s after it. Compare the keys and "
                "endpoints in config/mesh of both ends; a site that takes its next key is deployed before headquarters"
            )

    def is_dialled(self, peer: dict[str, Any], found: "list[Session]") -> bool:
        """Whether a peer answers where the file says; one that came to us by its own way hides a wrong endpoint."""
        addresses = self.known.get(peer["name"])
        return not addresses or any(one.endpoint in addresses for one in found if one.key in peer["keys"])

    def confirm(self, reason: str) -> None:
        """What is in force is what a boot puts in force."""
        write(CONFIRMED, self.text)
        self._end(held=True, reason=reason, digest=digest_of(CONFIRMED))

    def take_back(self, reason: str) -> None:
        """Put what held in force again, and say so."""
        tried = TRIAL.read_text()
        self.put_in_force(CONFIRMED)
        self._end(held=False, reason=f"the tunnels are as before: {reason}", digest=tried)
        # Written after the verdict: whoever waits for it may put back the file that was there.
        write(WANTED, CONFIRMED.read_text())

    def _end(self, *, held: bool, reason: str, digest: str) -> None:
        self.judged, self.deadline = set(), None
        TRIAL.unlink(missing_ok=True)
        write(VERDICT, json.dumps({"digest": digest, "held": held, "reason": reason}))
        print(reason, flush=True)

    def is_busy(self) -> bool:
        """Whether something may move from one moment to the next: a trial, a next key, a second interface."""
        rotating = any(len(peer["keys"]) > 1 for peer in self.mesh["peers"])
        return self.deadline is not None or rotating or len(self.mesh["interfaces"]) > 1

    def tick(self) -> None:
        """Look after what is in force."""
        found = sessions()
        self.follow(found)
        self.look_up(found)
        self.judge()

    def follow(self, found: "list[Session]") -> None:
        """Let addresses follow the key, and routes the interface, on which a peer's last handshake was."""
        by_key = {(one.interface, one.key): one for one in found}
        for interface in self.mesh["interfaces"]:
            for peer in self.mesh["peers"]:
                key = holder(peer, interface, found)
                held = by_key.get((interface, key))
                if held and set(held.allowed_ips) != set(peer["allowedIps"]):
                    run("wg", "set", interface, "peer", key, "allowed-ips", ",".join(peer["allowedIps"]))
                    which = "first" if key == peer["keys"][0] else "next"
                    print(f"{peer['name']} is reached by its {which} key on {interface}", flush=True)
        set_routes(self.mesh, found)

    def look_up(self, found: "list[Session]") -> None:
        """Look up the name of one peer that is silent, and dial the next of its addresses.

        One at a time, since a name server that is out of reach costs seconds; whoever has waited longest comes first.
        """
        now = time.monotonic()
        silent = [
            peer
            for peer in self.mesh["peers"]
            if peer["endpoint"]
            and newest(peer, found) < time.time() - AGED_SECONDS
            and self.looked_up.get(peer["name"], -RESOLVE_SECONDS) <= now - RESOLVE_SECONDS
        ]
        if not silent:
            return
        peer = min(silent, key=lambda each: self.looked_up.get(each["name"], -RESOLVE_SECONDS))
        self.looked_up[peer["name"]] = now
        dialled = {one.endpoint for one in found if one.key in peer["keys"]}
        endpoint = another(endpoints(peer["endpoint"]), dialled)
        if endpoint is None:
            return
        if endpoint not in dialled:
            print(f"{peer['name']} is dialled at {endpoint}", flush=True)
        for interface in self.mesh["interfaces"]:
            run("wg", "set", interface, "peer", holder(peer, interface, found), "endpoint", endpoint)
        # A packet makes WireGuard dial at once.
        answering([peer], pings=1)

    def put_in_force(self, file: Path, *, dial: bool = True) -> None:
        """Bring interfaces, addresses, peers and routes to what a file says; a session in use goes on.

        With `dial`, peers are dialled where the file says. At a start nobody is, since a session may have found a
        better way, and at a boot there is no name server yet; who stays silent is dialled later.
        """
        self.text = file.read_text()
        self.mesh = json.loads(self.text)
        self.looked_up = {}
        ours = own_interfaces()
        found = sessions()
        self.known = known_endpoints(self.mesh["peers"]) if dial and found else {}
        for name in self.mesh["interfaces"]:
            if name not in ours:
                add_interface(name)
            run("ip", "link", "set", name, "mtu", str(self.mesh["mtu"]))
            run("wg", "syncconf", name, "/dev/stdin", stdin=conf(self.mesh, name, found, self.known))
            set_addresses(name, self.mesh["addresses"])
            run("ip", "link", "set", name, "up")
        set_routes(self.mesh, sessions())
        for name in sorted(ours - self.mesh["interfaces"].keys()):
            run("ip", "link", "delete", name)


# The kernel's side


@dataclass(frozen=True)
class Session:
    """One peer's key on one interface, as the kernel has it."""

    interface: str
    key: str
    endpoint: str | None
    allowed_ips: tuple[str, ...]
    handshake: int
    """Seconds since 1970; 0 when there was none."""
    received: int
    sent: int


def sessions() -> list[Session]:
    """Read all of them."""
    found = []
    for line in run("wg", "show", "all", "dump").splitlines():
        words = line.split("\t")
        if len(words) == 9:
            interface, key, _, endpoint, allowed_ips, handshake, received, sent, _ = words
            found.append(
                Session(
                    interface=interface,
                    key=key,
                    endpoint=None if endpoint == "(none)" else endpoint,
                    allowed_ips=() if allowed_ips == "(none)" else tuple(allowed_ips.split(",")),
                    handshake=int(handshake),
                    received=int(received),
                    sent=int(sent),
                )
            )
    return found


def newest(peer: dict[str, Any], found: list[Session]) -> int:
    """When a peer's last handshake was, with whichever key."""
    return max((one.handshake for one in found if one.key in peer["keys"]), default=0)


def is_present(peer: dict[str, Any], found: list[Session]) -> bool:
    """Whether a peer's session is one that still counts."""
    return newest(peer, found) > time.time() - PRESENT_SECONDS


def holder(peer: dict[str, Any], interface: str, found: list[Session]) -> str:
    """The key that has the peer's addresses on an interface: the one of the last handshake, at first the first."""
    handshakes = {one.key: one.handshake for one in found if one.interface == interface}
    key: str = max(peer["keys"], key=lambda each: handshakes.get(each, 0))
    return key


def home(peer: dict[str, Any], interfaces: Iterable[str], found: list[Session]) -> str:
    """The interface to which a peer's routes lead: the one of the last handshake, at first the first."""
    return max(interfaces, key=lambda each: newest(peer, [one for one in found if one.interface == each]))


def conf(mesh: dict[str, Any], name: str, found: list[Session], known: dict[str, list[str]]) -> str:
    """Render wg(8)'s configuration of one interface.

    Args:
        mesh: what is asked for.
        name: the interface's.
        found: the sessions as they are; a peer that is dialled at one of its addresses goes on so.
        known: the addresses behind the peers' endpoints, as far as anybody knows.
    """
    interface = mesh["interfaces"][name]
    lines = ["[Interface]", f"PrivateKey = {interface['privateKey']}", f"ListenPort = {interface['port']}"]
    for peer in mesh["peers"]:
        held_by = holder(peer, name, found)
        dialled = {one.endpoint for one in found if one.key in peer["keys"]}
        addresses = known.get(peer["name"], [])
        for key in peer["keys"]:
            lines += ["", f"# {peer['name']}", "[Peer]", f"PublicKey = {key}"]
            if key == held_by:
                lines.append(f"AllowedIPs = {', '.join(peer['allowedIps'])}")
            if addresses and not dialled & set(addresses):
                lines.append(f"Endpoint = {addresses[0]}")
            if peer["keepalive"]:
                lines.append(f"PersistentKeepalive = {peer['keepalive']}")
    return "\n".join(lines) + "\n"


def own_interfaces() -> set[str]:
    """The interfaces that this program has made."""
    links = json.loads(run("ip", "-json", "-details", "link", "show", "type", "wireguard") or "[]")
    return {link["ifname"] for link in links if link.get("ifalias") == ALIAS}


def add_interface(name: str) -> None:
    """Make one; somebody else's of that name is left alone."""
    try:
        run("ip", "link", "add", name, "type", "wireguard")
    except MeshError as error:
        raise MeshError(f"{error}; an interface {name} that is not fjord-edge's must make room") from None
    run("ip", "link", "set", name, "alias", ALIAS)


def set_addresses(name: str, wanted: list[str]) -> None:
    """Give an interface these addresses and no others, the link's own apart."""
    [link] = json.loads(run("ip", "-json", "address", "show", "dev", name))
    found = {each["local"] for each in link["addr_info"] if each["scope"] != "link"}
    for address in wanted:
        if address not in found:
            run("ip", "address", "add", host_network(address), "dev", name)
    for address in sorted(found - set(wanted)):
        run("ip", "address", "delete", host_network(address), "dev", name)


def host_network(address: str) -> str:
    """The network that is one address: what else lies in the mesh is a route's matter."""
    return str(ipaddress.ip_network(address))


def set_routes(mesh: dict[str, Any], found: list[Session]) -> None:
    """Bring the routes that are ours to what lies behind the peers."""
    interfaces = list(mesh["interfaces"])
    wanted = {network: home(peer, interfaces, found) for peer in mesh["peers"] for network in peer["allowedIps"]}
    existing = {network: device for family in ("-4", "-6") for network, device in routes(family)}
    for network, device in wanted.items():
        if existing.get(network) != device:
            run("ip", "route", "replace", network, "dev", device, "proto", ROUTE_PROTOCOL)
    for network in sorted(existing.keys() - wanted.keys()):
        run("ip", "route", "delete", network, "proto", ROUTE_PROTOCOL)


def routes(family: str) -> Iterator[tuple[str, str]]:
    """The routes of a family that are ours: network and device."""
    for route in json.loads(run("ip", "-json", family, "route", "show", "proto", ROUTE_PROTOCOL) or "[]"):
        yield str(ipaddress.ip_network(route["dst"])), route["dev"]


# The way to the peers


def known_endpoints(peers: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The addresses behind all endpoints, looked up side by side."""
    named = [peer for peer in peers if peer["endpoint"]]
    with ThreadPoolExecutor(LOOKUPS) as pool:
        answers = pool.map(lambda peer: endpoints(peer["endpoint"]), named)
        return {peer["name"]: answer for peer, answer in zip(named, answers, strict=True)}


def endpoints(endpoint: str) -> list[str]:
    """The addresses behind host:port, in the order in which this machine prefers them; none while nobody knows."""
    host, port = re.fullmatch(r"\[?(.*?)\]?:(\d+)", endpoint).groups()  # type: ignore[union-attr]
    try:
        said = subprocess.run(
            ["getent", "ahosts", host], stdout=subprocess.PIPE, timeout=RESOLVE_SECONDS / 2, check=False
        ).stdout.decode()
    except subprocess.TimeoutExpired:
        return []
    addresses = list(dict.fromkeys(line.split()[0] for line in said.splitlines()))
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in addresses]


def another(known: list[str], dialled: set[str | None]) -> str | None:
    """The address after the one that was dialled, the first where none was or it is not known any more."""
    places = [number for number, endpoint in enumerate(known) if endpoint in dialled]
    return known[(places[0] + 1) % len(known) if places else 0] if known else None


def answering(peers: Iterable[dict[str, Any]], *, pings: int = PINGS) -> set[str]:
    """The names of those who answer a ping through the tunnel, all asked at once."""
    waiting = {peer["name"]: peer["address"] for peer in peers}
    there: set[str] = set()
    for _ in range(pings):
        asked = {
            name: subprocess.Popen(
                ["ping", "-n", "-q", "-c", "1", "-W", str(PING_SECONDS), address],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name, address in waiting.items()
        }
        there |= {name for name, process in asked.items() if process.wait() == 0}
        waiting = {name: address for name, address in waiting.items() if name not in there}
    return there


# Files and programs


def digest_of(file: Path) -> str:
    """SHA-256 of a file, hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read(file: Path) -> Any:
    """A JSON file's content; nothing where there is none, or a power cut has left a part of it."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write(file: Path, text: str) -> None:
    """Write a file for root alone, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = file.with_name(f"{file.name}.new")
    new.touch(mode=0o600)
    with new.open("w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


def run(*command: str, stdin: str = "") -> str:
    """Run a program; what `wg` says of its input is kept back, since that holds a key.

    Raises:
        MeshError: it failed.
    """
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "" if stdin else f": {done.stderr.strip()}"
        raise MeshError(f"{' '.join(command[:4])} exited with {done.returncode}{said}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
