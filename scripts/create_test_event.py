#!/usr/bin/env python3
"""Write event.json, an SQS event to test with. Needs Python 3.11 alone; ``--help`` says what it can be."""

import runpy
import sys
from pathlib import Path

# The camera that is asked for. It has to be up: if it is down, put one here that is.
CAMERA_ID = "1111111111111"
CAMERA_ALIAS = "test"

# None: a new clipId each time, so that every run is a new request.
CLIP_ID: str | None = None

EVENT = Path(__file__).resolve().parents[1] / "src" / "clipline" / "entrypoints" / "event.py"

if __name__ == "__main__":
    main = runpy.run_path(str(EVENT))["main"]
    program = Path(__file__).name
    sys.exit(main(camera_id=CAMERA_ID, camera_alias=CAMERA_ALIAS, clip_id=CLIP_ID, program=program))
