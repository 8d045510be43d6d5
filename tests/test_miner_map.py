"""The miner as the function of ``Dataset.map`` and ``IterableDataset.map``."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, IterableDataset, load_from_disk
from datasets.fingerprint import Hasher
from mining import assert_same_rows, table_of, word_documents, word_rows
from tiny_models import save_cross_encoder

from hf_hardneg import BM25Retriever, CrossEncoderDenoiser, OfflineMiner, miner
from hf_hardneg.errors import PositivesWarning, QueryError

DOCUMENTS = word_documents(60)
SCRIPT = """
import sys
from datasets import disable_progress_bars, load_from_disk
from hf_hardneg import OfflineMiner

disable_progress_bars()
rows = load_from_disk(sys.argv[1])
options = dict(eval(sys.argv[2]))
miner = OfflineMiner(options.pop("strategy", "random"), corpus=rows["positive"], **options)
print(miner.fingerprint(), miner.knowing(rows).fingerprint(), rows._fingerprint)
"""


@pytest.fixture
def rows(tmp_path: Path) -> Dataset:
    """Rows on disk, so that ``map`` keeps its result there."""
    word_rows(DOCUMENTS, 25).save_to_disk(tmp_path / "rows")
    return load_from_disk(str(tmp_path / "rows"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that a miner was called with."""
    sizes: list[int] = []
    call = OfflineMiner.__call__

    def counted(self: OfflineMiner, batch):  # noqa: ANN001, ANN202
        sizes.append(len(batch["query"]))
        return call(self, batch)

    monkeypatch.setattr(OfflineMiner, "__call__", counted)
    return sizes


def mining(rows: Any = None, strategy: str = "bm25@30+random", **options: object) -> OfflineMiner:
    options = {"corpus": DOCUMENTS, "num_negatives": 4, **options}
    return OfflineMiner(strategy, positives=rows, **options)


def test_the_second_map_is_a_cache_hit(rows: Dataset, calls: list[int]) -> None:
    first = rows.map(mining(rows), batched=True)
    assert sum(calls) == len(rows)
    used = mining(rows)
    used.mine(rows)  # an open index and a stopwatch must not make it another miner
    second = rows.map(used, batched=True)
    assert sum(calls) == len(rows)
    assert second.cache_files == first.cache_files
    assert second._fingerprint == first._fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"num_negatives": 3},
        {"strategy": "bm25@29+random"},
        {"strategy": "bm25@30+random+rank(range_min=2)"},
        {"underfilled": "fill"},
        {"corpus": {**DOCUMENTS, "d0": "one more text"}},
        {"corpus": dict(reversed(DOCUMENTS.items()))},
        {"query_column": "query", "positive_column": "positive"},
    ],
)
def test_another_recipe_is_no_cache_hit(
    rows: Dataset, calls: list[int], change: dict[str, object]
) -> None:
    rows.map(mining(rows), batched=True)
    rows.map(mining(rows, **change), batched=True)
    assert sum(calls) == 2 * len(rows)


def test_other_known_positives_are_no_cache_hit(rows: Dataset, calls: list[int]) -> None:
    more = Dataset.from_dict({"query": rows["query"][:1], "positive": [DOCUMENTS["d40"]]})
    rows.map(mining(rows), batched=True)
    rows.map(mining([rows, more]), batched=True)
    assert sum(calls) == 2 * len(rows)


def test_another_version_of_the_miner_is_no_cache_hit(
    rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mining(rows).fingerprint()
    monkeypatch.setattr(miner, "VERSION", miner.VERSION + 1)
    assert mining(rows).fingerprint() != before


def test_two_processes_give_the_same_bytes(rows: Dataset) -> None:
    known = mining(rows, "random@30+random")
    one, two = (rows.map(known, batched=True, num_proc=number) for number in (None, 2))
    assert_same_rows(one, two)
    assert_same_rows(known.mine(rows), known.mine(rows, num_proc=2))
    assert one[:] == known.mine(rows)[:]


def test_a_fingerprint_is_the_same_in_every_process(rows: Dataset, tmp_path: Path) -> None:
    options = {"strategy": "bm25+margin(relative=0.1)+random", "underfilled": "fill", "seed": 7}
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "rows"), repr(options)]
    started = [
        subprocess.Popen(
            arguments,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    ends = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], ends
    here = OfflineMiner(corpus=rows["positive"], **options)
    expected = [here.fingerprint(), here.knowing(rows).fingerprint(), rows._fingerprint]
    assert [printed.split() for printed, _ in ends] == [expected, expected]


def test_a_fingerprint_survives_pickling_and_mining(rows: Dataset, tmp_path: Path) -> None:
    model = str(save_cross_encoder(tmp_path / "model"))
    for strategy in ("bm25+random", f"bm25@20+denoised(model={model!r})", "random"):
        known = mining(rows, strategy)
        before = known.fingerprint()
        known.mine(rows)
        rows.map(known, batched=True)
        known.report(known.select(known.retrieve(rows)))
        copied = pickle.loads(pickle.dumps(known))
        assert known.fingerprint() == copied.fingerprint() == Hasher.hash(known) == before
        assert len(pickle.dumps(known)) < 10_000


def test_a_loaded_model_does_not_travel(rows: Dataset, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(save_cross_encoder(tmp_path / "model")), device="cpu")
    retriever = BM25Retriever(mining().corpus, top_k=30)
    for known in (
        OfflineMiner("bm25@30+denoised", corpus=DOCUMENTS, model=model, positives=rows),
        OfflineMiner(retriever, filters=[CrossEncoderDenoiser(model)], positives=rows),
    ):
        before = known.fingerprint()
        assert len(pickle.dumps(known)) < 10_000
        known.mine(rows)
        assert known.fingerprint() == before


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_map_gives_what_mine_gives(rows: Dataset, batch_size: int) -> None:
    mined = rows.map(mining(rows), batched=True, batch_size=batch_size)
    expected = mining().mine(rows)
    assert expected.column_names[:3] == ["query", "positive", "number"]
    assert mined[:] == expected[:]
    assert mined.features == expected.features
    assert_same_rows(mined, mining(rows).mine(rows))


@pytest.mark.parametrize("format_", ["numpy", "arrow", "torch"])
def test_a_map_of_formatted_rows(rows: Dataset, format_: str) -> None:
    mined = rows.with_format(format_).map(mining(rows), batched=True, batch_size=7)
    assert_same_rows(mined.with_format(None), mining().mine(rows))


@pytest.mark.parametrize("format_", [None, "numpy", "arrow", "torch"])
def test_ids_as_whole_numbers_in_every_format(format_: str | None) -> None:
    texts = list(DOCUMENTS.values())
    plain = Dataset.from_dict(
        {"query": [texts[3], texts[9]], "positive_ids": [3, 9], "many": [[3, 4], [9, 8]]}
    )
    for column in ("positive_ids", "many"):
        known = OfflineMiner("bm25", corpus=texts, positive_ids_column=column)
        mined = plain.with_format(format_).map(known.knowing(plain), batched=True)
        assert (
            mined.with_format(None)["hard_negative_ids"] == (known.mine(plain)["hard_negative_ids"])
        )


def test_a_batch_of_another_kind_is_refused(rows: Dataset) -> None:
    with pytest.raises(QueryError, match=r"type DataFrame; expected a dict of lists or an Arrow"):
        rows.with_format("pandas").map(mining(rows), batched=True)
    with pytest.raises(QueryError, match=r"single row; .*batched=True"):
        rows.map(mining(rows))
    with pytest.raises(QueryError, match=r"single row; .*batched=True"):
        list(rows.to_iterable_dataset().map(mining(rows)))


def test_streams_give_the_same_rows(rows: Dataset) -> None:
    expected = mining().mine(rows).to_list()
    stream = rows.to_iterable_dataset()
    for size in (1, 7, 1000):
        assert list(stream.map(mining(rows), batched=True, batch_size=size)) == expected
    generated = IterableDataset.from_generator(lambda: iter(rows.to_list()))
    assert list(generated.map(mining(rows), batched=True)) == expected


def test_splits_are_mapped(rows: Dataset) -> None:
    splits = DatasetDict(train=rows.select(range(20)), test=rows.select(range(20, 25)))
    mined = splits.map(mining(splits), batched=True)
    expected = mining().mine(splits)
    assert all(mined[name][:] == expected[name][:] for name in splits)


def test_columns_of_an_earlier_mining_are_replaced(rows: Dataset) -> None:
    earlier = mining(rows, underfilled="fill", num_negatives=9).mine(rows)
    assert earlier["hard_negative_filled"][0] is not None
    known = mining(rows, num_negatives=2)
    expected = known.mine(rows)
    again = earlier.map(known, batched=True)
    assert_same_rows(again, expected, expected.column_names)
    assert set(again["hard_negative_filled"]) == {None}
    arrow = earlier.with_format("arrow").map(known, batched=True)
    assert_same_rows(arrow.with_format(None), expected)
    assert_same_rows(known.mine(earlier), expected)
    stream = known.mine(earlier.to_iterable_dataset())
    assert list(stream) == expected.to_list()


def test_rows_are_left_out_with_all_their_columns(rows: Dataset) -> None:
    strict = "bm25@30+score(min_score=0.9)"
    known = mining(rows, strict, underfilled="drop")
    expected = known.mine(rows)
    assert 0 < len(expected) < len(rows)
    mined = rows.map(known, batched=True, batch_size=6)
    assert mined[:] == expected[:]
    assert [DOCUMENTS[f"d{number}"] for number in mined["number"]] == mined["positive"][:]
    assert list(rows.to_iterable_dataset().map(known, batched=True)) == expected.to_list()
    nobody = mining(rows, "bm25+score(min_score=1000)", underfilled="drop")
    assert len(rows.map(nobody, batched=True)) == 0


def test_a_miner_that_saw_no_rows_warns_once(rows: Dataset) -> None:
    unbound = mining()
    message = r"has not seen the other rows.*positives=dataset"
    with pytest.warns(PositivesWarning, match=message) as seen:
        rows.map(unbound, batched=True, batch_size=5)
    assert len(seen) == 1


def test_a_miner_that_knows_the_rows_does_not_warn(rows: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows.map(mining(rows), batched=True)
        rows.map(mining().knowing(rows), batched=True)
        mining().mine(rows)


@pytest.mark.parametrize("named", [True, False])
def test_the_positives_of_other_rows_reach_a_batch(rows: Dataset, named: bool) -> None:
    query, sibling = rows["query"][0], mining(rows).mine(rows)["hard_negatives"][0][0]
    more = Dataset.from_dict({"query": [query.upper()], "positive": [sibling], "number": [25]})
    both = Dataset.from_list([*rows.to_list(), *more.to_list()])
    known = mining(both) if named else mining().knowing(both)
    mined = both.map(known, batched=True, batch_size=1)
    assert sibling not in mined["hard_negatives"][0]
    assert table_of(mined) == table_of(known.mine(both))
