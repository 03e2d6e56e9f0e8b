"""`python3 -m services.uplink SETTINGS`."""

import sys
from pathlib import Path

from services._settings import read
from services.uplink.service import run
from services.uplink.settings import Settings

run(read(Path(sys.argv[1]), Settings))
