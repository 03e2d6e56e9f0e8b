"""What a node mends itself, each minute and before Docker starts: the broker's queue, and a database (ADR 18)."""

from pathlib import Path

from components._files import DATA, PROGRAMS, File

_MEND = f"{PROGRAMS}/mend"
_UNIT = "/etc/systemd/system/fjord-edge-mend"

_SERVICE = f"""\
[Unit]
Description=Mends what a service does not mend itself
After=docker.service

[Service]
Type=oneshot
ExecStart={_MEND}
"""

_BEFORE_DOCKER = f"""\
[Unit]
Description=Takes torn ends out of the database's log
RequiresMountsFor={DATA}
Before=docker.service

[Service]
Type=oneshot
ExecStart={_MEND} log

[Install]
WantedBy=multi-user.target
"""

_TIMER = """\
[Unit]
Description=A look at the services each minute

[Timer]
OnBootSec=2min
OnUnitInactiveSec=1min

[Install]
WantedBy=timers.target
"""


def mender_files() -> list[File]:
    """The program, and what calls it."""
    program = (Path(__file__).parent / "on_node" / "mend.py").read_text()
    return [
        File(path=_MEND, contents=program, mode=0o755),
        File(path=f"{_UNIT}.service", contents=_SERVICE),
        File(path=f"{_UNIT}.timer", contents=_TIMER),
        File(path=f"{_UNIT}-log.service", contents=_BEFORE_DOCKER),
    ]


#: The command that puts them in force.
APPLY_MENDER = (
    "systemctl daemon-reload && systemctl --quiet enable fjord-edge-mend.timer fjord-edge-mend-log.service && "
    "systemctl start fjord-edge-mend.timer"
)
