"""Real processes: four that push at once, and one that loads what was pushed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import load_dataset
from hub_processes import LOAD, spawn
from hub_server import LoopbackHub
from publications import NAME, contents, publication, push

PUSH = """
import sys
from pathlib import Path
from hf_hardneg.hub.push import push_folder
folder, name, go = sys.argv[1:]
print("ready", flush=True)
while not Path(go).exists():
    pass
done = push_folder(folder, name, append=True, say=print)
print(done.tries, flush=True)
"""


def test_four_processes_push_four_configs_at_once(hub: LoopbackHub, tmp_path: Path) -> None:
    configs = ["n-tuple", "ids", "corpus", "triplet"]
    hub.create(NAME)
    folders = {name: publication(tmp_path / name, [name], note=name) for name in configs}
    go = tmp_path / "go"
    # The first commits wait for each other, so that they do meet.
    hub.fail("/commit/", delay=0.5, times=4)
    processes = [spawn(hub, tmp_path / "home", PUSH, folder, NAME, go)
                 for folder in folders.values()]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, told
    assert "status 412" in "".join(out for out, _ in told), "they did not meet"
    commits = hub.history(NAME)
    assert len(commits) == 1 + 4
    files = hub.files(NAME)
    card = files["README.md"].decode()
    for name, folder in folders.items():
        data = {path: kept for path, kept in contents(folder).items() if path.startswith("data/")}
        assert {path: files[path] for path in data} == data
        assert f"- config_name: {name}\n" in card
        assert card.count(f"<!-- hf-hardneg: {name} -->") == 1
        recipes = [files[path] for path in files if path.endswith("recipe.yaml")]
        assert f"name: set{name}\n".encode() in recipes
    assert len(recipes) == 4


def test_loading_it_back(hub: LoopbackHub, tmp_path: Path) -> None:
    configs = ["n-tuple", "ids", "corpus"]
    folder = publication(tmp_path / "set", configs, rows=20, shards=2)
    push(hub, folder, private=True)
    process = spawn(hub, tmp_path / "home", LOAD, NAME, *configs)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    assert found.pop("names") == configs
    for config in configs:
        files = str(folder / "data" / config / "*.parquet")
        local = load_dataset("parquet", data_files=files, split="train",
                             cache_dir=str(tmp_path / "cache"))  # fmt: skip
        features, rows, streamed_features, streamed_rows = found[config]
        assert features == streamed_features == local.features.to_dict()
        assert rows == local[:]
        assert streamed_rows == list(local)
        assert len(streamed_rows) > 20
