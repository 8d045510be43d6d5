"""The process of one side: import, note the memory, run, note the memory, write the values.

``python -m benchmarks.child CALL.json``; :func:`benchmarks.processes.run_side` writes that file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.memory import peak_mib

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """What a side gives back.

    Attributes:
        values: what was measured.
        after: called when the peak memory has been read; its values are added. For checks that
            are no part of what is measured.
    """

    values: dict[str, Any]
    after: Callable[[], dict[str, Any]] = dict


def main(call_file: Path) -> None:
    """Run the call and write its values beside it."""
    call = json.loads(call_file.read_text(encoding="utf-8"))
    side = getattr(import_module(call["module"]), call["function"])
    imported, before = peak_mib(), time.process_time()
    measured: Measured = side(**call["arguments"])
    values = {
        **measured.values,
        "cpu_seconds": round(time.process_time() - before, 3),
        "peak_mib": round(peak_mib() - imported, 1),
        "imports_mib": round(imported, 1),
    }
    values |= measured.after()
    Path(call["result"]).write_text(json.dumps(values), encoding="utf-8")


if __name__ == "__main__":
    # As an import of ours, so that sides find the same class.
    from benchmarks.child import main as run

    run(Path(sys.argv[1]))
