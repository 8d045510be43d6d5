"""The command line as its user meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset, load_from_disk
from small_collection import Collection, fail, invoke, snapshot, spawn, succeed, write_collection
from tiny_models import save_cross_encoder

import hf_hardneg
from hf_hardneg import cli
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.formats.output import OUTPUT_FORMATS
from hf_hardneg.formats.writers import WRITERS
from hf_hardneg.mapping import map_steps
from hf_hardneg.outputs import FILE_FORMATS
from hf_hardneg.retrievers import Retriever
from hf_hardneg.stages import UNDERFILLED

SNAPSHOTS = Path(__file__).parent / "snapshots"
# Waits in the middle of the work, so that a test can interrupt it there.
SLOW_MINE = """
import signal, sys, time
from hf_hardneg.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from hf_hardneg.retrievers import Retriever
def wait(self, queries):
    print("READY", file=sys.stderr, flush=True)
    time.sleep(60)
Retriever.retrieve = wait
main()
"""


@pytest.fixture
def beir(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


def test_help_is_as_kept() -> None:
    process = spawn("mine", "--help")  # 80 columns
    stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, "")
    assert stdout == (SNAPSHOTS / "mine-help.txt").read_text(encoding="utf-8")


def test_help_names_every_format() -> None:
    words = set(re.findall(r"[\w-]+", succeed("mine", "--help").stdout))
    assert {*OUTPUT_FORMATS, *WRITERS, *FILE_FORMATS, *UNDERFILLED} <= words


def test_commands_are_listed() -> None:
    stdout = succeed("--help").stdout
    words = " ".join(stdout.split())
    assert "mine Mine hard negatives for every query." in words
    assert "estimate Say what mining is expected to take here: time, memory, disk." in words
    assert "demo Mine the docstrings of Python's standard library." in words


def test_version_of_the_module() -> None:
    process = spawn("--version")
    assert process.communicate() == (f"hf-hardneg {hf_hardneg.__version__}\n", "")
    assert process.returncode == 0


def test_no_arguments_show_help() -> None:
    result = invoke()
    assert "Usage: hf-hardneg" in result.output
    assert "mine" in result.output


def test_json_is_one_document_alone_on_stdout(beir: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = spawn("mine", "--queries", beir.folder, "--output", out, "--format", "json")
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert stdout.endswith("}\n")
    assert "Retrieving, bm25: 100%" in stderr  # progress bars
    assert "Traceback" not in stderr
    assert json.loads((out / "hardneg" / "report.json").read_text()) == report
    assert (report["rows_in"], report["slots_chosen"]) == (9, 45)


def test_report_for_people(beir: Collection, tmp_path: Path) -> None:
    out = tmp_path / ("a long name " * 8).strip().replace(" ", "-")
    result = succeed("mine", "--queries", beir.folder, "--output", out)
    lines = result.stdout.splitlines()
    assert lines[0].strip() == "Mined with bm25@100"
    assert f"Written to {out}" in lines  # on one line, to be copied
    assert "Note: 3 of 12 queries have no positive in train.tsv and were left out." in lines
    assert "Note: 1 judgements of score 0 or below are no positives." in lines
    assert any(line.split() == ["│", "rows", "in", "│", "9", "│"] for line in lines)


def test_recipe_says_how_to_make_it_again(beir: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    succeed(
        "mine", "--queries", beir.folder, "--output", out, "--seed", 3, "--num-negatives", 2,
        "--strategy", "bm25+margin+random", "--set", "relative=0.01", "--set", "top_k=20",
    )  # fmt: skip
    recipe = json.loads((out / "hardneg" / "recipe.json").read_text())
    assert recipe["strategy"] == "bm25@20+margin(relative=0.01)+random"
    assert (recipe["seed"], recipe["num_negatives"], recipe["underfilled"]) == (3, 2, None)
    assert recipe["corpus"]["documents"] == len(beir.documents)
    assert recipe["output_format"] == "columns"


def test_seed_changes_only_what_is_sampled(beir: Collection, tmp_path: Path) -> None:
    def ids(name: str, *more: object) -> list[list[str]]:
        succeed("mine", "--queries", beir.folder, "--output", tmp_path / name, *more)
        return list(load_from_disk(str(tmp_path / name))["hard_negative_ids"])

    assert ids("a", "--seed", 1) == ids("b", "--seed", 2)
    assert ids("c", "--strategy", "random", "--seed", 1) == ids(
        "d", "--strategy", "random", "--seed", 1
    )
    assert ids("e", "--strategy", "random", "--seed", 2) != ids(
        "f", "--strategy", "random", "--seed", 1
    )
    sampled = "bm25+random"
    assert ids("g", "--strategy", sampled, "--seed", 2) != ids("h", "--strategy", sampled)


@pytest.mark.parametrize(
    ("setting", "strategy"),
    [
        ("k1=0.9", "bm25@100(k1=0.9)"),
        ("top_k=7", "bm25@7"),
        ("stopwords=None", "bm25@100(stopwords=None)"),
        ("stopwords=['the', 'a']", "bm25@100(stopwords=['the', 'a'])"),
        ("stemmer=german", "bm25@100(stemmer='german')"),
        ("method=bm25+", "bm25@100(method='bm25+')"),
    ],
)
def test_settings_of_every_kind(setting: str, strategy: str, beir: Collection) -> None:
    result = succeed(
        "mine", "--queries", beir.folder, "--dry-run", "--format", "json", "--set", setting
    )
    assert json.loads(result.stdout)["strategy"] == strategy


def test_a_path_may_be_a_setting(beir: Collection, tmp_path: Path) -> None:
    run = tmp_path / "results.run"
    lines = [
        f"{query} Q0 d{30 + rank} {rank} {9 - rank} x\n"
        for query in beir.train
        for rank in range(6)
    ]
    run.write_text("".join(lines))
    out = tmp_path / "out"
    succeed(
        "mine", "--queries", beir.folder, "--output", out, "--strategy", "run",
        "--set", f"run={run}",
    )  # fmt: skip
    found = load_from_disk(str(out))["hard_negative_ids"]
    assert all(names == [f"d{30 + rank}" for rank in range(5)] for names in found)


def test_two_processes_write_the_same_bytes(beir: Collection, tmp_path: Path) -> None:
    results = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        succeed(
            "mine", "--queries", beir.folder, "--output", out, "--num-proc", workers,
            "--cache-dir", tmp_path / f"cache{workers}", "--strategy", "bm25+random",
            "--file-format", "parquet",
        )  # fmt: skip
        results.append((out / "train.parquet").read_bytes())
    assert results[0] == results[1]


@pytest.mark.parametrize(("file_format", "columns"), [("parquet", 9), ("jsonl", 9)])
def test_load_dataset_opens_the_folder(
    file_format: str, columns: int, beir: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    succeed("mine", "--queries", beir.folder, "--output", out, "--file-format", file_format)
    data = load_dataset(str(out), cache_dir=str(tmp_path / "opened"))
    assert {name: (len(part), len(part.column_names)) for name, part in data.items()} == {
        "train": (9, columns)
    }


def test_cache_folder_is_the_one_asked_for(beir: Collection, cache: Path, tmp_path: Path) -> None:
    own = tmp_path / "own cache"
    succeed("mine", "--queries", beir.folder, "--output", tmp_path / "out", "--cache-dir", own)
    assert {"corpora", "maps"} <= {path.name for path in own.iterdir()}
    assert snapshot(cache) == {}


def test_dry_run_writes_nothing(beir: Collection, tmp_path: Path) -> None:
    before, out = snapshot(tmp_path), tmp_path / "out"
    result = succeed(
        "mine", "--queries", beir.folder, "--output", out, "--dry-run",
        "--strategy", "bm25@10+margin(relative=0.2)",
    )  # fmt: skip
    assert snapshot(tmp_path) == before
    assert not out.exists()
    assert "Score histogram, share of each" in result.stdout
    assert "█" in result.stdout
    assert result.stdout.splitlines()[-1] == "Dry run: nothing was written."
    report = json.loads(
        succeed(
            "mine", "--queries", beir.folder, "--dry-run", "--format", "json",
            "--strategy", "bm25@10+margin(relative=0.2)",
        ).stdout
    )  # fmt: skip
    margin = report["stages"].index(next(s for s in report["stages"] if s["stage"] == "margin"))
    reached = report["slots_retrieved"] - sum(s["dropped"] for s in report["stages"][:margin])
    dropped = report["stages"][margin]["dropped"]
    assert 0 < dropped < reached
    row = f"│ margin │ {reached} │ {dropped} │ {dropped / reached:.1%} │"
    assert row in [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_dry_run_takes_a_sample_spread_over_the_data(
    beir: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "DRY_RUN_ROWS", 3)
    asked: list[str] = []
    retrieve = Retriever.retrieve

    def note(self: Retriever, queries: Queries) -> Candidates:
        asked.extend(queries.ids)
        return retrieve(self, queries)

    monkeypatch.setattr(Retriever, "retrieve", note)
    result = succeed("mine", "--queries", beir.folder, "--dry-run")
    assert asked == ["q0", "q3", "q6"]
    assert "Note: a sample of 3 of 9 rows." in result.stdout


@pytest.mark.parametrize(("resume", "calls"), [([], 5), (["--resume"], 3)])
def test_resume_goes_on_from_the_finished_parts(
    resume: list[str], calls: int, beir: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    succeed("mine", "--queries", beir.folder, "--output", whole, "--cache-dir", tmp_path / "other")
    assert isinstance(map_steps.__kwdefaults__, dict)
    monkeypatch.setitem(map_steps.__kwdefaults__, "part_rows", 2)
    retrieve, asked = Retriever.retrieve, 0

    def third_time_interrupted(self: Retriever, queries: Queries) -> Candidates:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt
        return retrieve(self, queries)

    monkeypatch.setattr(Retriever, "retrieve", third_time_interrupted)
    result = invoke("mine", "--queries", beir.folder, "--output", out)
    assert result.exit_code == 130
    assert (result.stdout, out.exists()) == ("", False)
    assert "the same command with --resume" in result.stderr
    asked = 3
    succeed("mine", "--queries", beir.folder, "--output", out, *resume)
    assert asked - 3 == calls
    assert load_from_disk(str(out)).to_list() == load_from_disk(str(whole)).to_list()


@pytest.mark.parametrize(("display", "workers"), [("human", 1), ("json", 2)])
def test_control_c_ends_with_130_and_leaves_nothing(
    display: str, workers: int, beir: Collection, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    command: list[Any] = [
        "mine", "--queries", beir.folder, "--output", folder / "out", "--format", display,
        "--num-proc", workers,
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_MINE, *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    seen = ""
    while seen.count("READY") < workers:
        seen += process.stderr.read(1)
        assert process.poll() is None, seen
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers also
    stdout, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert (
        stderr.rstrip().splitlines()[-1].startswith("interrupted; the same command with --resume")
    )
    assert "Traceback" not in stderr
    assert not folder.exists()


# -- what it will take -----------------------------------------------------------------------


def test_estimate(beir: Collection) -> None:
    found = json.loads(succeed("estimate", "--queries", beir.folder, "--format", "json").stdout)
    assert [phase["name"] for phase in found["phases"]] == [
        "bm25: index", "bm25: search", "choose and write"
    ]  # fmt: skip
    assert (found["rows"], found["documents"]) == (9, 40)
    assert found["seconds"] == pytest.approx(sum(phase["seconds"] for phase in found["phases"]))
    shown = succeed("estimate", "--queries", beir.folder).stdout
    assert "bm25: search" in shown
    assert "Memory: about" in shown


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("model"))


def test_mine_refuses_what_takes_too_long(
    beir: Collection, tmp_path: Path, cross_encoder: Path
) -> None:
    output = tmp_path / "out"
    asked = [
        "mine", "--queries", beir.folder, "--strategy", "denoised", "--set",
        f"model={cross_encoder}", "--output", output, "--max-hours", "0",
    ]  # fmt: skip
    message = fail(*asked)
    assert "not begun, because it would take about" in message
    assert "denoised: cross-encode" in message
    assert "--yes" in message
    assert not output.exists()
    succeed(*asked, "--yes")
    assert output.exists()


def test_small_work_without_a_model_is_begun_at_once(beir: Collection, tmp_path: Path) -> None:
    succeed("mine", "--queries", beir.folder, "--output", tmp_path / "out", "--max-hours", "0")
