"""Where the lab keeps things: two folders, one kept between labs and one that is a lab."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

#: What was downloaded or built, by version; `make clean` removes it.
CACHE = Path(os.environ.get("FJORD_EDGE_CACHE") or Path.home() / ".cache" / "fjord-edge")

#: One running lab: disks, state, keys, logs; `make down` removes it.
STATE = CHECKOUT / ".lab"

LOGS = STATE / "log"
