"""A text file that is written line by line, the same bytes on every system."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from hf_hardneg.errors import FormatError, OutputError

__all__ = ["OutputFile", "json_line", "utf8", "write_json_lines"]

# allow_nan=False: "NaN" and "-Infinity" are not JSON, and strict readers refuse the whole file.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

# JSON allows these characters inside a string, but str.splitlines() ends a line at each of them.
# Escaped, they mean the same, and a line is one object for every reader.
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_line(value: object, where: str) -> str:
    """Return a value as one line of JSON, with its line end.

    Raises:
        FormatError: JSON cannot hold it.
    """
    try:
        line = _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"{where}: cannot be written as JSON ({error}). Expected strings, finite Python "
            "numbers, None, lists and dicts only."
        ) from error
    for character, escaped in _LINE_ENDS.items():
        line = line.replace(character, escaped)
    return line + "\n"


def utf8(text: str, where: str) -> bytes:
    """Return a text in UTF-8.

    Raises:
        FormatError: it has half of a surrogate pair.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError(
            f"{where}: the text has half of a surrogate pair ({text[error.start]!r}), which UTF-8 "
            "cannot hold. Expected valid Unicode. Repair the text, for example with "
            "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')."
        ) from error


class OutputFile:
    r"""A new file: UTF-8 without a byte order mark, lines ended by ``"\n"``.

    A file that exists already is never overwritten: two formats written into one folder would
    otherwise replace each other's ``train.jsonl``.

    Args:
        path: where to write; the folder must exist.

    Attributes:
        path: where the file is.
        lines: how many calls of :meth:`write` and :meth:`json` it has had.
    """

    def __init__(self, path: Path) -> None:
        """Create the file."""
        self.path = path
        self.lines = 0
        try:
            self._file = path.open("xb")
        except OSError as error:
            _refuse(path, error)

    def write(self, text: str) -> None:
        """Write one line, which brings its own line end (the method that ``csv.writer`` calls)."""
        content = utf8(text, self._where())
        try:
            self._file.write(content)
        except OSError as error:
            _refuse(self.path, error)
        self.lines += 1

    def json(self, value: object) -> None:
        """Write ``value`` as one line of JSON."""
        self.write(json_line(value, self._where()))

    def _where(self) -> str:
        return f"{self.path.name}, line {self.lines + 1}"

    def __enter__(self) -> OutputFile:
        """Return the file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file, which writes what is still buffered."""
        try:
            self._file.close()
        except OSError as failure:
            _refuse(self.path, failure)


def write_json_lines(path: Path, objects: Iterable[object]) -> Path:
    """Write one JSON object a line and return ``path``."""
    with OutputFile(path) as file:
        for value in objects:
            file.json(value)
    return path


def _refuse(path: Path, error: OSError) -> NoReturn:
    raise OutputError(
        f"Cannot write {path}: {error.strerror or error}. Expected an existing folder that does "
        "not have this file yet, and enough space. Choose another folder, or make room."
    ) from error
