"""A process that publishes by Xet, as the Hub's client does where ``hf-xet`` is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hub_server import LoopbackHub
from publications import NAME

TOKEN = "hf_alice"
PUSH = """
import json, sys, traceback
from hf_hardneg.errors import HubError
from hf_hardneg.hub.push import push_folder
for line in sys.stdin:
    said = []
    try:
        done = push_folder(**json.loads(line), say=said.append, waits=lambda _: 0.0)
        told = {"done": done.to_dict()}
    except HubError as error:
        told = {"error": str(error)}
        traceback.print_exc()
    print(json.dumps(told | {"said": said}), flush=True)
"""


class XetClient:
    """The process, which stays for several pushes.

    ``hf_xet`` tries again by itself before it tells of a failure, for minutes; here once, at once.

    Args:
        folder: for its home and what it says.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.errors = folder / "home", folder / "stderr"
        self.said: list[str] = []
        environment = {
            **os.environ, "HF_HOME": str(self.home), "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "0", "HF_XET_CLIENT_RETRY_BASE_DELAY": "5ms",
            "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1", "HF_ENDPOINT": "http://127.0.0.1:9",
        }  # fmt: skip
        environment.pop("HF_XET_CACHE", None)
        with self.errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PUSH], env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def push(self, hub: LoopbackHub, folder: Path, **values: Any) -> dict[str, Any]:
        """Return ``done`` or ``error``, and what was ``said``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"folder": str(folder), "repository": NAME, "endpoint": hub.url} | values
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.errors.read_text()
        self.said.append(line)
        found: dict[str, Any] = json.loads(line)
        return found

    def everything(self) -> str:
        """Return all that it has put out or written: its logs too."""
        written = (path.read_bytes() for path in self.home.rglob("*") if path.is_file())
        texts = [content.decode(errors="replace") for content in written]
        return "\n".join([*self.said, self.errors.read_text(), *texts])

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)
