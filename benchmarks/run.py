"""``python -m benchmarks.run [names] [--data FOLDER] [--out FOLDER] [--repeat N]``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:
        # Called as a file: the folder above is the one to import from, not this one.
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.cli import main

    sys.exit(main())
