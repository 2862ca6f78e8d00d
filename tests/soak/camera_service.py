"""``python -m soak.camera_service CATALOG PORT``: our camera service, to be killed."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from clipline.camera_service.api import create_app
from clipline.camera_service.catalog import Catalog
from clipline.entrypoints.server import serve_in_thread

if __name__ == "__main__":
    with Catalog(Path(sys.argv[1])) as catalog, serve_in_thread(create_app(catalog), port=int(sys.argv[2])):
        signal.sigwait({signal.SIGTERM})
