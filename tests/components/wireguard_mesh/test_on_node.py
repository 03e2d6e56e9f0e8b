"""`mesh.py` against a kernel of our own making; the real one is asked in the lab."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from components.wireguard_mesh.on_node import mesh
from tests.judges import judge

OWN, OTHER = ("A" * 43 + "=", "E" * 43 + "=")
OSLO, OSLO_NEXT, BERGEN = ("I" * 43 + "=", "M" * 43 + "=", "Q" * 43 + "=")


def peer(name: str, number: int, *keys: str, **changed: Any) -> dict[str, Any]:
    address = f"10.100.0.{number}"
    return {
        "name": name,
        "keys": list(keys),
        "address": address,
        "allowedIps": [f"{address}/32", f"fd5c::{number}/128"],
        "endpoint": None,
        "keepalive": None,
        **changed,
    }


def asked(*peers: dict[str, Any], interfaces: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "addresses": ["10.100.0.1", "fd5c::1"],
        "mtu": 1420,
        "interfaces": interfaces or {"wg0": {"privateKey": OWN, "port": 51820}},
        "peers": list(peers),
    }


SECOND = {"wg0": {"privateKey": OWN, "port": 51820}, "wg1": {"privateKey": OTHER, "port": 51821}}


@dataclass
class Link:
    """A WireGuard interface; peers by key, each with endpoint, allowed IPs and the time of its last handshake."""

    alias: str = ""
    up: bool = False
    addresses: list[str] = field(default_factory=list)
    private_key: str = ""
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Kernel:
    """Links, sessions and routes; who answers a ping is the test's word, and what a name stands for too."""

    links: dict[str, Link] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    answers: set[str] = field(default_factory=set)
    names: dict[str, list[str]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def handshake(self, interface: str, key: str, age: float = 0) -> None:
        self.links[interface].peers[key]["handshake"] = int(time.time() - age)

    def run(self, *command: str, stdin: str = "") -> str:
        self.commands.append(" ".join(command))
        match command:
            case ("ip", "-json", "-details", "link", *_):
                return json.dumps([{"ifname": name, "ifalias": link.alias} for name, link in self.links.items()])
            case ("ip", "link", "add", name, *_):
                if name in self.links:
                    raise mesh.MeshError("ip link add exited with 2: RTNETLINK answers: File exists")
                self.links[name] = Link()
            case ("ip", "link", "set", name, "alias", alias):
                self.links[name].alias = alias
            case ("ip", "link", "set", name, "up"):
                self.links[name].up = True
            case ("ip", "link", "delete", name):
                del self.links[name]
                self.routes = {network: device for network, device in self.routes.items() if device != name}
            case ("wg", "syncconf", name, "/dev/stdin"):
                self.sync(self.links[name], stdin)
            case ("wg", "set", name, "peer", key, "allowed-ips", allowed):
                for other in self.links[name].peers.values():
                    other["allowed"] = [each for each in other["allowed"] if each not in allowed.split(",")]
                self.links[name].peers[key]["allowed"] = allowed.split(",")
            case ("wg", "set", name, "peer", key, "endpoint", endpoint):
                self.links[name].peers[key]["endpoint"] = endpoint
            case ("wg", "show", "all", "dump"):
                return "".join(self.dump())
            case ("ip", "-json", "address", "show", "dev", name):
                found = [{"local": each.partition("/")[0], "scope": "global"} for each in self.links[name].addresses]
                return json.dumps([{"addr_info": [*found, {"local": "fe80::1", "scope": "link"}]}])
            case ("ip", "address", "add", address, "dev", name):
                self.links[name].addresses.append(address)
            case ("ip", "address", "delete", address, "dev", name):
                self.links[name].addresses.remove(address)
            case ("ip", "-json", family, "route", "show", "proto", "51"):
                listed = {to: device for to, device in self.routes.items() if (":" in to) == (family == "-6")}
                bare = {to.removesuffix("/32").removesuffix("/128"): device for to, device in listed.items()}
                return json.dumps([{"dst": to, "dev": device} for to, device in bare.items()])
            case ("ip", "route", "replace", network, "dev", device, "proto", "51"):
                self.routes[network] = device
            case ("ip", "route", "delete", network, "proto", "51"):
                del self.routes[network]
            case ("ip", "link", "set", _, "mtu", "1420") | ("systemctl", "restart", mesh.UNIT):
                pass
            case _:
                raise AssertionError(f"unknown here: {command}")
        return ""

    def sync(self, link: Link, conf: str) -> None:
        head, *parts = conf.split("[Peer]")
        [link.private_key] = re.findall("PrivateKey = (.*)", head)
        wanted = {}
        for part in parts:
            values = dict(re.findall(r"^(\w+) = (.*)$", part, re.MULTILINE))
            before = link.peers.get(values["PublicKey"], {"endpoint": None, "handshake": 0})
            allowed = values.get("AllowedIPs")
            wanted[values["PublicKey"]] = {
                **before,
                "endpoint": values.get("Endpoint", before["endpoint"]),
                "allowed": allowed.split(", ") if allowed else [],
            }
        link.peers = wanted

    def dump(self) -> Iterator[str]:
        for name, link in self.links.items():
            yield f"{name}\t{link.private_key}\tPUBLIC\t51820\toff\n"
            for key, one in link.peers.items():
                words = [name, key, "(none)", one["endpoint"] or "(none)", ",".join(one["allowed"]) or "(none)"]
                yield "\t".join([*words, str(one["handshake"]), "10", "20", "off"]) + "\n"

    def answering(self, peers: Any, **_: int) -> set[str]:
        return {each["name"] for each in peers} & self.answers


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    made = Kernel()
    for name in ("WANTED", "CONFIRMED", "ASKED", "TRIAL", "VERDICT"):
        monkeypatch.setattr(mesh, name, tmp_path / name.lower())
    monkeypatch.setattr(mesh, "run", made.run)
    monkeypatch.setattr(mesh, "answering", made.answering)
    monkeypatch.setattr(mesh, "endpoints", lambda endpoint: made.names.get(endpoint, []))
    return made


def want(content: dict[str, Any], *, ask: bool = True) -> None:
    mesh.write(mesh.WANTED, json.dumps(content))
    if ask:
        mesh.write(mesh.ASKED, mesh.digest_of(mesh.WANTED))


def started(content: dict[str, Any] | None = None) -> mesh.Watcher:
    """The service after a start, with this asked for."""
    if content is not None:
        want(content)
    watcher = mesh.Watcher()
    watcher.begin()
    return watcher


def verdict() -> Any:
    return mesh.read(mesh.VERDICT)


def in_force(kernel: Kernel, key: str = OSLO) -> None:
    """Headquarters with oslo, which is there."""
    started(asked(peer("oslo", 2, OSLO)))
    kernel.handshake("wg0", key)
    kernel.answers = {"oslo"}


def test_a_first_file_is_in_force_and_holds(kernel: Kernel) -> None:
    started(asked(peer("oslo", 2, OSLO), peer("bergen", 3, BERGEN)))
    link = kernel.links["wg0"]
    assert (link.alias, link.up, link.private_key) == ("fjord-edge", True, OWN)
    assert link.addresses == ["10.100.0.1/32", "fd5c::1/128"]
    assert {key: one["allowed"] for key, one in link.peers.items()} == {
        OSLO: ["10.100.0.2/32", "fd5c::2/128"],
        BERGEN: ["10.100.0.3/32", "fd5c::3/128"],
    }
    assert set(kernel.routes.values()) == {"wg0"}
    assert verdict()["held"] is True
    assert mesh.CONFIRMED.read_text() == mesh.WANTED.read_text()


def test_no_private_key_is_in_a_command(kernel: Kernel) -> None:
    in_force(kernel)
    assert kernel.commands
    assert not [command for command in kernel.commands if OWN in command]


def test_a_second_look_changes_nothing(kernel: Kernel) -> None:
    watcher = started(asked(peer("oslo", 2, OSLO)))
    kernel.commands.clear()
    watcher.tick()
    assert not [command for command in kernel.commands if not re.search("show|-json", command)]


def test_somebody_elses_interface_is_left_alone(kernel: Kernel) -> None:
    kernel.links["wg0"] = Link(alias="theirs", private_key=OTHER)
    with pytest.raises(mesh.MeshError, match="must make room"):
        started(asked(peer("oslo", 2, OSLO)))
    assert kernel.links["wg0"].private_key == OTHER


def test_a_peer_that_goes_takes_its_routes_along(kernel: Kernel) -> None:
    in_force(kernel)
    started(asked(peer("bergen", 3, BERGEN)))
    assert set(kernel.links["wg0"].peers) == {BERGEN}
    assert set(kernel.routes) == {"10.100.0.3/32", "fd5c::3/128"}
    assert verdict()["held"] is True


def test_a_peer_added_elsewhere_leaves_a_session_as_it_is(kernel: Kernel) -> None:
    in_force(kernel)
    before = dict(kernel.links["wg0"].peers[OSLO])
    started(asked(peer("bergen", 3, BERGEN), peer("oslo", 2, OSLO)))
    assert kernel.links["wg0"].peers[OSLO] == before
    assert verdict() | {"digest": ""} == {
        "digest": "",
        "held": True,
        "reason": "the tunnels are as asked; not there: bergen",
    }


# On trial


def test_a_wrong_key_is_taken_back_when_the_trial_is_over(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force(kernel)
    held = mesh.WANTED.read_text()
    wrong = asked(peer("oslo", 2, OTHER))
    want(wrong)
    watcher = mesh.Watcher()
    monkeypatch.setattr(kernel, "answers", {"oslo"})
    silent = iter([{"oslo"}])
    monkeypatch.setattr(mesh, "answering", lambda *_, **__: next(silent, set()))
    watcher.begin()
    assert (verdict() or {}).get("digest") != mesh.digest_of(mesh.WANTED)
    assert set(kernel.links["wg0"].peers) == {OTHER}
    watcher.deadline = time.monotonic() - 1
    watcher.tick()
    assert set(kernel.links["wg0"].peers) == {OSLO}
    assert verdict()["held"] is False
    assert "oslo answered before the change" in verdict()["reason"]
    assert mesh.WANTED.read_text() == mesh.CONFIRMED.read_text() == held
    assert not mesh.TRIAL.exists()


def test_a_peer_that_was_not_there_is_not_judged(kernel: Kernel) -> None:
    in_force(kernel)
    kernel.handshake("wg0", OSLO, age=181)
    started(asked(peer("oslo", 2, OTHER)))
    assert verdict()["held"] is True


def test_a_peer_that_did_not_answer_before_is_not_judged(kernel: Kernel) -> None:
    in_force(kernel)
    kernel.answers = set()
    started(asked(peer("oslo", 2, OTHER)))
    assert verdict()["held"] is True


def test_a_trial_ends_as_soon_as_all_have_answered(kernel: Kernel) -> None:
    in_force(kernel)
    watcher = started(asked(peer("oslo", 2, OSLO, keepalive=25)))
    assert watcher.deadline is None
    assert verdict()["held"] is True


def test_a_service_that_ended_in_a_trial_goes_back_to_what_held(kernel: Kernel) -> None:
    in_force(kernel)
    want(asked(peer("oslo", 2, OTHER)), ask=False)
    digest = mesh.digest_of(mesh.WANTED)
    mesh.write(mesh.TRIAL, digest)
    started()
    assert set(kernel.links["wg0"].peers) == {OSLO}
    assert (verdict()["digest"], verdict()["held"]) == (digest, False)


def test_who_asks_again_in_the_middle_of_a_trial_gets_one_of_its_own(kernel: Kernel) -> None:
    in_force(kernel)
    mesh.write(mesh.TRIAL, "of the other")
    started(asked(peer("oslo", 2, OSLO), peer("bergen", 3, BERGEN)))
    assert (verdict()["digest"], verdict()["held"]) == (mesh.digest_of(mesh.WANTED), True)


def test_what_holds_is_what_was_tried_and_not_what_has_come_since(kernel: Kernel) -> None:
    in_force(kernel)
    tried = asked(peer("oslo", 2, OSLO, keepalive=25))
    want(tried)
    watcher = mesh.Watcher()
    original = watcher.judge

    def meanwhile() -> None:
        want(asked(peer("oslo", 2, OTHER)), ask=False)
        original()

    watcher.judge = meanwhile  # type: ignore[method-assign]
    watcher.begin()
    assert mesh.read(mesh.CONFIRMED) == tried
    assert verdict()["digest"] == mesh.digest_of(mesh.CONFIRMED) != mesh.digest_of(mesh.WANTED)


def test_a_file_that_a_power_cut_left_empty_gives_way_to_the_wanted_one(kernel: Kernel) -> None:
    in_force(kernel)
    mesh.CONFIRMED.write_text("")
    started()
    assert set(kernel.links["wg0"].peers) == {OSLO}
    assert mesh.CONFIRMED.read_text() == mesh.WANTED.read_text()


def test_a_boot_takes_what_held_and_not_what_was_never_tried(kernel: Kernel) -> None:
    in_force(kernel)
    want(asked(peer("oslo", 2, OTHER)), ask=False)
    kernel.links.clear()
    kernel.routes.clear()
    started()
    assert set(kernel.links["wg0"].peers) == {OSLO}


def test_what_the_kernel_refuses_is_taken_back(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force(kernel)

    def refuse(*command: str, stdin: str = "") -> str:
        if OTHER in stdin:
            raise mesh.MeshError("wg syncconf wg0 /dev/stdin exited with 1")
        return kernel.run(*command, stdin=stdin)

    monkeypatch.setattr(mesh, "run", refuse)
    started(asked(peer("oslo", 2, OTHER)))
    assert verdict()["reason"] == "the tunnels are as before: wg syncconf wg0 /dev/stdin exited with 1"
    assert set(kernel.links["wg0"].peers) == {OSLO}


def test_apply_asks_and_tells_the_verdict(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    want(asked(peer("oslo", 2, OSLO)), ask=False)
    restart = ("systemctl", "restart", mesh.UNIT)

    def run(*command: str, stdin: str = "") -> str:
        if command == restart:
            started()
            return ""
        return kernel.run(*command, stdin=stdin)

    monkeypatch.setattr(mesh, "run", run)
    assert mesh.apply() == 0
    assert capsys.readouterr().err.strip() == "the tunnels are as asked"


# Rotation


def rotating(kernel: Kernel) -> mesh.Watcher:
    in_force(kernel)
    watcher = started(asked(peer("oslo", 2, OSLO, OSLO_NEXT)))
    assert verdict()["held"] is True
    return watcher


def addresses_of(kernel: Kernel, interface: str = "wg0") -> dict[str, bool]:
    return {key: bool(one["allowed"]) for key, one in kernel.links[interface].peers.items()}


def test_a_next_key_has_no_address_before_its_first_handshake(kernel: Kernel) -> None:
    rotating(kernel).tick()
    assert addresses_of(kernel) == {OSLO: True, OSLO_NEXT: False}


def test_addresses_follow_the_key_of_the_last_handshake(kernel: Kernel) -> None:
    watcher = rotating(kernel)
    kernel.handshake("wg0", OSLO, age=5)
    kernel.handshake("wg0", OSLO_NEXT, age=1)
    watcher.tick()
    assert addresses_of(kernel) == {OSLO: False, OSLO_NEXT: True}
    kernel.handshake("wg0", OSLO, age=0)
    watcher.tick()
    assert addresses_of(kernel) == {OSLO: True, OSLO_NEXT: False}


def test_a_promoted_key_keeps_its_session_and_the_old_one_goes(kernel: Kernel) -> None:
    watcher = rotating(kernel)
    kernel.handshake("wg0", OSLO, age=5)
    kernel.handshake("wg0", OSLO_NEXT, age=1)
    watcher.tick()
    before = dict(kernel.links["wg0"].peers[OSLO_NEXT])
    started(asked(peer("oslo", 2, OSLO_NEXT)))
    assert kernel.links["wg0"].peers == {OSLO_NEXT: before}


def test_routes_follow_the_interface_of_the_last_handshake(kernel: Kernel) -> None:
    in_force(kernel)
    watcher = started(asked(peer("oslo", 2, OSLO), interfaces=SECOND))
    assert set(kernel.routes.values()) == {"wg0"}
    assert kernel.links["wg1"].addresses == kernel.links["wg0"].addresses
    kernel.handshake("wg0", OSLO, age=5)
    kernel.handshake("wg1", OSLO, age=1)
    watcher.tick()
    assert set(kernel.routes.values()) == {"wg1"}


def test_the_hubs_old_interface_goes_with_its_key(kernel: Kernel) -> None:
    in_force(kernel)
    watcher = started(asked(peer("oslo", 2, OSLO), interfaces=SECOND))
    kernel.handshake("wg1", OSLO, age=-1)
    watcher.tick()
    started(asked(peer("oslo", 2, OSLO), interfaces={"wg1": SECOND["wg1"]}))
    assert set(kernel.links) == {"wg1"}
    assert set(kernel.routes) == {"10.100.0.2/32", "fd5c::2/128"}
    assert set(kernel.routes.values()) == {"wg1"}


# Names


def dialling(endpoint: str = "hq.example.com:51820") -> dict[str, Any]:
    return asked(peer("hq", 1, OSLO, endpoint=endpoint, keepalive=25))


def test_a_name_that_nobody_knows_keeps_nothing_from_starting(kernel: Kernel) -> None:
    watcher = started(dialling())
    assert kernel.links["wg0"].peers[OSLO]["endpoint"] is None
    kernel.names["hq.example.com:51820"] = ["192.0.2.1:51820"]
    watcher.tick()
    assert kernel.links["wg0"].peers[OSLO]["endpoint"] == "192.0.2.1:51820"


def test_the_name_of_a_silent_peer_is_looked_up_again(kernel: Kernel) -> None:
    kernel.names["hq.example.com:51820"] = ["192.0.2.1:51820"]
    watcher = started(dialling())
    watcher.tick()
    kernel.names["hq.example.com:51820"] = ["192.0.2.2:51820"]
    kernel.handshake("wg0", OSLO, age=100)
    watcher.looked_up.clear()
    watcher.tick()
    assert kernel.links["wg0"].peers[OSLO]["endpoint"] == "192.0.2.1:51820"
    kernel.handshake("wg0", OSLO, age=140)
    watcher.tick()
    assert kernel.links["wg0"].peers[OSLO]["endpoint"] == "192.0.2.2:51820"


def test_a_name_is_not_asked_for_at_every_look(kernel: Kernel) -> None:
    kernel.names["hq.example.com:51820"] = ["192.0.2.1:51820", "[2001:db8::1]:51820"]
    watcher = started(dialling())
    watcher.tick()
    watcher.tick()
    assert kernel.links["wg0"].peers[OSLO]["endpoint"] == "192.0.2.1:51820"


def test_of_several_addresses_the_next_one_is_dialled() -> None:
    assert mesh.another(["a", "b", "c"], {"b"}) == "c"
    assert mesh.another(["a", "b", "c"], {"c"}) == "a"
    assert mesh.another(["a", "b"], {"elsewhere", None}) == "a"
    assert mesh.another([], {"a"}) is None


def test_a_changed_endpoint_is_dialled_at_once(kernel: Kernel) -> None:
    kernel.names |= {"one.example.com:51820": ["192.0.2.1:51820"], "two.example.com:51820": ["192.0.2.2:51820"]}
    started(dialling("one.example.com:51820")).tick()
    started(dialling("two.example.com:51820"))
    assert kernel.links["wg0"].peers[OSLO]["endpoint"] == "192.0.2.2:51820"


def test_a_start_leaves_a_session_where_it_found_its_way(kernel: Kernel) -> None:
    kernel.names["hq.example.com:51820"] = ["192.0.2.1:51820"]
    started(dialling()).tick()
    kernel.handshake("wg0", OSLO)
    kernel.links["wg0"].peers[OSLO]["endpoint"] = "192.0.2.9:1024"
    started()
    assert kernel.links["wg0"].peers[OSLO]["endpoint"] == "192.0.2.9:1024"


def test_a_wrong_endpoint_is_not_hidden_by_a_peer_that_comes_by_its_own_way(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.names |= {"hq.example.com:51820": ["192.0.2.1:51820"], "wrong.example.com:1": ["192.0.2.8:1"]}
    started(dialling()).tick()
    kernel.handshake("wg0", OSLO)

    def dials_us(*_: Any, **__: int) -> set[str]:
        kernel.links["wg0"].peers[OSLO]["endpoint"] = "192.0.2.1:51820"
        return {"hq"}

    monkeypatch.setattr(mesh, "answering", dials_us)
    watcher = started(dialling("wrong.example.com:1"))
    assert watcher.deadline is not None
    watcher.deadline = time.monotonic() - 1
    watcher.tick()
    assert verdict()["held"] is False
    assert "hq.example.com" in mesh.CONFIRMED.read_text()


def test_the_configuration_is_one_that_wg_reads(tmp_path: Path) -> None:
    """`wg setconf` parses before it looks for the interface: with a line that it does not know, it says so instead."""
    content = asked(peer("hq", 1, OSLO, OSLO_NEXT, keepalive=25), peer("bergen", 3, BERGEN))
    text = mesh.conf(content, "wg0", [], {"hq": ["[2001:db8::1]:51820"]})
    assert "SaveConfig" not in text
    file = tmp_path / "wg0.conf"
    file.write_text(text)
    answer = judge("wg", "setconf", "no-such-link", file, expected_status=1)
    assert answer.startswith("Unable to modify interface: ")


def test_show_tells_each_session(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    rotating(kernel)
    capsys.readouterr()
    assert mesh.show() == 0
    told = json.loads(capsys.readouterr().out)
    assert told["onTrial"] is False
    assert [(one["peer"], one["next"], one["receivedBytes"], one["sentBytes"]) for one in told["sessions"]] == [
        ("oslo", False, 10, 20),
        ("oslo", True, 10, 20),
    ]
    assert OWN not in json.dumps(told)
