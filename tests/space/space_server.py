"""The app in a process of its own, as its users start it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

START = 120
"""Seconds that an app may take to start."""
SPACE = """
import json, sys
from pathlib import Path
from hf_hardneg.space import SpaceSettings, launch

values = json.loads(sys.argv[1])
port = values.pop("port")
settings = SpaceSettings(**{**values, "labels": Path(values["labels"])})
print("Open", launch(settings, port=port, block=False), flush=True)
sys.stdin.read()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class App:
    """An app that runs.

    Attributes:
        url: where it listens, with a slash at the end.
        data: the set it was started with.
        labels: folder of its labels.
    """

    url: str
    data: str
    labels: Path
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Fail where the process has ended."""
        code = self.process.poll()
        assert code is None, f"the app ended with {code}: {''.join(self.said)}"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def inspect(data: str | Path, labels: Path, cache: Path, *words: str) -> App:
    """Start ``hf-hardneg inspect``."""
    command = ["-m", "hf_hardneg", "inspect", str(data), "--no-open", "--labels", str(labels)]
    return _started([*command, "--port", str(free_port()), *words], str(data), labels, cache, {})


def space(data: str, labels: Path, cache: Path, **further: object) -> App:
    """Start the app with settings of one's own; ``environment`` adds to that of the process."""
    environment = dict(further.pop("environment", {}))  # type: ignore[call-overload]
    values = {"data": data, "labels": str(labels), "port": free_port(), **further}
    return _started(["-c", SPACE, json.dumps(values)], data, labels, cache, environment)


def _started(
    words: list[str], data: str, labels: Path, cache: Path, environment: dict[str, str]
) -> App:
    process = subprocess.Popen(
        [sys.executable, *words],
        env={
            **os.environ, "HF_HARDNEG_CACHE": str(cache), "COLUMNS": "300",
            "PYTHONFAULTHANDLER": "1", **environment,
        },
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said: list[str] = []
    address: list[str] = []

    def listen() -> None:  # to the end, so that the process never waits for a reader
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("Open http"):
                address.append(line.split()[1])

    threading.Thread(target=listen, daemon=True).start()
    until = time.monotonic() + START
    while not address:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise RuntimeError(f"the app did not start: {''.join(said)}")
        time.sleep(0.05)
    return App(address[0].rstrip("/") + "/", data, labels, process, said)
