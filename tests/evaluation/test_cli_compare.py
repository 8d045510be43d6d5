"""The command ``compare`` from files to files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from compare_cases import known_words
from small_collection import Collection, fail, invoke, snapshot, succeed
from tiny_models import save_bi_encoder

from hf_hardneg.cli_compare import _stage_settings
from hf_hardneg.errors import ParameterError


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return known_words(tmp_path_factory.mktemp("cli") / "beir")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bi_encoder(tmp_path_factory.mktemp("model"))


def test_two_processes_are_refused(
    collection: Collection, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchrun starts them; each would train with its share of every batch."""
    out = tmp_path / "out"
    command = [
        "compare", "--queries", str(collection.folder), "--strategies", "random",
        "--train", str(model), "--steps", "1", "--seeds", "1", "--output", str(out),
        "--cache-dir", str(tmp_path / "cache"),
    ]  # fmt: skip
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "hf_hardneg"]
    done = subprocess.run(
        [sys.executable, *launcher, *command], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert "compare was started as 2 processes, by torchrun or accelerate launch; expected" in said
    assert not out.exists()
    assert not (tmp_path / "cache").exists()
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert "compare was started as 3 processes" in fail(*command)


def test_one_table_as_json(collection: Collection, tmp_path: Path) -> None:
    judged = tmp_path / "deep.tsv"
    judged.write_text("query-id\tcorpus-id\tscore\nq0\td20\t1\n")
    result = succeed(
        "compare", "--queries", collection.folder, "--strategies", "random; bm25 ;bm25+random",
        "--judgements", judged, "--num-negatives", 2, "--format", "json",
    )  # fmt: skip
    values = json.loads(result.stdout)
    assert [one["strategy"] for one in values["strategies"]] == ["random", "bm25", "bm25+random"]
    assert values["strategies"][1]["false_negatives"]["judged"]["n"] == 2
    assert values["trained"] == []
    assert "Mining bm25 (2 of 3)." in result.stderr


def test_training_writes_all_files_and_resumes(
    collection: Collection, model: Path, tmp_path: Path
) -> None:
    judged = tmp_path / "deep.tsv"
    judged.write_text("query-id\tcorpus-id\tscore\nq0\td20\t1\n")
    command = (
        "compare", "--queries", collection.folder, "--strategies", "random; dense",
        "--set", f"dense.model={model}", "--judgements", judged, "--train", model, "--steps", 1,
        "--batch-size", 4, "--seeds", 2, "--output", tmp_path / "out",
    )  # fmt: skip
    result = succeed(*command)
    assert "Training: 6 runs of 1 steps" in result.stderr
    assert "Trained, MRR@10" in result.stdout
    before = snapshot(tmp_path / "out")
    assert sorted(before) == ["compare.html", "compare.json", "figure.svg", "table.md"]
    again = succeed(*command, "--resume", "--overwrite")
    assert "some are finished" in again.stderr
    assert snapshot(tmp_path / "out") == before


def test_progress_goes_to_stderr_alone(collection: Collection, model: Path) -> None:
    result = succeed(
        "compare", "--queries", collection.folder, "--strategies", "random", "--train", model,
        "--steps", 1, "--batch-size", 4, "--seeds", 1, "--format", "json",
    )  # fmt: skip
    assert json.loads(result.stdout)["settings"]["training"]["seeds"] == [0]


def test_one_that_fails_is_said_and_the_others_are_written(
    collection: Collection, tmp_path: Path
) -> None:
    result = invoke(
        "compare", "--queries", collection.folder, "--output", tmp_path / "out",
        "--strategies", f"bm25; dense(model={str(tmp_path / 'nowhere')!r})",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "error: dense(model=" in result.stderr
    values = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert values["strategies"][0]["negatives"] == 9
    assert values["strategies"][1]["error"].startswith("ModelError")


def test_training_queries_are_refused(collection: Collection, model: Path) -> None:
    message = fail(
        "compare", "--queries", collection.folder, "--strategies", "random", "--train", model,
        "--eval-split", "train",
    )  # fmt: skip
    assert "9 of 9 held-out queries are training queries too" in message
    assert "--allow-seen-queries" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategies", "random; bm52"], "strategy 'bm52': unknown stage"),
        (["--strategies", "bm25", "--set", "dense.model=x"], "no strategy has a stage"),
        (["--strategies", "bm25", "--judgements", "nowhere.tsv"], "does not exist"),
        (["--strategies", "bm25", "--train", "nowhere"], "nowhere"),
        (["--strategies", "bm25", "--estimator", "luck"], "'luck' is not known"),
    ],
)
def test_bad_input(options: list[str], message: str, collection: Collection) -> None:
    assert message in fail("compare", "--queries", collection.folder, *options)


def test_an_output_folder_that_is_there_is_refused_before_the_work(
    collection: Collection, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    command = ("compare", "--queries", collection.folder, "--strategies", "bm25")
    assert "not empty" in fail(*command, "--output", tmp_path)
    own = fail(*command, "--output", collection.folder, "--overwrite")
    assert "holds an input of this run" in own


def test_settings_of_stages() -> None:
    found = _stage_settings(["dense.model=a.b/c=d", "threshold=0.2", "held-out.keep=True"])
    assert found == {"dense.model": "a.b/c=d", "threshold": 0.2, "held-out.keep": True}
    for wrong in ("dense.model", "a b.c=1", "=1", ".x=1"):
        with pytest.raises(ParameterError, match="expected"):
            _stage_settings([wrong])
