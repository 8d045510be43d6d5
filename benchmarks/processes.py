"""Fresh processes and fresh folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError

__all__ = ["fresh_folder", "run_side"]

ROOT = Path(__file__).resolve().parents[1]
LAST_LINES = 25


@contextmanager
def fresh_folder(parent: Path | None, name: str) -> Iterator[Path]:
    """Give an empty folder and remove it afterwards."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"hf-hardneg-{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_side(side: str, arguments: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
    """Run ``module:function`` of :mod:`benchmarks.sides` in a fresh process; return its values.

    Args:
        side: for example ``bare_bm25:search``.
        arguments: of the function; values that JSON can write, and paths.
        scratch: a fresh folder for whatever the process caches.

    Raises:
        BenchmarkError: the process failed.
    """
    module, function = side.split(":")
    handle, name = tempfile.mkstemp(suffix=".json", dir=scratch)
    os.close(handle)
    call_file, result = Path(name), Path(name).with_suffix(".result")
    call = {
        "module": f"benchmarks.sides.{module}",
        "function": function,
        "arguments": dict(arguments),
        "result": str(result),
    }
    call_file.write_text(json.dumps(call, default=str), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", str(call_file)],
        env=_environment(scratch),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode or not result.exists():
        tail = "\n".join(finished.stderr.splitlines()[-LAST_LINES:])
        raise BenchmarkError(f"{side} ended with code {finished.returncode}:\n{tail}")
    values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return values


def _environment(scratch: Path) -> dict[str, str]:
    """Return an environment without a network, with every cache in the fresh folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "HF_HARDNEG_CACHE": str(scratch / "unused"),
        "HF_DATASETS_CACHE": str(scratch / "datasets"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "1",
        "NUMBA_CACHE_DIR": str(scratch / "numba"),
        "TOKENIZERS_PARALLELISM": "false",
    }
