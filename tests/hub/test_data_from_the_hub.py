"""The data of a recipe read from a Hub, and what is said when it is not there.

A Hub on this machine answers. Its address must stand in the environment before anything imports
the Hub's client, so all is read in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hub_server import LoopbackHub

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
from hf_hardneg.errors import HardNegError
from hf_hardneg.hub.recipe import load_recipe
from hf_hardneg.hub.revisions import resolved
from hf_hardneg.hub.sources_hub import load_data, load_grades, load_held_out_part

def read(path, overrides):
    recipe = resolved(load_recipe(path, overrides))
    loaded, corpus = load_data(recipe)
    held_out = load_held_out_part(recipe, corpus)
    every = range(len(corpus))
    found = {"rows": loaded.rows.to_dict(), "notes": loaded.notes, "ids": corpus.ids(every),
             "texts": corpus.texts(every), "yaml": recipe.to_yaml(), "grades": load_grades(recipe)}
    if held_out:
        found["held_out"] = [list(held_out.ids), list(held_out.texts), held_out.judgements]
    return found

answers = []
for path, overrides in json.loads(sys.argv[1]):
    try:
        answers.append(read(path, overrides))
    except HardNegError as error:
        answers.append({"error": type(error).__name__, "said": str(error)})
print(json.dumps(answers, default=dict))
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


PAIRS = """\
version: 1
name: pairs
data: {queries: alice/pairs, columns: {query: question, positive: answer}}
mining: {strategy: bm25}
outputs: [ids]
"""

FIRST = "the first commit"
MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "repository": (
        {"data.queries": "alice/none"},
        "--set data.queries: data.queries is 'alice/none', and the Hub has no data set",
    ),
    "revision": ({"data.queries.revision": "f" * 40}, "has no revision 'ffff"),
    "config": ({"data.queries.config": "querys"}, "cannot be loaded from the Hub"),
    "which config": ({"data.corpus": "alice/set"}, "cannot be loaded from the Hub"),
    "split": ({"data.split": "tset"}, "Did you mean 'test'?"),
    "column": ({"data.columns": {"query": "txt"}}, "Did you mean 'text'?"),
    "judgements": (
        {"data.judgements": {"source": "alice/set:queries", "split": "queries"}},
        "no column for the queries' ids",
    ),
}
READS: dict[str, tuple[str, dict[str, Any]]] = {
    "newest": (RECIPE, {}),
    "older": (RECIPE, {"data.queries.revision": FIRST}),
    "pairs": (PAIRS, {}),
    "files": (
        RECIPE[: RECIPE.index("evaluation")].replace("  split: train\n", ""),
        {
            "data.queries": "q.jsonl",
            "data.judgements": "judged.tsv",
            "data.columns": {"query": "words", "query_id": "qid", "positive_ids": "good"},
        },
    ),
    **{name: (RECIPE, overrides) for name, (overrides, _) in MISSING.items()},
}


@dataclass(frozen=True)
class Answers:
    """What was read for each of ``READS``, and two commits of ``alice/set``."""

    read: dict[str, Any]
    first: str
    last: str


def run(script: str, *arguments: str, url: str, folder: Path) -> Any:
    environment = {
        **os.environ, "HF_ENDPOINT": url, "HF_TOKEN": "hf_alice", "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HARDNEG_CACHE": str(folder / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def all_reads(url: str, folder: Path) -> Answers:
    commits = run(FILL, url=url, folder=folder)
    (folder / "q.jsonl").write_text('{"qid": 7, "words": "seven"}\n')
    (folder / "judged.tsv").write_text("query-id\tcorpus-id\tscore\n7\t5\t1\n")
    jobs = []
    for name, (text, overrides) in READS.items():
        path = folder / ("r.yaml" if text == RECIPE else f"{name}.yaml")
        path.write_text(text, encoding="utf-8")
        given = {k: commits["first"] if v == FIRST else v for k, v in overrides.items()}
        jobs.append((str(path), given))
    found = run(READ, json.dumps(jobs), url=url, folder=folder)
    return Answers(dict(zip(READS, found, strict=True)), commits["first"], commits["last"])


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("hub")
    with LoopbackHub(folder / "root") as server:
        return all_reads(server.url, folder)


def test_queries_documents_and_judgements_are_joined_by_their_ids(hub: Answers) -> None:
    found = hub.read["newest"]
    assert found["rows"] == {"query_id": ["q1"], "query": ["uno"], "positive_ids": [["1", "2"]]}
    assert found["ids"] == ["1", "2", "3", "4", "5", "6"]
    assert found["texts"][0] == "t body 1"
    assert found["held_out"] == [["q3"], ["tres"], {"q3": {"4": 2}}]
    assert found["grades"] == {"q1": {"1": 1, "2": 1}, "q2": {"3": 0}}
    notes = " ".join(found["notes"])
    assert "the split 'train' was read" in notes
    assert "2 of 3 queries have no positive" in notes


def test_revisions_become_the_commits_that_were_read(hub: Answers) -> None:
    assert f"alice/set:queries@{hub.last}" in hub.read["newest"]["yaml"]
    assert hub.read["older"]["rows"]["query"] == ["one"]
    assert f"alice/set:queries@{hub.first}" in hub.read["older"]["yaml"]


def test_pairs_bring_their_own_documents(hub: Answers) -> None:
    found = hub.read["pairs"]
    assert found["rows"]["question"] == ["a", "b"]
    assert found["texts"] == ["x", "y"]


def test_files_and_the_hub_go_together(hub: Answers) -> None:
    found = hub.read["files"]
    assert found["rows"] == {"qid": ["7"], "words": ["seven"], "good": [["5"]]}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_there_is_said_with_its_place(hub: Answers, name: str) -> None:
    found, said = hub.read[name], MISSING[name][1]
    assert found.get("error") in ("RecipeError", "ColumnError")
    assert any(part in found["said"] for part in said.split("|"))
    assert "hf_alice" not in found["said"]
