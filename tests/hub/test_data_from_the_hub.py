"""The data of a recipe read from a Hub, and what is said when it is not there.

A Hub on this machine answers; its address must stand in the environment before anything imports
the Hub's client, so each check runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import shared

FILL = """
import json, sys
from datasets import Dataset
from huggingface_hub import HfApi

def push(name, config, split, **columns):
    Dataset.from_dict(columns).push_to_hub(name, config, split=split)

docs = [str(n) for n in range(1, 7)]
push("alice/set", "corpus", "corpus", _id=docs, title=["t"] * 6, text=[f"body {n}" for n in docs])
push("alice/set", "queries", "queries", _id=["q1", "q2", "q3"], text=["one", "two", "three"])
push("alice/qrels", "default", "train", **{"query-id": ["q1", "q1", "q2"],
     "corpus-id": [1, 2, 3], "score": [1, 1, 0]})
push("alice/qrels", "default", "test", **{"query-id": ["q3"], "corpus-id": [4], "score": [2]})
first = HfApi().dataset_info("alice/set").sha
push("alice/set", "queries", "queries", _id=["q1", "q2", "q3"], text=["uno", "dos", "tres"])
push("alice/pairs", "pair", "train", question=["a", "b"], answer=["x", "y"], other=[1, 2])
print(json.dumps({"first": first, "last": HfApi().dataset_info("alice/set").sha}))
"""

READ = """
import json, sys
from pathlib import Path
from hf_hardneg.errors import HardNegError
from hf_hardneg.hub.recipe import load_recipe
from hf_hardneg.hub.revisions import resolved
from hf_hardneg.hub.sources_hub import load_data, load_grades, load_held_out_part

try:
    recipe = resolved(load_recipe(sys.argv[1], json.loads(sys.argv[2])))
    loaded, corpus = load_data(recipe)
    held_out = load_held_out_part(recipe, corpus)
    every = range(len(corpus))
    found = {"rows": loaded.rows.to_dict(), "notes": loaded.notes, "ids": corpus.ids(every),
             "texts": corpus.texts(every), "yaml": recipe.to_yaml(), "grades": load_grades(recipe)}
    if held_out:
        found["held_out"] = [list(held_out.ids), list(held_out.texts), held_out.judgements]
except HardNegError as error:
    found = {"error": type(error).__name__, "said": str(error)}
print(json.dumps(found, default=dict))
"""

RECIPE = """\
version: 1
name: from-the-hub
data:
  queries: alice/set:queries
  corpus: alice/set:corpus
  judgements: alice/qrels
  split: train
mining: {strategy: bm25}
outputs: [ids]
evaluation:
  false_negatives: [judged]
  judgements: {source: alice/qrels, split: train}
  held_out: {queries: alice/set:queries, judgements: alice/qrels, split: test}
"""


class LoopbackHub:
    """A Hub on this machine with three data sets."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._environment = {
            **os.environ, "HF_ENDPOINT": url, "HF_TOKEN": "hf_alice", "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HARDNEG_CACHE": str(folder / "cache"),
        }  # fmt: skip
        self.commits = self.run(FILL)

    def run(self, script: str, *arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=self._environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def read(self, text: str = RECIPE, **overrides: Any) -> Any:
        path = self.folder / "r.yaml"
        path.write_text(text, encoding="utf-8")
        keys = {name.replace("__", "."): value for name, value in overrides.items()}
        return self.run(READ, str(path), json.dumps(keys))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    server = shared("tools", "local_hub.py")
    folder = tmp_path_factory.mktemp("hub")
    process = subprocess.Popen(
        [sys.executable, str(server), "--root", str(folder / "root"), "--port", "0", "--quiet"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split(" on ")[1].split()[0]
        yield LoopbackHub(folder, url)
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_queries_documents_and_judgements_are_joined_by_their_ids(hub: LoopbackHub) -> None:
    found = hub.read()
    assert found["rows"] == {"query_id": ["q1"], "query": ["uno"], "positive_ids": [["1", "2"]]}
    assert found["ids"] == ["1", "2", "3", "4", "5", "6"]
    assert found["texts"][0] == "t body 1"
    assert found["held_out"] == [["q3"], ["tres"], {"q3": {"4": 2}}]
    assert found["grades"] == {"q1": {"1": 1, "2": 1}, "q2": {"3": 0}}
    notes = " ".join(found["notes"])
    assert "the split 'train' was read" in notes
    assert "2 of 3 queries have no positive" in notes


def test_revisions_become_the_commits_that_were_read(hub: LoopbackHub) -> None:
    found = hub.read()
    assert f"alice/set:queries@{hub.commits['last']}" in found["yaml"]
    old = hub.read(data__queries__revision=hub.commits["first"])
    assert old["rows"]["query"] == ["one"]
    assert f"alice/set:queries@{hub.commits['first']}" in old["yaml"]


def test_pairs_bring_their_own_documents(hub: LoopbackHub) -> None:
    text = """\
version: 1
name: pairs
data: {queries: alice/pairs, columns: {query: question, positive: answer}}
mining: {strategy: bm25}
outputs: [ids]
"""
    found = hub.read(text)
    assert found["rows"]["question"] == ["a", "b"]
    assert found["texts"] == ["x", "y"]


def test_files_and_the_hub_go_together(hub: LoopbackHub) -> None:
    (hub.folder / "q.jsonl").write_text('{"qid": 7, "words": "seven"}\n')
    (hub.folder / "judged.tsv").write_text("query-id\tcorpus-id\tscore\n7\t5\t1\n")
    text = RECIPE[: RECIPE.index("evaluation")].replace("  split: train\n", "")
    found = hub.read(
        text,
        data__queries="q.jsonl",
        data__judgements="judged.tsv",
        data__columns={"query": "words", "query_id": "qid", "positive_ids": "good"},
    )
    assert found["rows"] == {"qid": ["7"], "words": ["seven"], "good": [["5"]]}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "data__queries",
            "alice/none",
            "--set data.queries: data.queries is 'alice/none', and the Hub",
        ),
        ("data__queries__revision", "f" * 40, "has no revision 'ffff"),
        ("data__queries__config", "querys", "cannot be loaded from the Hub"),
        ("data__corpus", "alice/set", "r.yaml|cannot be loaded from the Hub"),
        ("data__split", "tset", "Did you mean 'test'?"),
        ("data__columns", {"query": "txt"}, "Did you mean 'text'?"),
        ("data__judgements", {"source": "alice/set:queries", "split": "queries"}, "no column for"),
    ],
)
def test_what_is_not_there_is_said_with_its_place(
    hub: LoopbackHub, key: str, value: object, said: str
) -> None:
    found = hub.read(**{key: value})
    assert found.get("error") in ("RecipeError", "ColumnError")
    assert any(part in found["said"] for part in said.split("|"))
    assert "hf_alice" not in found["said"]
