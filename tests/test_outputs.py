"""Writing a mined set: whole or not at all, whoever is killed and whatever is full."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, load_dataset, load_from_disk
from small_collection import read_lines, snapshot

from hf_hardneg import OfflineMiner
from hf_hardneg.columns import QueryColumns
from hf_hardneg.errors import ColumnError, FormatError, HardNegError, OutputError
from hf_hardneg.outputs import check_output, mined_rows, output_folder, write_mined

DOCUMENTS = {f"d{n}": f"{word} {word} text number {n}" for n, word in enumerate("abcdefgh")}
SCORE = np.float32(0.1)

# For each moment one process that kills itself there: before the n-th call that changes folders.
KILLED = """
import os, signal, sys
from datasets import load_from_disk
from hf_hardneg.corpus import Corpus
from hf_hardneg.outputs import write_mined
mined, corpus = load_from_disk(sys.argv[1]), Corpus({"d0": "x", "d1": "y"})
def deadly(function):
    def call(*values, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*values, **named)
    return call
for left in range(100):
    child = os.fork()
    if child == 0:
        for name in ("rename", "unlink", "rmdir", "mkdir"):
            setattr(os, name, deadly(getattr(os, name)))
        folder = os.path.join(sys.argv[2], str(left), "out")
        write_mined(mined, folder, "jsonl", corpus=corpus, overwrite=True)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, flush=True)
    if status != -signal.SIGKILL:
        break
"""

FULL = """
import resource, sys
from datasets import load_from_disk
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import OutputError
from hf_hardneg.outputs import write_mined
mined = load_from_disk(sys.argv[1])
corpus = Corpus({"d0": "x", "d1": mined[0]["hard_negatives"][0]})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_mined(mined, sys.argv[2], sys.argv[3], corpus=corpus, overwrite=True)
except OutputError as error:
    print(error)
"""


def mined_set(rows: int = 2, text: str = "text") -> Dataset:
    """A mined set as the miner returns it, made by hand."""
    return Dataset.from_dict(
        {
            "query_id": [f"q{n}" for n in range(rows)],
            "query": [f"query {n}" for n in range(rows)],
            "positive_ids": [["d0"]] * rows,
            "hard_negatives": [[text]] * rows,
            "hard_negative_ids": [["d1"]] * rows,
            "hard_negative_scores": [[0.5]] * rows,
            "hard_negative_positive_scores": [[1.5]] * rows,
        }
    )


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def names_in(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir())


def test_killed_at_every_moment_the_result_is_the_old_or_the_new(tmp_path: Path) -> None:
    mined_set().save_to_disk(str(tmp_path / "mined"))
    write_mined(mined_set(), tmp_path / "expected", "jsonl", corpus={"d0": "x", "d1": "y"})
    new, old = snapshot(tmp_path / "expected"), {"old.txt": b"old", "sub/old.txt": b"old"}
    for moment in range(100):
        folder = tmp_path / "results" / str(moment) / "out"
        (folder / "sub").mkdir(parents=True)
        for name, content in old.items():
            (folder / name).write_bytes(content)
    done = run(KILLED, tmp_path / "mined", tmp_path / "results")
    statuses = [int(line) for line in done.stdout.split()]
    assert statuses == [-signal.SIGKILL] * (len(statuses) - 1) + [0], done.stderr
    seen: list[str] = []
    for moment in range(len(statuses)):
        final = tmp_path / "results" / str(moment) / "out"
        found = snapshot(final)
        assert found in (old, new, {})
        # A gap between two renames is allowed: whoever comes next closes it.
        seen.append("old" if found == old else "new" if found else "gap")
        with pytest.raises(OutputError, match="is not empty"):
            check_output(final)
        assert snapshot(final) == (new if found == new else old)
        write_mined(mined_set(), final, "jsonl", corpus={"d0": "x", "d1": "y"}, overwrite=True)
        assert snapshot(final.parent) == {f"out/{name}": data for name, data in new.items()}
    assert list(dict.fromkeys(seen)) == ["old", "gap", "new"]
    assert seen == sorted(seen, key=["old", "gap", "new"].index)


@pytest.mark.parametrize("form", ["arrow", "parquet", "jsonl", "flagembedding", "beir"])
def test_full_disk_leaves_the_old_result(form: str, tmp_path: Path) -> None:
    letters = np.random.default_rng(0).integers(97, 123, 200_000, dtype=np.uint8).tobytes()
    mined_set(text=letters.decode()).save_to_disk(str(tmp_path / "mined"))
    final = tmp_path / "results" / "out"
    final.mkdir(parents=True)
    (final / "old.txt").write_text("old")
    done = run(FULL, tmp_path / "mined", final, form)
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert snapshot(final.parent) == {"out/old.txt": b"old"}
    assert names_in(final.parent) == ["out"]


def test_overwrite_replaces_the_whole_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_mined(mined_set(3), out)
    with pytest.raises(OutputError, match="is not empty"):
        write_mined(mined_set(2), out)
    assert len(load_from_disk(str(out))) == 3
    (out / "left over.txt").write_text("of another format")
    written = write_mined(mined_set(2), out, "parquet", overwrite=True)
    assert [path.name for path in written.files] == ["train.parquet"]
    assert set(snapshot(out)) == {"train.parquet"}
    assert all(path.is_file() and path.is_relative_to(out) for path in written.files)


def test_an_error_in_the_block_leaves_the_old_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_mined(mined_set(), out)
    before = snapshot(out)

    def half() -> None:
        with output_folder(out, overwrite=True) as staging:
            (staging / "half.txt").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with pytest.raises(FormatError, match="Did you mean 'arrow'"):
        write_mined(mined_set(), out, "arow", overwrite=True)
    assert snapshot(out) == before
    assert names_in(tmp_path) == ["out"]


def test_an_empty_folder_and_a_missing_parent_are_good(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "new" / "deep" / "out"):
        write_mined(mined_set(), out)
        assert len(load_from_disk(str(out))) == 2


def test_a_folder_behind_a_link_is_replaced_twice(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real", target_is_directory=True)
    for rows in (2, 3):
        write_mined(mined_set(rows), link, overwrite=True)
        assert link.is_symlink()
        assert len(load_from_disk(str(tmp_path / "real"))) == rows
    assert names_in(tmp_path) == ["link", "real"]


def test_what_a_live_run_is_writing_is_not_swept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output_folder(out, overwrite=True) as staging:
        (staging / "file.txt").write_text("slow")
        write_mined(mined_set(), out, overwrite=True)
        assert (staging / "file.txt").read_text() == "slow"
    assert snapshot(out) == {"file.txt": b"slow"}  # the last to finish
    assert names_in(tmp_path) == ["out"]


def test_the_old_result_is_put_back_when_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_mined(mined_set(), out)
    before, rename = snapshot(out), os.rename

    def refuse(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with pytest.raises(OutputError, match="Permission denied"):
            write_mined(mined_set(3), out, overwrite=True)
    assert snapshot(out) == before
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_the_usual_ones(mask: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = os.umask(mask)
    try:
        write_mined(mined_set(), out, sidecars=lambda written: {"note.txt": "x"})
    finally:
        os.umask(before)
    for path in (out, *out.rglob("*")):
        usual = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == usual & ~mask, path


@pytest.mark.parametrize("form", ["arrow", "parquet", "jsonl"])
def test_a_data_set_is_written_with_all_its_columns(form: str, tmp_path: Path) -> None:
    rows = {"query": ["a text"], "positive_id": ["d0"], "topic": ["mail"]}
    miner = OfflineMiner("bm25", corpus=DOCUMENTS, num_negatives=2, underfilled="fill")
    mined = miner.mine(Dataset.from_dict(rows))
    assert {"topic", "hard_negative_filled"} <= set(mined.column_names)
    write_mined(mined, tmp_path / "out", form, corpus=DOCUMENTS)
    if form == "arrow":
        again = load_from_disk(str(tmp_path / "out"))
    else:
        kind = {"parquet": "parquet", "jsonl": "json"}[form]
        files = str(tmp_path / "out" / f"train.{form}")
        again = load_dataset(kind, data_files=files, split="train", cache_dir=str(tmp_path))
    assert again.cast(mined.features).to_dict() == mined.to_dict()


@pytest.mark.parametrize("form", ["beir", "trec", "tevatron-ids"])
def test_rows_of_one_query_need_not_be_adjacent(form: str, tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {
        "qid": ["x", "y", "x"],
        "query": ["a text", "b text", "a text"],
        "positive_id": ["d0", "d1", "d2"],
    }
    miner = OfflineMiner("bm25", corpus=DOCUMENTS, num_negatives=2)
    mined = miner.mine(Dataset.from_dict(rows))
    write_mined(mined, tmp_path / "out", form, corpus=DOCUMENTS)
    if form == "tevatron-ids":
        lines = read_lines(tmp_path / "out" / "train.jsonl")
        pairs = [(line["query_id"], line["positive_document_ids"]) for line in lines]
        assert pairs == [("x", ["d0"]), ("x", ["d2"]), ("y", ["d1"])]
        return
    name, start = ("qrels.txt", 0) if form == "trec" else ("qrels/train.tsv", 1)
    judged = [line.split() for line in (tmp_path / "out" / name).read_text().splitlines()][start:]
    assert [(words[0], words[-2]) for words in judged] == [("x", "d0"), ("x", "d2"), ("y", "d1")]
    name = "hard_negatives.run" if form == "trec" else "hard_negatives.tsv"
    place = 2 if form == "trec" else 1
    listed = [line.split() for line in (tmp_path / "out" / name).read_text().splitlines()][start:]
    chosen = {"x": dict.fromkeys([*mined[0]["hard_negative_ids"], *mined[2]["hard_negative_ids"]])}
    assert [words[place] for words in listed if words[0] == "x"] == list(chosen["x"])


def test_scores_are_written_short(tmp_path: Path) -> None:
    data = mined_set().map(
        lambda row: {"hard_negative_scores": [0.1], "hard_negative_positive_scores": [1e-07]}
    )
    for column in ("hard_negative_scores", "hard_negative_positive_scores"):
        data = data.cast_column(column, Dataset.from_dict({"x": [[SCORE]]}).features["x"])
    assert data[0]["hard_negative_scores"] != [0.1]  # in 32 bits there is no 0.1
    write_mined(data, tmp_path / "out", "flagembedding", corpus=DOCUMENTS)
    text = (tmp_path / "out" / "train.jsonl").read_text().splitlines()[0]
    assert '"pos_scores":[1e-07],"neg_scores":[0.1]' in text


def test_rows_need_the_columns_that_mining_adds(tmp_path: Path) -> None:
    bare = mined_set().remove_columns("hard_negative_scores")
    with pytest.raises(ColumnError, match=r"hard_negative_scores.*output_format='columns'"):
        list(mined_rows(bare, OfflineMiner("bm25", corpus=DOCUMENTS).corpus, QueryColumns()))
    triplets = Dataset.from_dict({"anchor": ["a"], "positive": ["b"], "negative": ["c"]})
    for form in ("trec", "flagembedding"):
        with pytest.raises(HardNegError, match="output_format='columns'"):
            write_mined(triplets, tmp_path / "out", form, corpus=DOCUMENTS)
    with pytest.raises(FormatError, match="corpus="):
        write_mined(mined_set(), tmp_path / "out", "beir")
    assert names_in(tmp_path) == []


def test_sidecars_know_what_was_written(tmp_path: Path) -> None:
    written = write_mined(
        mined_set(3), tmp_path / "out",
        sidecars=lambda written: {"report.json": json.dumps({"rows": written.rows_written})},
    )  # fmt: skip
    assert json.loads((tmp_path / "out" / "hardneg" / "report.json").read_text()) == {"rows": 3}
    assert written.rows_written == 3
