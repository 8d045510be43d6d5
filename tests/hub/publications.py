"""Small folders to publish, and the call that publishes them without waits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from hub_server import LoopbackHub

from hf_hardneg.hub.push import Pushed, push_folder

NAME = "alice/set"
ROWS = {
    "n-tuple": {"query": ["a", "b"], "positive": ["c", "d"], "negative_1": ["e", "f"]},
    "ids": {"query_id": ["q1", "q2"], "positive_ids": [["d1"], ["d2", "d3"]],
            "negative_ids": [["d4"], ["d5"]]},
    "corpus": {"id": ["d1", "d2"], "text": ["one", "two"]},
    "triplet": {"query": ["a"], "positive": ["c"], "negative": ["e"]},
}  # fmt: skip


def card(configs: Sequence[str], *, tags: Sequence[str] = (), body: str = "", licence: str = "mit",
         ) -> str:  # fmt: skip
    """A card as ours are: everything in the body stands between the marks."""
    entries = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: data/{name}/*.parquet\n"
        for name in configs
    )
    tagged = "".join(f"- {tag}\n" for tag in tags)
    front = f"license: {licence}\nconfigs:\n{entries}" + (f"tags:\n{tagged}" if tags else "")
    told = body or f"# A set with {', '.join(configs)}\n\nMade by [this](hardneg/recipe.yaml)."
    names = ",".join(configs)
    return f"---\n{front}---\n<!-- hf-hardneg: {names} -->\n{told}\n<!-- /hf-hardneg -->\n"


def publication(
    folder: Path,
    configs: Sequence[str] = ("n-tuple", "ids"),
    *,
    rows: int = 1,
    shards: int = 1,
    note: str = "",
    text: str | None = None,
) -> Path:
    """Write a publication folder; ``note`` is a word in every file, to tell versions apart."""
    for config in configs:
        place = folder / "data" / config
        place.mkdir(parents=True)
        values: dict[str, list[Any]] = {name: list(column) * rows
                                        for name, column in ROWS[config].items()}  # fmt: skip
        first = next(iter(values))
        values[first] = [f"{value}{note}" for value in values[first]]
        whole = Dataset.from_dict(values)
        for number in range(shards):
            part = whole.shard(shards, number) if shards > 1 else whole
            part.to_parquet(place / f"train-{number:05d}-of-{shards:05d}.parquet")
    (folder / "hardneg" / "plots").mkdir(parents=True)
    (folder / "hardneg" / "recipe.yaml").write_text(f"name: set{note}\n")
    (folder / "hardneg" / "report.json").write_text(json.dumps({"configs": list(configs)}))
    (folder / "hardneg" / "plots" / "scores.png").write_bytes(b"\x89PNG" + note.encode() + b"\0")
    (folder / "README.md").write_text(text if text is not None else card(configs, body=note))
    return folder


def push(hub: LoopbackHub, folder: Path, name: str = NAME, **values: Any) -> Pushed:
    given: dict[str, Any] = {"token": "hf_alice", "endpoint": hub.url, "waits": lambda _: 0.0}
    return push_folder(folder, name, **(given | values))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip
