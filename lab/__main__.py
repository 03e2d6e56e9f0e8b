"""The lab's command: `python -m lab up|down|clean|status|bench|edge|ssh|exec`."""

import argparse
import fcntl
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from config.iot import POWER_CUT_SECONDS
from lab import hypervisor, toolchain
from lab.bench import PLANNED_SITES, SITES, plan_seconds, preview_breakdown, registry_seconds
from lab.boot import boot
from lab.console import LabError, say
from lab.deploy import deploy
from lab.drills import power_cuts
from lab.goodput import DELAY_MS, LINE_MBIT, LOSS_PERCENT, goodput
from lab.leftovers import end_leftovers
from lab.paths import CACHE, CHECKOUT, STATE
from lab.pipeline.alarms import lateness
from lab.pipeline.bench import bar
from lab.pipeline.bench import report as pipeline_report
from lab.pipeline.loss import HEAD, losses, row
from lab.pipeline.summaries import losses as summary_losses
from lab.recovery import RECOVERIES
from lab.report import report
from lab.sensors import login
from lab.stacks import NAMES, Stack, config_file, environment, existing_stacks
from lab.traffic import SECONDS, traffic

#: What `bin/edge` reads as the name of each stack that it asks for; the engine does not.
ANY = "<site>"

#: The engine's home in a shell of the operator's; in its own, `end_leftovers` would end that shell.
OPERATOR_HOME = STATE / "operator"


def main(words: Sequence[str] | None = None) -> int:
    """Run one subcommand; a failure is one line on standard error and exit status 1."""
    arguments = _parser().parse_args(words)
    try:
        hypervisor.require_root()
        arguments.run(arguments)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the next `make up` goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="Hypervisor, headquarters and a site on one machine."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add("up", _up, "build what is missing, start the lab, deploy hq and oslo, publish readings")
    add("down", _down, "end the lab and remove .lab")
    add("clean", _clean, "remove the caches; run down first")
    status = add("status", _status, "say what runs, where, and the last readings")
    status.add_argument("--json", action="store_true", help="for scripts")
    bench = add("bench", _bench, "take the figures of docs/benchmarks.md")
    bench.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(BENCHES)} (default: all)")
    drills = add("drills", _drills, "do each harm under load, again and again, and count what is missing")
    drills.add_argument("--times", type=int, default=3, help="how often each, natively (default: 3)")
    drills.add_argument("--cuts", type=int, default=10, help="how often oslo's power is cut (default: 10)")
    edge = add("edge", _edge, "run a subcommand of bin/edge on the lab's stacks")
    edge.add_argument("subcommand", metavar="SUBCOMMAND", help="one that takes --config-file")
    edge.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="what it is given")
    ssh = add("ssh", _ssh, "log in on a node, or run a command there")
    ssh.add_argument("site", choices=NAMES, help="the stack's name")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="the command (default: a shell)")
    execute = add("exec", _exec, "run a command in the lab's network, as the operator")
    execute.add_argument("--site", choices=NAMES, default=ANY, help="whose passphrase pulumi is given")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="the command")
    return parser


def _up(_: argparse.Namespace) -> None:
    hypervisor.require_space()
    with _alone():
        stacks = deploy()
        report(stacks, as_json=False)


def _status(arguments: argparse.Namespace) -> None:
    report(existing_stacks(), as_json=arguments.json)


def _bench(arguments: argparse.Namespace) -> None:
    if unknown := set(arguments.parts) - set(BENCHES):
        raise LabError(f"There is no bench {', '.join(sorted(unknown))}", f"There are {', '.join(BENCHES)}.")
    for part in arguments.parts or BENCHES:
        BENCHES[part]()


def _site() -> Stack:
    return next(stack for stack in existing_stacks() if stack.site.iot)


def _bench_preview() -> None:
    site = _site()
    found = preview_breakdown(site)
    for part, seconds in found.items():
        print(f"{part:<8} {seconds:6.2f} s  {seconds / found['preview']:4.0%} of the preview")


def _bench_boot() -> None:
    site = _site()
    booted = boot(site)
    print(f"boot of {site.name}: SSH after {booted.ssh:.1f} s, all healthy after {booted.healthy:.1f} s")
    found = booted.analysis
    print(found.whole)
    for title, parts in (
        ("systemd-analyze blame", found.units),
        ("cloud-init analyze blame, first boot", found.modules),
    ):
        print(title)
        for name, seconds in parts.items():
            print(f"  {seconds:7.2f} s  {name}")


def _bench_goodput() -> None:
    site = _site()
    [hub] = [stack for stack in existing_stacks() if stack.site.summaries]
    line = f"{LINE_MBIT} Mbit/s, {DELAY_MS} ms, {LOSS_PERCENT}% loss"
    print(f"goodput from {site.name} to {hub.name} over {line}; fractions of what the line carries of payload")
    found = goodput(site, hub, hub.outputs["mesh"]["addresses"][0].partition("/")[0])
    for each in found:
        print(f"  {each.way:<7} {each.control:<6} {each.mbit:6.2f} Mbit/s  {each.fraction:5.2f}")
    by_control = {each.control: each.mbit for each in found if each.way == "tunnel"}
    print(f"  through the tunnel BBR carries {by_control['bbr'] / by_control['cubic']:.1f} times what CUBIC does")


def _bench_registry() -> None:
    print(f"a registry of {SITES} sites: {registry_seconds()}")


def _bench_plan() -> None:
    print(f"the plan of a change that touches each of {PLANNED_SITES} sites: {plan_seconds()}")


def _bench_recovery() -> None:
    site = _site()
    [hub] = [stack for stack in existing_stacks() if stack.site.summaries]
    print(f"{site.name} reaches {hub.name} again after")
    for name, recovery in RECOVERIES.items():
        print(f"  {name:<42} {recovery(site, hub):6.1f} s", flush=True)


def _bench_alarms() -> None:
    print(f"heard after the minimum time: {lateness()}")


def _bench_traffic() -> None:
    site = _site()
    [hub] = [stack for stack in existing_stacks() if stack.site.summaries]
    found = traffic(site, hub)
    print(f"{found.readings} readings in {SECONDS} s, each over its device's own TLS connection")
    print(f"  to the broker      {found.raw:9,} bytes  {'█' * 40}")
    print(f"  to headquarters    {found.sent:9,} bytes  {bar(found.sent, found.raw)}")


def _bench_pipeline() -> None:
    for line in pipeline_report():
        print(line, flush=True)


#: Those before the lab's own need none, and a machine on which none runs.
BENCHES: Mapping[str, Callable[[], None]] = {
    "registry": _bench_registry,
    "plan": _bench_plan,
    "pipeline": _bench_pipeline,
    "alarms": _bench_alarms,
    "preview": _bench_preview,
    "boot": _bench_boot,
    "goodput": _bench_goodput,
    "recovery": _bench_recovery,
    "traffic": _bench_traffic,
}


def _drills(arguments: argparse.Namespace) -> None:
    lost = of_the_seed = 0
    print(HEAD)
    for loss in itertools.chain(losses("ours", arguments.times), summary_losses(arguments.times)):
        print(row(loss), flush=True)
        if loss.in_flight == 0:
            raise LabError(f"Nothing was in flight when the harm came: {loss.drill}", "See lab/pipeline/loss.py.")
        lost += loss.missing - loss.excused
    for loss in losses("seed"):
        print(row(loss), flush=True)
        of_the_seed += loss.missing
    if of_the_seed == 0:
        raise LabError("The seed's set-up lost nothing, so these drills are blind", "See lab/pipeline/loss.py.")
    site = _site()
    worst = 0.0
    for number, cut in enumerate(power_cuts(site, arguments.cuts), 1):
        told = f"acknowledged {cut.acknowledged}, missing {cut.missing}, the oldest {cut.age:.2f} s before the cut"
        print(f"cut {number}: {told}; healthy after {cut.back:.0f} s", flush=True)
        worst = max(worst, cut.age)
    if worst > POWER_CUT_SECONDS:
        raise LabError(f"A reading acknowledged {worst:.2f} s before a cut is missing", "See lab/drills.py.")
    if lost:
        raise LabError(f"{lost} acknowledged readings are missing", "See lab/pipeline/loss.py.")


def _edge(arguments: argparse.Namespace) -> None:
    words = [arguments.subcommand, "--config-file", config_file(ANY), *arguments.words]
    _become_operator([CHECKOUT / "bin" / "edge", *words])


def _ssh(arguments: argparse.Namespace) -> None:
    [stack] = [stack for stack in existing_stacks() if stack.name == arguments.site]
    words = login(stack, *arguments.words)
    os.execvp(words[0], words)  # noqa: S606


def _exec(arguments: argparse.Namespace) -> None:
    _become_operator(arguments.words or ["bash"], arguments.site)


def _become_operator(words: Sequence[str | Path], name: str = ANY) -> None:
    command = hypervisor.operator_command(words)
    os.execvpe(command[0], command, environment(toolchain.ensure(), name, home=OPERATOR_HOME))  # noqa: S606


def _down(_: argparse.Namespace) -> None:
    if not STATE.exists():
        say("there is no lab")
        return
    with _alone():
        hypervisor.stop()
        shutil.rmtree(STATE)
    say("the lab is gone; what was built stays in the cache until `make clean`")


def _clean(_: argparse.Namespace) -> None:
    shutil.rmtree(CACHE, ignore_errors=True)
    say(f"removed {CACHE}")


@contextmanager
def _alone() -> Iterator[None]:
    """Two at once on one lab would break each other's work."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"Another `make up` or `make down` works on {STATE}", "Wait until it has ended.") from None
        end_leftovers()
        yield


if __name__ == "__main__":
    sys.exit(main())
