#!/usr/bin/env python3
"""Write event.json, an SQS event to test with. Needs Python alone; ``--help`` lists the kinds."""

import runpy
import sys
from pathlib import Path

# The camera that is asked for. It has to be up: if it is down, put another one here.
CAMERA_ID = "1111111111111"

EVENT = Path(__file__).resolve().parents[1] / "src" / "clipline" / "entrypoints" / "event.py"

if __name__ == "__main__":
    sys.exit(runpy.run_path(str(EVENT))["main"](camera_id=CAMERA_ID))
