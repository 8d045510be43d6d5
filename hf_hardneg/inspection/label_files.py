"""Files that labels are appended to: one line at a time, whole, and on the disk when it is told."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from filelock import FileLock

from hf_hardneg.cache import explain_os_error
from hf_hardneg.formats.output_file import json_line, utf8
from hf_hardneg.label_lines import file_stem, pattern_of

__all__ = ["LabelFile", "file_name", "pattern_of"]

LOCKS = ".locks"
_process: tuple[int, str] = (0, "")


def file_name(annotator: str) -> str:
    """Return the name of the file that this process keeps an annotator's labels in.

    No two annotators, and no two processes, on whatever machines, have the same one. It has
    letters, digits and hyphens alone, whatever the annotator is called.
    """
    return f"{file_stem(annotator)}-{_this_process()}.jsonl"


def _this_process() -> str:
    """Return a name that no other process has, also after a fork."""
    global _process
    if _process[0] != os.getpid():
        _process = os.getpid(), uuid.uuid4().hex[:12]
    return _process[1]


class LabelFile:
    """A file of JSON lines that is only ever appended to.

    Threads and processes may append at once. When :meth:`append` returns, the line is on the disk
    whole; when the process is killed in between, what is there of the line is removed before the
    next one.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        """Write nothing yet."""
        self.path = path
        self._lock = path.parent / LOCKS / f"{path.name}.lock"

    def append(self, values: object) -> None:
        """Append one line.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
            FormatError: the values are nothing that JSON can hold.
        """
        where = "the label"
        content = utf8(json_line(values, where), where)
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock):
                new = not self.path.exists()
                with self.path.open("ab") as file:
                    size = self._whole()
                    file.truncate(size)
                    try:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                    except OSError:
                        os.truncate(self.path, size)  # rather none of it than half
                        raise
                if new:
                    _sync_folder(self.path.parent)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def _whole(self) -> int:
        """Return how many bytes the whole lines have: what a killed writer began is no line."""
        with self.path.open("rb") as file:
            left = file.seek(0, os.SEEK_END)
            while left:
                start = max(0, left - (1 << 16))
                file.seek(start)
                place = file.read(left - start).rfind(b"\n")
                if place >= 0:
                    return start + place + 1
                left = start
        return 0


def _sync_folder(folder: Path) -> None:
    """See to it that the name of a new file outlives a power cut, where a folder can be synced."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
