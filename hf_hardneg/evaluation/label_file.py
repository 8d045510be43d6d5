"""Writing a file of pairs to be labelled, without losing labels that were given before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from hf_hardneg.cache import explain_os_error, staging_folder
from hf_hardneg.errors import OutputError
from hf_hardneg.formats.output_file import write_json_lines

__all__ = ["check_label_file", "write_label_lines"]


def check_label_file(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a file that is there already, before any work is done for it.

    Raises:
        OutputError: it exists, and says how many labels it holds; or it is a folder.
    """
    if path.is_dir():
        raise OutputError(f"{str(path)!r} is a folder; the labels are one file. Name a file.")
    if overwrite or not path.exists():
        return
    labels = _labels(path)
    held = f"holds {labels:,} labels" if labels else "exists"
    raise OutputError(
        f"the file {str(path)!r} {held} and would be lost. Choose another, or replace it with "
        "--overwrite (overwrite=True)."
    )


def _labels(path: Path) -> int:
    """Return how many lines of a file have a label; a line that cannot be read has none."""
    number = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            number += isinstance(value, dict) and value.get("label") is not None
    return number


def write_label_lines(
    path: str | os.PathLike[str], lines: Iterable[object], *, overwrite: bool = False
) -> Path:
    """Write a label file, whole or not at all; return its path.

    Raises:
        OutputError: the file is there already, or cannot be written.
    """
    final = Path(path).expanduser().absolute()
    check_label_file(final, overwrite=overwrite)
    with staging_folder(final.parent, final.name) as staging:
        written = write_json_lines(staging / final.name, lines)
        try:
            os.replace(written, final)
        except OSError as error:
            raise explain_os_error(error, final) from error
    return final
