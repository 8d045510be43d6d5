"""The processes with Java that answer for this process: started, asked and ended."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hf_hardneg.errors import EngineError
from hf_hardneg.retrievers.lucene_index_process_java import find_java

__all__ = ["Engine", "close_engines", "engine_of", "engines"]

ENGINE = Path(__file__).with_name("lucene_index_engine.py")
# Modules of the engine must be those of this process, and no file beside it may hide one.
PROGRAM = "import sys; sys.path[:] = {path!r}; import runpy; runpy.run_path({file!r}, run_name='__main__')"  # noqa: E501
SECONDS_TO_END = 5
LINES_SHOWN = 3


class Engine:
    """The process with Java that answers for this process; started when it is first asked."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer.

        Raises:
            EngineError: the engine cannot be started, or has ended.
        """
        with self._lock:
            try:
                if self._process is None:
                    self._start()
                return self._exchange(request)
            except BaseException:  # an answer that nobody read would be taken for the next one
                self._end(kill=True)
                raise

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end(kill=False)

    def _start(self) -> None:
        java = find_java()
        environment = dict(os.environ, JAVA_HOME=str(java.home), LC_ALL="C.UTF-8")
        environment.pop("JVM_PATH", None)  # pyjnius would take it for the library of this Java
        program = PROGRAM.format(path=[one for one in sys.path if one], file=str(ENGINE))
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        # An interruption is for this process; the engine ends when its input does.
        with _progress() as told:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, "vector" if java.vector else "", *map(str, told)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment,
                start_new_session=True, pass_fds=told,
            )  # fmt: skip
        self._read(f"Lucene cannot be started with Java {java.version} of {str(java.home)!r}")

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        line = json.dumps(request).encode("ascii") + b"\n"
        with contextlib.suppress(BrokenPipeError):  # it has ended, and reading says so
            self._pipe("stdin").write(line)
            self._pipe("stdin").flush()
        return self._read("Java, which runs Lucene, has ended")

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] = getattr(self._process, name)
        return pipe

    def _read(self, trouble: str) -> dict[str, Any]:
        line = self._pipe("stdout").readline()
        if not line.endswith(b"\n"):
            raise EngineError(f"{trouble}. {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """Say how the process ended and what it said last."""
        if self._process is None or self._said is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_END)
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").splitlines()
        telling = [line for line in lines if line.strip() and not line.startswith((" ", "\t"))]
        shown = " / ".join(telling[-LINES_SHOWN:])
        return (
            f"Exit status {self._process.returncode}; its last words: {shown or 'none'}. If it was "
            "killed, it may have run out of memory: use fewer processes or threads."
        )

    def _end(self, kill: bool) -> None:
        process, said = self._process, self._said
        self._process = self._said = None
        if process is None:
            return
        if kill:
            process.kill()
        for name in ("stdin", "stdout"):
            with contextlib.suppress(OSError):
                getattr(process, name).close()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if said is not None:
            said.close()


@contextlib.contextmanager
def _progress() -> Iterator[tuple[int, ...]]:
    """Give a file descriptor on which an engine may show how far a download is, if there is one."""
    try:
        shown = os.dup(2) if os.name == "posix" else None
    except OSError:  # this process has none
        shown = None
    try:
        yield () if shown is None else (shown,)
    finally:
        if shown is not None:
            os.close(shown)


engines: dict[tuple[int, int], Engine] = {}
"""By process, so that a forked one starts its own, and by their number in it."""


def engine_of(number: int) -> Engine:
    """Return an engine of this process, by its number in it."""
    return engines.setdefault((os.getpid(), number), Engine())


@atexit.register
def close_engines() -> None:
    """End the engines of this process; one that is asked again starts anew."""
    for (process, _), engine in list(engines.items()):
        if process == os.getpid():
            engine.close()
