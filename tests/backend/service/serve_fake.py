"""A whole server process with workers that only count: ``python serve_fake.py DATA CONNECTION``."""

from __future__ import annotations

import sys
from pathlib import Path

from fake_runner import make_fake_runner

from backend.service.options import ServeOptions
from backend.service.serve import serve

if __name__ == "__main__":
    serve(
        ServeOptions(
            data_dir=Path(sys.argv[1]), connection_file=Path(sys.argv[2]), warm_batch=True
        ),
        make_fake_runner,
        lambda connection: print("ready", flush=True),
    )
