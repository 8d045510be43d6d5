"""Processes of their own that work with the Hub on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hub_server import LoopbackHub

LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
name, *configs = sys.argv[1:]
found = {"names": get_dataset_config_names(name)}
for config in configs:
    whole = load_dataset(name, config, split="train")
    streamed = load_dataset(name, config, split="train", streaming=True)
    found[config] = [whole.features.to_dict(), whole[:]]
    found[config] += [streamed.features.to_dict(), list(streamed)]
print(json.dumps(found))
"""


def spawn(
    hub: LoopbackHub, home: Path, script: str, *words: object, xet: bool = False
) -> subprocess.Popen[str]:
    """Start a process whose Hub is on loopback from its first import on."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
