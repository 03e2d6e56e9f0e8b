"""`python3 -m services.watch SETTINGS`."""

import sys
from pathlib import Path

from services._settings import read
from services.watch.service import run
from services.watch.settings import Settings

run(read(Path(sys.argv[1]), Settings))
