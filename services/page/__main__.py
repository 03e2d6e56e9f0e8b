"""`python3 -m services.page SETTINGS`."""

import sys
from pathlib import Path

from services._settings import read
from services.page.service import run
from services.page.settings import Settings

run(read(Path(sys.argv[1]), Settings))
