"""From nothing to a published set by the command line, against a Hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import LoopbackHub
from tiny_models import save_bi_encoder

RECIPES = Path(__file__).parents[2] / "hub_recipes"
NAME = "alice/small"
TOKEN = "hf_alice"

TRAIN = """
import sys
from datasets import load_dataset
from sentence_transformers import (
    SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import resolve_ids

name, folder, model_path = sys.argv[1:]
model = SentenceTransformer(model_path)


def step(train):
    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder, max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=train, loss=MultipleNegativesRankingLoss(model)
    )
    assert trainer.train().training_loss > 0


step(load_dataset(name, "n-tuple", split="train"))
ids, corpus, queries = (
    load_dataset(name, own, split="train") for own in ("ids", "corpus", "queries")
)
full = [row for row in ids if len(row["negative_ids"]) == 3]
train = ids.from_list(
    [{"query_id": row["query_id"], "positive_id": row["positive_ids"][0],
      "negative_ids": row["negative_ids"]} for row in full]
)
lookups = {"query_id": queries, "positive_id": corpus, "negative_ids": corpus}
train.set_transform(resolve_ids(lookups))
step(train)
streamed = list(load_dataset(name, "pool", split="train", streaming=True))
assert streamed == load_dataset(name, "pool", split="train").to_list()
print("trained")
"""


@pytest.fixture
def environment(hub: LoopbackHub, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def called(environment: dict[str, str], *arguments: object, status: int = 0) -> str:
    line = [sys.executable, *map(str, arguments)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-4000:]
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout


def test_from_raw_data_to_the_hub_and_back(
    hub: LoopbackHub, environment: dict[str, str], tmp_path: Path
) -> None:
    tool = ["-m", "hf_hardneg"]
    recipe, out = RECIPES / "beir-folder.yaml", tmp_path / "out"
    kept = ["--cache-dir", tmp_path / "cache"]
    asked = [*tool, "run", recipe, "--set", f"publish.repository={NAME}", *kept]
    called(environment, *asked, "--dry-run")
    assert not out.exists()
    told = called(environment, *asked, "--output", out, "--push", "--format", "json")
    pushed = json.loads(told)["pushed"]
    assert pushed["repository"] == NAME
    assert hub.history(NAME)[0].sha == pushed["commit"]
    assert len(hub.history(NAME)) == 2  # the empty repository, and the one commit
    again = [*tool, "reproduce", NAME, "--data", RECIPES, "--cache-dir", tmp_path / "other"]
    assert "Identical" in called(environment, *again)
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    model = save_bi_encoder(tmp_path / "model")
    trained = called(environment, script, NAME, tmp_path / "steps", model)
    assert trained.strip().endswith("trained")


def test_two_processes_write_the_bytes_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "hf_hardneg"]
    recipe = RECIPES / "beir-folder.yaml"
    for name, start in (("one", ["-m", "hf_hardneg"]), ("two", launcher)):
        where = ["--output", tmp_path / name, "--cache-dir", tmp_path / f"cache-{name}"]
        called(environment, *start, "run", recipe, *where)
    one, two = (
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert len(one) > 5


def test_who_may_not_publish_is_told_before_the_work(
    environment: dict[str, str], tmp_path: Path
) -> None:
    tool, recipe = ["-m", "hf_hardneg", "run"], RECIPES / "beir-folder.yaml"
    places = ["--output", tmp_path / "out", "--cache-dir", tmp_path / "cache"]
    ours = ["--set", f"publish.repository={NAME}"]
    theirs = ["--set", "publish.repository=bob/small"]
    for asked, token, said in (
        ([*theirs, "--push"], TOKEN, "in the namespace 'bob'"),
        ([*theirs, "--push"], "", "No access token"),
        ([*theirs, "--pr"], TOKEN, "--push is not given"),
        ([*ours, "--push", "--pr"], TOKEN, "a pull request needs one"),
        (["--push", "--dry-run"], TOKEN, "names no repository"),
    ):
        line = [sys.executable, *tool, recipe, *places, *asked]
        done = subprocess.run(
            [*map(str, line)], env={**environment, "HF_TOKEN": token}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert said in " ".join(done.stderr.split()), done.stderr
        assert not (tmp_path / "cache").exists()
