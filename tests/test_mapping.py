"""Maps in parts that are kept: results, caching, resuming, errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from datasets import Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import table_of

from hf_hardneg import mapping
from hf_hardneg.errors import OutputError
from hf_hardneg.mapping import BatchStage, Step, map_steps

NUMBERS = Dataset.from_dict({"number": range(10)})
FEATURES = Features({"number": Value("int64"), "label": Value("string")})
CALLS: list[list[int]] = []


@pytest.fixture(autouse=True)
def calls() -> Iterator[list[list[int]]]:
    """The rows of each call of a stage."""
    CALLS.clear()
    yield CALLS
    CALLS.clear()


class Label:
    """Writes a word beside each number; may fail at one."""

    def __init__(self, word: str, fails_at: int | None = None) -> None:
        self.word, self.fails_at = word, fails_at

    def __getstate__(self) -> dict[str, str | None]:
        return {"word": self.word, "fails_at": None}  # the recipe: failing is no part of it

    def __call__(self, table: pa.Table) -> pa.Table:
        numbers = table["number"].to_pylist()
        CALLS.append(numbers)
        if self.fails_at in numbers:
            raise KeyError(self.fails_at)
        labels = [f"{self.word}{number}" for number in numbers]
        return pa.table({"number": table["number"], "label": labels})


class Even:
    """Leaves out the odd numbers."""

    def __call__(self, table: pa.Table) -> pa.Table:
        CALLS.append(table["number"].to_pylist())
        return table.filter(pc.equal(pc.bit_wise_and(table["number"], 1), 0))


class Full:
    """Cannot write."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getstate__(self) -> dict[str, str]:
        return {}

    def __call__(self, table: pa.Table) -> pa.Table:
        raise self.error


def step(stage: BatchStage, batch_size: int = 3, *, wanted: bool = True) -> Step:
    return Step(stage, FEATURES, "Test", batch_size, wanted)


def run(
    home: Path, *steps: Step, rows: Dataset = NUMBERS, part_rows: int | None = None,
    num_proc: int | None = None, resume: bool = True,
) -> list[Dataset]:  # fmt: skip
    return map_steps(rows, steps, home=home, num_proc=num_proc, resume=resume, part_rows=part_rows)


def labels(word: str, numbers: range = range(10)) -> list[str]:
    return [f"{word}{number}" for number in numbers]


def test_a_chain_and_what_is_wanted_of_it(tmp_path: Path) -> None:
    chain = [step(Label("a")), step(Label("b"), wanted=False), step(Even())]
    first, last = run(tmp_path, *chain, part_rows=4)
    assert first["label"] == labels("a")
    assert last["label"] == labels("b")[::2]
    assert first.features == last.features == FEATURES
    assert first.format["type"] is None


@settings(max_examples=25)
@given(st.integers(0, 10), st.integers(1, 12), st.integers(1, 5))
def test_parts_and_batches_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, number: int, part_rows: int, batch_size: int
) -> None:
    rows = NUMBERS.select(range(number))
    home = tmp_path_factory.mktemp("maps")
    chain = [step(Label("a"), batch_size), step(Even(), batch_size)]
    results = run(home, *chain, rows=rows, part_rows=part_rows)
    expected = run(home / "whole", step(Label("a"), 100), step(Even(), 100), rows=rows)
    for found, whole in zip(results, expected, strict=True):
        assert table_of(found) == table_of(whole)
        assert found.features == whole.features
        assert found._fingerprint == whole._fingerprint


def test_processes_do_not_matter(tmp_path: Path) -> None:
    [one] = run(tmp_path, step(Label("a")), part_rows=3)
    [two] = run(tmp_path, step(Label("a")), part_rows=2, num_proc=2)
    assert table_of(one) == table_of(two)
    assert one._fingerprint == two._fingerprint


def test_more_processes_than_rows(tmp_path: Path) -> None:
    [found] = run(tmp_path, step(Label("a")), rows=NUMBERS.select([0]), num_proc=3)
    assert found["label"] == ["a0"]


def test_a_second_run_calls_nothing(tmp_path: Path, calls: list[list[int]]) -> None:
    chain = [step(Label("a")), step(Even())]
    before = run(tmp_path, *chain, part_rows=4)
    made = len(calls)
    for resume in (True, False):
        after = run(tmp_path, *chain, part_rows=4, resume=resume)
        assert len(calls) == made
        assert [table_of(part) for part in after] == [table_of(part) for part in before]
        assert [part._fingerprint for part in after] == [part._fingerprint for part in before]


def test_a_change_anywhere_before_makes_the_rest_anew(
    tmp_path: Path, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*chain: Step, rows: Dataset = NUMBERS) -> int:
        calls.clear()
        run(tmp_path, *chain, rows=rows)
        return len(calls)

    assert changed(step(Label("a"), 10), step(Even(), 10)) == 2
    assert changed(step(Label("a"), 10), step(Label("b"), 10)) == 1
    assert changed(step(Label("c"), 10), step(Even(), 10)) == 2
    rows = NUMBERS.select(range(9))
    assert changed(step(Label("a"), 10), step(Even(), 10), rows=rows) == 2
    monkeypatch.setattr(mapping, "MAPPING_VERSION", mapping.MAPPING_VERSION + 1)
    assert changed(step(Label("a"), 10), step(Even(), 10)) == 2


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, calls: list[list[int]]) -> None:
    with pytest.raises(KeyError):
        run(tmp_path, step(Label("a", fails_at=7)), part_rows=3)
    assert calls == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    calls.clear()
    [found] = run(tmp_path, step(Label("a")), part_rows=3)
    assert calls == [[6, 7, 8], [9]]
    assert found["label"] == labels("a")


def test_an_interrupted_run_is_made_anew_if_asked(tmp_path: Path, calls: list[list[int]]) -> None:
    with pytest.raises(KeyError):
        run(tmp_path, step(Label("a", fails_at=7)), part_rows=3)
    calls.clear()
    [found] = run(tmp_path, step(Label("a")), part_rows=3, resume=False)
    assert calls == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert found["label"] == labels("a")


def test_half_a_part_is_not_used(tmp_path: Path, calls: list[list[int]]) -> None:
    run(tmp_path, step(Label("a")), part_rows=5)
    [folder] = tmp_path.iterdir()
    part = folder / "part-00001.arrow"
    half = part.read_bytes()[:100]
    part.unlink()
    (folder / "tmpabc").write_bytes(half)  # what a kill leaves while a part is written
    (folder / "complete").unlink()
    calls.clear()
    [found] = run(tmp_path, step(Label("a")), part_rows=5)
    assert calls == [[5, 6, 7], [8, 9]]
    assert found["label"] == labels("a")


def test_no_rows_have_the_columns_of_the_step(tmp_path: Path, calls: list[list[int]]) -> None:
    first, last = run(tmp_path, step(Label("a")), step(Even()), rows=NUMBERS.select([]))
    assert calls == []
    assert first.features == last.features == FEATURES
    assert len(first) == len(last) == 0


def test_a_step_may_leave_nothing(tmp_path: Path) -> None:
    odd = Dataset.from_dict({"number": [1, 3, 5]})
    [_, found] = run(tmp_path, step(Label("a")), step(Even()), rows=odd, part_rows=2)
    assert found.features == FEATURES
    assert len(found) == 0


def test_the_size_of_parts_is_read_when_it_is_used(
    tmp_path: Path, calls: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "PART_ROWS", 4)
    run(tmp_path, step(Label("a"), 100))
    assert calls == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_full_disk_is_an_error_of_ours(tmp_path: Path) -> None:
    full = OSError(28, os.strerror(28))
    with pytest.raises(OutputError, match=r"No space left.*free some space.*run again"):
        run(tmp_path, step(Full(full)))


@pytest.mark.parametrize(
    "error", [OutputError("more"), ConnectionError("no network"), TimeoutError("too long"),
              ValueError("another")],
)  # fmt: skip
def test_an_error_that_is_not_about_writing_stays(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        run(tmp_path, step(Full(error)))
    assert caught.value is error


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot write"):
        run(tmp_path / "file", step(Label("a")))


class Wider(Label):
    """Its recipe does not say that it writes a column more, as that of a later version."""

    def __init__(self, word: str, columns: int) -> None:
        super().__init__(word)
        self.columns = columns

    def __call__(self, table: pa.Table) -> pa.Table:
        made = super().__call__(table)
        for number in range(self.columns):
            made = made.append_column(f"more_{number}", pa.array([1] * len(made), pa.int64()))
        return made


def test_results_with_other_columns_are_made_anew(tmp_path: Path) -> None:
    """A later version of the same stage may write a column more; the kept parts lack it."""
    run(tmp_path, step(Wider("a", 0)))
    features = Features({**FEATURES, "more_0": Value("int64")})
    [found] = run(tmp_path, Step(Wider("a", 1), features, "Test", 3))
    assert found.column_names == ["number", "label", "more_0"]
