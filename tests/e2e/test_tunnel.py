"""The tunnels between oslo and headquarters, and what a change does to them."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.derive import Seed, identity_key, summary_account, wireguard_key
from config.loader import PROJECT, REGISTRY
from lab.console import LabError
from lab.recovery import LIMIT_SECONDS, after_changed_address, after_cut
from lab.sensors import on_node, query
from lab.stacks import Stack
from tests.e2e.registered import registered
from tests.e2e.waiting import eventually

HQ, HQ6 = "10.100.0.1", "fd5c:9a1e:27d4::1"
OSLO, OSLO6 = "10.100.0.2", "fd5c:9a1e:27d4::2"

#: wg(8): a session is renewed after two minutes, so an older handshake is a dead peer.
FRESH_SECONDS = 180

#: The longest silence that a rotation may cost.
GAP_SECONDS = 5.0

ANSWER = "timeout {} bash -c 'head -c 7 < /dev/tcp/{}/22'"
ONE_PING = "ping -n -q -c 1 -W 2 {} > /dev/null && echo there || true"

#: A key that is nobody's.
STRANGER = wireguard_key(Seed(bytes(32)), "nobody", 1).public


def sessions(stack: Stack) -> list[dict[str, Any]]:
    shown: dict[str, Any] = json.loads(on_node(stack, "sudo /usr/local/lib/fjord-edge/mesh show"))
    assert shown["onTrial"] is False
    found: list[dict[str, Any]] = shown["sessions"]
    return found


def handshake_age(stack: Stack) -> float:
    return time.time() - max(session["latestHandshake"] or 0 for session in sessions(stack))


def is_there(stack: Stack, address: str = HQ) -> bool:
    return on_node(stack, ONE_PING.format(address)).strip() == "there"


class Pings:
    """What became of ten pings a second: how many were lost, and the longest time without an answer."""

    lost: int
    longest_gap: float

    def read(self, text: str) -> None:
        found = re.findall(r"^\[([0-9.]+)\] \d+ bytes from .* icmp_seq=(\d+) ", text, re.MULTILINE)
        answers, numbers = [float(stamp) for stamp, _ in found], {int(number) for _, number in found}
        assert len(numbers) > 20, text
        # What was under way when the pinging was ended is not lost.
        self.lost = max(numbers) - min(numbers) + 1 - len(numbers)
        self.longest_gap = max(later - earlier for earlier, later in pairwise(answers))


@contextmanager
def pinging(stack: Stack, address: str = HQ) -> Iterator[Pings]:
    """Ping through the tunnel while something else goes on."""
    pings = Pings()
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(on_node, stack, f"sudo timeout --signal=INT 280 ping -D -n -i 0.1 {address}; true")
        time.sleep(3)
        yield pings
        time.sleep(2)
        on_node(stack, "sudo pkill -INT -x ping")
        pings.read(told.result())


# As it is


def test_both_ends_have_had_a_handshake(hq: Stack, oslo: Stack) -> None:
    assert eventually(lambda: handshake_age(oslo) < FRESH_SECONDS, 60)
    assert eventually(lambda: handshake_age(hq) < FRESH_SECONDS, 60)


@pytest.mark.parametrize("address", [OSLO, OSLO6])
def test_headquarters_reaches_a_site_by_both_families(hq: Stack, address: str) -> None:
    assert is_there(hq, address)
    assert on_node(hq, ANSWER.format(20, address)) == "SSH-2.0"


def test_nothing_else_comes_out_of_the_tunnel(hq: Stack, oslo: Stack) -> None:
    with pytest.raises(LabError, match="exited with 124"):
        on_node(oslo, ANSWER.format(5, HQ))
    with pytest.raises(LabError, match="exited with 124"):
        on_node(oslo, ANSWER.format(5, HQ6))
    with pytest.raises(LabError, match="exited with 124"):
        on_node(hq, f"timeout 5 bash -c 'head -c 1 < /dev/tcp/{OSLO}/8883'")


def test_the_keys_are_roots_alone(oslo: Stack) -> None:
    for file in ("/etc/fjord-edge/mesh/mesh.json", "/var/lib/fjord-edge/mesh/confirmed.json"):
        assert on_node(oslo, f"sudo stat --format '%a %U' {file}").split() == ["600", "root"]
    assert on_node(oslo, "sudo stat --format '%a %U' /etc/fjord-edge/mesh").split() == ["700", "root"]


def test_the_public_key_is_the_one_that_wg_computes(oslo: Stack) -> None:
    key = wireguard_key(oslo.seed, "oslo", oslo.site.epochs.wireguard)
    assert on_node(oslo, "wg pubkey", stdin=key.private).strip() == key.public
    assert on_node(oslo, "sudo wg show wg0 public-key").strip() == key.public


def test_the_tunnels_packets_fit_into_the_uplinks(oslo: Stack) -> None:
    [link] = json.loads(on_node(oslo, "ip -json link show dev wg0"))
    assert link["mtu"] == 1420
    whole = 1420 - 28
    assert on_node(oslo, f"ping -n -q -M do -s {whole} -c 2 {HQ} > /dev/null && echo there").strip() == "there"


def test_edge_mesh_shows_both_ends(hq: Stack) -> None:
    done = hq.shell(f"bin/edge mesh hq --config-file {hq.config_file}")
    assert done.returncode == 1, "bergen and tromso are registered, and nobody deployed them"
    assert re.search(r"^bergen .* never ", done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert re.search(rf"^oslo +{OSLO}, {OSLO6} +current +10\.20\.\d+\.12:51820 ", done.stdout, re.MULTILINE)
    diagram = hq.shell(f"bin/edge mesh hq --mermaid --config-file {hq.config_file}").stdout
    assert re.search(r'^    oslo -- ".* ago" --- hq$', diagram, re.MULTILINE)


def test_the_tunnels_figures_reach_the_local_database(oslo: Stack) -> None:
    def rows() -> list[dict[str, Any]]:
        return query(oslo, "SELECT last(rx_bytes) AS received, public_key FROM wireguard_peer GROUP BY public_key")

    assert eventually(rows, 60)
    assert [row["public_key"] for row in rows()] == [session["publicKey"] for session in sessions(oslo)]
    assert rows()[0]["received"] > 0


@pytest.mark.parametrize("stack", ["hq", "oslo"])
def test_edge_key_prints_the_committed_registry_file(stacks: dict[str, Stack], stack: str) -> None:
    done = stacks[stack].shell(f"bin/edge key {stack} --config-file {stacks[stack].config_file}")
    assert done.stdout == (REGISTRY / f"{stack}.yaml").read_text()


# The summary store


def answered(stack: Stack, account: tuple[str, str] | None, path: str, body: str = "") -> str:
    """The status with which headquarters' InfluxDB answers a site."""
    options = (
        f'url = "http://{HQ}:8086/{path}"\nsilent\nmax-time = 20\noutput = "/dev/null"\nwrite-out = "%{{http_code}}"\n'
    )
    if account:
        options += f'user = "{account[0]}:{account[1]}"\n'
    if body:
        options += f"data-binary = {json.dumps(body)}\n"
    return on_node(stack, "curl --config - || true", stdin=options)


def account_of(stack: Stack, site: str, hub: Stack) -> tuple[str, str]:
    """The account of a site, computed on the site's side."""
    own = identity_key(stack.seed, stack.name, stack.site.epochs.identity)
    theirs = yaml.safe_load((REGISTRY / f"{hub.name}.yaml").read_text())["identityKey"]
    return summary_account(site, own, theirs)


def test_the_store_is_reached_through_the_tunnel_alone(hq: Stack, oslo: Stack) -> None:
    listening = on_node(hq, "ss --tcp --listening --numeric --no-header 'sport = :8086'")
    assert [line.split()[3] for line in listening.splitlines()] == [f"{HQ}:8086"]
    with pytest.raises(LabError):
        on_node(oslo, "timeout 5 bash -c 'head -c 1 < /dev/tcp/10.20.0.11/8086'")


# Changes


@pytest.mark.long
def test_a_peer_added_elsewhere_costs_no_ping_and_each_site_has_its_own_summaries_alone(hq: Stack, oslo: Stack) -> None:
    own = account_of(oslo, "oslo", hq)
    assert answered(oslo, own, "write?db=site_oslo", "test value=1") == "204"
    assert answered(oslo, own, "query?db=site_oslo&q=SELECT+*+FROM+test") == "200"
    assert answered(oslo, (own[0], "not its password"), "write?db=site_oslo", "test value=1") == "401"
    assert answered(oslo, None, "write?db=site_oslo", "test value=1") == "401"
    identity = identity_key(Seed(bytes(32)), "alesund", 1).public
    alesund = {"role": "site", "owner": "@b", "address": "10.100.0.5", "tunnelKey": STRANGER, "identityKey": identity}
    before = {session["peer"] for session in sessions(hq)}
    with registered(alesund=alesund | {"networks": ["192.168.40.0/24"]}):
        with pinging(oslo) as pings:
            # No handshake is waited for: that peer is down.
            hq.up()
        assert {session["peer"] for session in sessions(hq)} == before | {"alesund"}
        assert "192.168.40.0/24 dev wg0" in on_node(hq, "ip route show proto 51")
        assert answered(oslo, own, "write?db=site_alesund", "test value=1") == "403"
        assert answered(oslo, own, "write?db=site_oslo", "test value=2") == "204"
    with pinging(oslo) as more:
        hq.up()
    assert "192.168.40.0/24" not in on_node(hq, "ip route show")
    assert (pings.lost, more.lost) == (0, 0)


def test_the_tunnel_goes_by_ipv6_too(hq: Stack, oslo: Stack) -> None:
    address6 = hq.site.node.network.address6
    assert address6
    with registered(hq={"endpoint": f"[{address6.ip}]:51820"}):
        oslo.up()
        assert [session["endpoint"] for session in sessions(oslo)] == [f"[{address6.ip}]:51820"]
        assert is_there(oslo)
        whole = 1420 - 28
        assert on_node(oslo, f"ping -n -q -M do -s {whole} -c 2 {HQ} > /dev/null && echo there").strip() == "there"
    oslo.up()
    assert [session["endpoint"] for session in sessions(oslo)] == ["10.20.0.11:51820"]


def test_a_wrong_key_fails_the_update_and_the_tunnel_comes_back_by_itself(hq: Stack, oslo: Stack) -> None:
    assert eventually(lambda: is_there(oslo), 60)
    with registered(oslo={"tunnelKey": STRANGER}), pytest.raises(LabError):
        hq.up()
    assert eventually(lambda: is_there(oslo), 20)
    keys = [session["publicKey"] for session in sessions(hq) if session["peer"] == "oslo"]
    assert keys == [wireguard_key(oslo.seed, "oslo", 1).public]
    assert hq.preview() == {"same": hq.preview()["same"]}


@pytest.mark.long
def test_when_packets_are_eaten_and_the_update_is_killed_the_node_goes_back_alone(hq: Stack, oslo: Stack) -> None:
    """Headquarters' firewall eats what comes to a port that is nobody's."""
    trial = "sudo test -e /run/fjord-edge-mesh/trial && echo tried || true"
    assert eventually(lambda: is_there(oslo), 60)
    with ThreadPoolExecutor(1) as pool, registered(hq={"endpoint": "hq.example.com:51999"}):
        update = pool.submit(oslo.up)
        assert eventually(lambda: on_node(oslo, trial).strip() == "tried", 60)
        on_node(oslo, "sudo pkill -KILL -f '[m]esh apply|[i]nstall-files'; true")
        with pytest.raises(LabError):
            update.result()
        assert eventually(lambda: on_node(oslo, trial).strip() == "", 90)
    assert eventually(lambda: is_there(oslo), 20)
    assert sessions(oslo)[0]["endpoint"] == "10.20.0.11:51820"
    assert eventually(lambda: is_there(hq, OSLO), 20)
    oslo.up()


# Staying up


@pytest.mark.parametrize("recovery", [after_cut, after_changed_address])
def test_the_tunnel_comes_back_by_itself(hq: Stack, oslo: Stack, recovery: Callable[[Stack, Stack], float]) -> None:
    """A reboot of both ends is in test_hypervisor_side.py; another address behind the name, minutes, in the bench."""
    assert recovery(oslo, hq) < LIMIT_SECONDS
    assert eventually(lambda: is_there(oslo), 60)


# Rotation


@dataclass
class Sent:
    """What a site has sent to headquarters, each until it was accepted."""

    series: str
    count: int = 0


@contextmanager
def writing(stack: Stack, account: tuple[str, str]) -> Iterator[Sent]:
    """Summaries go to headquarters as the uplink sends them: each again until it is accepted."""
    sent = Sent(f"rotation_{time.time_ns()}")
    program = (
        "i=0; while [ ! -e /tmp/enough ]; do i=$((i + 1)); "
        'until [ "$(curl --config /tmp/options --data-binary "@series@,number=$i value=$i" || true)" = 204 ]; '
        "do sleep 0.2; done; sleep 0.3; done; echo $i"
    ).replace("@series@", sent.series)
    options = (
        f'url = "http://{HQ}:8086/write?db=site_oslo"\nuser = "{account[0]}:{account[1]}"\n'
        'silent\nmax-time = 3\noutput = "/dev/null"\nwrite-out = "%{http_code}"\n'
    )
    on_node(stack, "rm --force /tmp/enough; umask 077; cat > /tmp/options", stdin=options)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(on_node, stack, program)
        try:
            yield sent
        finally:
            on_node(stack, "touch /tmp/enough")
        sent.count = int(told.result())
    on_node(stack, "rm /tmp/options /tmp/enough")


def stored(stack: Stack, account: tuple[str, str], sent: Sent) -> int:
    """How many of what was sent headquarters has."""
    options = f'user = "{account[0]}:{account[1]}"\nurl = "http://{HQ}:8086/query?db=site_oslo"\nsilent\n'
    options += f'data-urlencode = "q=SELECT count(value) FROM {sent.series}"\nget\n'
    told = json.loads(on_node(stack, "curl --config -", stdin=options))
    count: int = told["results"][0]["series"][0]["values"][0][1]
    return count


def edge_key(stack: Stack, *words: str) -> None:
    done = stack.shell(f"bin/edge key {stack.name} --write {' '.join(words)} --config-file {stack.config_file}")
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_both_ends_change_their_keys_in_two_steps_without_losing_a_summary(hq: Stack, oslo: Stack) -> None:
    """Both at once: headquarters' next key is on a second interface and port, the site's is its peer's second key."""
    account = account_of(oslo, "oslo", hq)
    first, second = (wireguard_key(oslo.seed, "oslo", epoch).public for epoch in (1, 2))
    gaps = []

    def deploy(stack: Stack) -> None:
        with pinging(oslo) as pings:
            stack.up()
        gaps.append(pings.longest_gap)

    def keys_by_interface() -> set[tuple[str, str]]:
        return {(session["interface"], session["publicKey"]) for session in sessions(hq) if session["peer"] == "oslo"}

    both = {(interface, key) for interface in ("wg0", "wg1") for key in (first, second)}
    over = {"nextTunnelKey": None, "nextIdentityKey": None, "nextEndpoint": None}
    with registered(), writing(oslo, account) as sent:
        for stack in (oslo, hq):
            edge_key(stack, "--next")
        deploy(hq)
        assert keys_by_interface() == both
        with registered(), oslo.edited("epochs", value={"wireguard": 2}), hq.edited("epochs", value={"wireguard": 2}):
            for stack in (oslo, hq):
                edge_key(stack)
            deploy(oslo)
            assert on_node(oslo, "sudo wg show wg0 public-key").strip() == second
            deploy(hq)
            assert keys_by_interface() == {("wg1", second)}
        deploy(hq)
        with registered(hq=over, oslo=over):
            deploy(oslo)
            deploy(hq)
    assert keys_by_interface() == {("wg0", first)}
    assert max(gaps) <= GAP_SECONDS, gaps
    assert stored(oslo, account, sent) == sent.count


# Headquarters on somebody else's machine

MINE = "/etc/fjord-edge/mesh /var/lib/fjord-edge/mesh /usr/local/lib/fjord-edge/mesh"
UNIT = "/etc/systemd/system/fjord-edge-mesh.service"
RULES, UNPACKER = "/etc/fjord-edge/nftables.conf", "/usr/local/lib/fjord-edge/install-files"


@pytest.fixture
def somebody_elses(hq: Stack) -> Iterator[None]:
    """The hq guest without its tunnels, their files, and the program that unpacks what comes."""
    on_node(
        hq,
        f"sudo sh -ec 'systemctl --quiet disable --now fjord-edge-mesh; ip link delete wg0; rm -r {MINE} {UNIT}; "
        f"cp {RULES} {RULES}.kept; mv {UNPACKER} {UNPACKER}.kept; touch /run/before'",
    )
    yield
    on_node(
        hq,
        f"sudo sh -ec 'mv {UNPACKER}.kept {UNPACKER}; mv {RULES}.kept {RULES}; nft --file {RULES}; rm -r {UNIT}.d; "
        "systemctl daemon-reload; systemctl restart fjord-edge-mesh'",
    )


@pytest.mark.usefixtures("somebody_elses")
def test_headquarters_on_a_machine_that_is_there_already(hq: Stack, oslo: Stack, tmp_path: Path) -> None:
    content = yaml.safe_load(hq.config_file.read_text())
    content["config"][f"{PROJECT}:site"] = {
        "host": {"address": "10.20.0.11", "user": "edge", "hostKey": hq.outputs["hostKey"]},
        "allowPublishedSeed": True,
    }
    file = tmp_path / "Pulumi.hq.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    backend = {"PULUMI_BACKEND_URL": f"file://{tmp_path}"}

    def typed(command: str) -> str:
        done = hq.shell(command, environment=backend)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    typed("pulumi stack select --create hq")
    typed(f"pulumi up --yes --skip-preview --stack hq --config-file {file}")
    typed(f"pulumi preview --expect-no-changes --stack hq --config-file {file}")
    made = on_node(hq, "sudo find /etc /usr /var/lib/fjord-edge /srv -xdev -type f -cnewer /run/before").split()
    assert set(made) == {
        "/etc/fjord-edge/mesh/mesh.json",
        RULES,
        UNIT,
        f"{UNIT}.d/firewall.conf",
        "/usr/local/lib/fjord-edge/mesh",
        "/var/lib/fjord-edge/mesh/confirmed.json",
    }
    assert eventually(lambda: is_there(oslo), 60)
    shown = hq.shell(f"bin/edge mesh hq --config-file {file}", environment=backend)
    assert f" {OSLO}, {OSLO6} " in shown.stdout, shown.stderr
