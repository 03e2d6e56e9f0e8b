"""`python3 -m services.alarms SETTINGS`."""

import sys
from pathlib import Path

from services._settings import read
from services.alarms.service import run
from services.alarms.settings import Settings

run(read(Path(sys.argv[1]), Settings))
