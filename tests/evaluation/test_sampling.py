"""Pairs to be labelled: what is drawn, with which weights, and that the weights are right."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, concatenate_datasets
from hypothesis import given
from hypothesis import strategies as st
from small_collection import fail, read_lines, succeed, write_collection

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.errors import FormatError, ParameterError, PoolError, QueryError
from hf_hardneg.evaluation import pool_frame
from hf_hardneg.evaluation.ranks import BANDS, BINS
from hf_hardneg.evaluation.sampling import LabelSample, draw_pairs, frame_of
from hf_hardneg.evaluation.strata import Bottom, Drawn, in_equal_parts, strata_of, stratum_names
from hf_hardneg.mined_set import MinedSet

FIELDS = [
    "query_id", "query", "document_id", "document", "label", "annotator", "note", "rank", "score",
    "source", "stratum", "weight", "depth", "control",
]  # fmt: skip


def mined_rows(queries: int, seed: int = 0) -> Dataset:
    """Return a mined set with ranks to 150, where every query has a row of its own."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {name: [] for name in ("query_id", "query", "positive",
        "hard_negatives", "hard_negative_ids", "hard_negative_ranks")}  # fmt: skip
    for number in range(queries):
        ranks = np.sort(rng.choice(np.arange(1, 151), int(rng.integers(2, 12)), replace=False))
        rows["query_id"].append(f"q{number}")
        rows["query"].append(f"query {number}")
        rows["positive"].append(f"positive {number}")
        rows["hard_negatives"].append([f"text {number} {rank}" for rank in ranks])
        rows["hard_negative_ids"].append([f"d{number}-{rank}" for rank in ranks])
        rows["hard_negative_ranks"].append(ranks.tolist())
    return Dataset.from_dict(rows)


def draw(rows: Dataset, corpus: Corpus | None = None, **options: Any) -> LabelSample:
    return draw_pairs(frame_of(rows, corpus), **options)


def test_each_line_says_how_deep_it_could_have_been_drawn() -> None:
    rows = mined_rows(30)
    deepest = max(max(ranks) for ranks in rows["hard_negative_ranks"])
    found = draw(rows, size=20)
    assert {line["depth"] for line in found.lines} == {deepest}
    assert found.to_dict()["depth"] == deepest
    assert {line["depth"] for line in draw(rows.select(range(29, -1, -1)), size=20).lines} == {
        deepest
    }
    places = draw(rows.remove_columns("hard_negative_ranks"), size=20)  # no ranks of a retriever
    assert {line["depth"] for line in places.lines} == {None}
    assert {line["rank"] for line in places.lines if not line["control"]} <= set(range(1, 13))


# -- parts ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 200))
def test_as_many_of_each_stratum_as_there_can_be(sizes: list[int], total: int) -> None:
    drawn = in_equal_parts(sizes, total)
    assert sum(drawn) == min(total, sum(sizes))
    assert all(0 <= own <= size for own, size in zip(drawn, sizes, strict=True))
    short = [own for own, size in zip(drawn, sizes, strict=True) if own < size]
    if short:  # who is not drawn whole has as many as anybody, give or take the remainder
        assert max(short) - min(short) <= 1
        assert max(drawn) <= max(short) + 1 or max(drawn) <= min(short) + 1


def test_bands_of_ranks() -> None:
    ranks = np.array([0, 1, 5, 6, 10, 11, 20, 21, 50, 51, 100, 101, 9999])
    names = stratum_names("rank")
    assert [names[place] for place in strata_of(ranks, "rank")] == [
        "no rank", "1-5", "1-5", "6-10", "6-10", "11-20", "11-20", "21-50", "21-50", "51-100",
        "51-100", "above 100", "above 100",
    ]  # fmt: skip
    assert set(strata_of(ranks, "none")) == {0}


def test_bands_are_made_of_whole_bins() -> None:
    """So that a rate of labels can be laid beside one by judgements."""
    ranks = np.arange(0, 300)
    pairs = set(zip(BINS.of(ranks).tolist(), BANDS.of(ranks).tolist(), strict=True))
    assert len(pairs) == len(BINS.names) == len(BINS)
    assert BINS.names == ("no rank", "1", "2", "3", "4-5", "6-10", "11-20", "21-50", "51-100",
                          "above 100")  # fmt: skip


@given(st.lists(st.integers(0, 2**63), unique=True, max_size=40), st.integers(1, 7))
def test_the_lowest_are_kept_however_they_come(noise: list[int], most: int) -> None:
    kept = Bottom(most)
    for start in range(0, len(noise), 3):
        part = np.array(noise[start : start + 3], dtype=np.uint64)
        rows = np.arange(start, start + len(part))
        kept.add(Drawn(part, part, rows, rows))
    assert kept.size == len(noise)
    assert kept.lowest(most).noise.tolist() == sorted(noise)[:most]


# -- the sample ----------------------------------------------------------------------------------


@pytest.mark.parametrize("queries", [None, 12])
def test_weighted_sums_are_unbiased(queries: int | None) -> None:
    """The mean over seeds of the weighted sum is the sum over all pairs, within chance."""
    rows = mined_rows(40)
    # Relevant with a share that falls with the rank; any function of the pair would do.
    truth = {
        name: float(rank < 20 and hash(rank) % 3 == 0)
        for names, ranks in zip(rows["hard_negative_ids"], rows["hard_negative_ranks"], strict=True)
        for name, rank in zip(names, ranks, strict=True)
    }
    sums, counts = [], []
    frame = frame_of(rows)
    for seed in range(200):
        lines = draw_pairs(frame, size=40, controls=0.1, queries=queries, seed=seed).lines
        drawn = [line for line in lines if not line["control"]]
        sums.append(sum(line["weight"] * truth[line["document_id"]] for line in drawn))
        counts.append(sum(line["weight"] for line in drawn))
    whole = sum(truth.values())
    error = np.std(sums) / np.sqrt(len(sums))
    assert 0 < error < whole / 5  # the test would see a wrong weight
    assert abs(np.mean(sums) - whole) < 4 * error
    if queries is None:
        assert counts == pytest.approx([len(truth)] * len(counts))
    else:
        assert abs(np.mean(counts) - len(truth)) < 4 * np.std(counts) / np.sqrt(len(counts))


def test_every_pair_is_drawn_as_often_as_its_weight_says() -> None:
    rows = mined_rows(15)
    frame, seen, weights = frame_of(rows), Counter(), {}
    for seed in range(250):
        for line in draw_pairs(frame, size=30, controls=0, seed=seed).lines:
            seen[line["document_id"]] += 1
            weights[line["document_id"]] = line["weight"]
    assert len(seen) == sum(map(len, rows["hard_negative_ids"]))
    for name, weight in weights.items():
        share = 1 / weight
        spread = np.sqrt(share * (1 - share) / 250)
        assert abs(seen[name] / 250 - share) <= 4.5 * spread + 1e-9, name


def test_the_file_and_its_counts() -> None:
    rows = mined_rows(30)
    found = draw(rows, size=50, controls=0.2, seed=3)
    assert len(found.lines) == 50
    assert all(list(line) == FIELDS for line in found.lines)
    assert sum(line["control"] for line in found.lines) == 10 == found.controls[1]
    positives = set(rows["positive"])
    for line in found.lines:
        assert (line["document"] in positives) == line["control"]
        assert line["label"] is None
        assert line["query_id"] == f"q{line['query'].split()[1]}"
        if not line["control"]:
            assert line["document"] == f"text {line['query'].split()[1]} {line['rank']}"
            assert line["document_id"] == f"d{line['query'].split()[1]}-{line['rank']}"
            size, number = found.strata[line["stratum"]]
            assert line["weight"] == size / number
    drawn = Counter(line["stratum"] for line in found.lines if not line["control"])
    assert drawn == {name: own for name, (_, own) in found.strata.items() if own}
    # The lines of a query stand together, and controls are not told by their place.
    order = [line["query_id"] for line in found.lines]
    assert sum(one != two for one, two in pairwise(order)) == len(set(order)) - 1
    places = [place for place, line in enumerate(found.lines) if line["control"]]
    assert places != list(range(10))
    assert places != list(range(40, 50))
    json.dumps(found.lines, allow_nan=False)
    assert json.loads(found.to_json())["lines"] == 50


def test_the_order_of_the_rows_decides_nothing() -> None:
    rows = mined_rows(40)
    one, other = draw(rows, size=60, seed=5), draw(rows.shuffle(seed=1), size=60, seed=5)
    assert one.lines == other.lines
    assert draw(rows, size=60, seed=6).lines != one.lines


@pytest.mark.parametrize("batch", [1, 3])
def test_the_size_of_batches_decides_nothing(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    rows = Dataset.from_dict(  # queries stand in several rows, which are in different batches
        {
            "query": [f"query {n % 7}" for n in range(20)],
            "positive": [f"text {n % 5}" for n in range(20)],
            "negatives": [[f"text {m}" for m in rng.integers(12, size=4)] for _ in range(20)],
        }
    )
    collection = write_collection(tmp_path / "beir")
    corpus = Corpus(collection.folder)
    queries = concatenate_datasets([collection.rows(), collection.rows()])
    pool = OfflineMiner("bm25", corpus=corpus, top_k=10).retrieve(queries)
    options = {"size": 30, "controls": 0.3, "seed": 4}
    wanted, wanted_of_pool = draw(rows, **options), draw(pool, corpus, **options)
    plain = MinedSet.batches
    monkeypatch.setattr(MinedSet, "batches", lambda own: plain(own, batch))
    monkeypatch.setattr(pool_frame, "BATCH", batch)
    assert draw(rows, **options) == wanted
    assert draw(pool, corpus, **options) == wanted_of_pool
    known = {(own["query"], own["positive"]) for own in rows}
    pairs = {(own["query"], text) for own in rows for text in own["negatives"]} - known
    assert sum(size for size, _ in wanted.strata.values()) == len(pairs)
    assert wanted.controls[0] == len(known)


def test_fewer_pairs_than_asked_are_said() -> None:
    rows = mined_rows(3)
    pairs = sum(map(len, rows["hard_negatives"]))
    found = draw(rows, size=1000, controls=0.1)
    assert len(found.lines) == pairs + 3
    assert {line["weight"] for line in found.lines} == {1.0}
    text = " ".join(found.notes)
    assert f"there are {pairs}: all are in the sample" in text
    assert "100 known positives were asked for, and there are 3" in text


def test_strata_that_are_not_drawn_from_are_said() -> None:
    ranks = list(range(1, 31))
    rows = Dataset.from_dict(
        {"query": ["q"], "positive": ["p"], "negatives": [[f"n {rank}" for rank in ranks]],
         "hard_negative_ranks": [ranks]}
    )  # fmt: skip
    few = draw(rows, size=2, controls=0)
    assert [drawn for size, drawn in few.strata.values() if size] == [1, 1, 0, 0]
    assert "nothing is drawn of the ranks 11-20, 21-50" in " ".join(few.notes)
    assert "nothing is drawn" not in " ".join(draw(rows, size=4, controls=0).notes)


def test_known_positives_of_other_rows_and_copies_are_left_out() -> None:
    rows = Dataset.from_dict(
        {
            "query": ["Some  query", "other", "some query"],
            "positive": [["P one", "p  TWO"], ["x"], ["p three"]],
            "negatives": [["p THREE", "n 1", "N  1"], ["p three", "n 1"], ["p two", "n 1", "n 2"]],
        }
    )
    found = draw(rows, size=100, controls=0.5)
    pairs = {(line["query"].lower().split()[0], line["document"].lower()) for line in found.lines
             if not line["control"]}  # fmt: skip
    assert pairs == {("some", "n 1"), ("some", "n 2"), ("other", "p three"), ("other", "n 1")}
    assert found.known_positives == 2
    assert found.controls == (4, 4)
    assert found.queries == 2
    assert "no ranks" in " ".join(found.notes)


def test_titles_in_the_corpus_do_not_hide_a_positive() -> None:
    corpus = Corpus([{"id": "d1", "title": "T", "text": "one"}, {"id": "d2", "text": "two"}])
    rows = Dataset.from_dict(
        {"query": ["q"], "positive": [["one"]], "positive_ids": [["d1"]],
         "hard_negative_ids": [["d1", "d2"]]}
    )  # fmt: skip
    found = draw(rows, corpus, size=5, controls=0)
    assert [line["document_id"] for line in found.lines] == ["d2"]


def test_a_few_queries_alone() -> None:
    rows = mined_rows(50)
    found = draw(rows, size=30, queries=4, seed=2)
    assert len({line["query"] for line in found.lines}) <= 4
    assert (found.queries, found.queries_drawn) == (50, 4)
    whole = sum(size for size, _ in found.strata.values())
    total = sum(line["weight"] for line in found.lines if not line["control"])
    assert total == pytest.approx(whole * 50 / 4)
    assert draw(rows, size=30, queries=500, seed=2).lines == draw(rows, size=30, seed=2).lines


# -- pools, files, the command line --------------------------------------------------------------


def test_a_pool_is_as_its_own_lists_say(tmp_path: Path) -> None:
    collection = write_collection(tmp_path / "beir")
    corpus = Corpus(collection.folder)
    pool = OfflineMiner("bm25", corpus=corpus, top_k=20).retrieve(collection.rows())
    found = draw(pool, corpus, size=10_000, controls=0.5)
    lines = [line for line in found.lines if not line["control"]]
    wanted = {
        (query, corpus.ids([row])[0]): rank
        for query, rows, ranks in zip(
            pool["query_id"], pool["candidate_rows"], pool["candidate_ranks"], strict=True
        )
        for row, rank in zip(rows, ranks, strict=True)
        if corpus.ids([row])[0] not in collection.train[query]
    }
    assert {(line["query_id"], line["document_id"]): line["rank"] for line in lines} == wanted
    for line in found.lines:
        assert line["query"] == collection.queries[line["query_id"]]
        assert line["document"] == collection.documents[line["document_id"]]
        if line["control"]:
            assert line["document_id"] in collection.train[line["query_id"]]
        else:
            assert line["source"] == "bm25"
            assert line["score"] > 0
    with pytest.raises(PoolError, match="--corpus"):
        draw(pool)
    with pytest.raises(PoolError, match="fingerprint"):
        draw(pool, Corpus({"a": "b"}))


def test_the_command(tmp_path: Path) -> None:
    collection = write_collection(tmp_path / "beir")
    corpus = Corpus(collection.folder)
    pool = OfflineMiner("bm25", corpus=corpus, top_k=20).retrieve(collection.rows())
    pool.save_to_disk(tmp_path / "pool")
    file = tmp_path / "new" / "labels.jsonl"
    command = ("sample", tmp_path / "pool", "--corpus", collection.folder, "--size", "20")
    result = succeed(*command, "--output", file, "--format", "json")
    told = json.loads(result.stdout)
    lines = read_lines(file)
    assert len(lines) == told["lines"] == 20
    assert [path.name for path in file.parent.iterdir()] == ["labels.jsonl"]
    assert lines == draw(pool, corpus, size=20).lines
    assert "exists and would be lost" in fail(*command, "--output", file)
    lines[0]["label"] = "false_negative"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "holds 1 labels" in fail(*command, "--output", file)
    assert "labels.jsonl" in succeed(*command, "--output", file, "--overwrite").stdout
    assert read_lines(file)[0]["label"] is None
    assert "give the corpus" in fail("sample", tmp_path / "pool", "--output", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_files_of_other_trainers(tmp_path: Path) -> None:
    """The same pairs, whatever format they are in."""
    rows = mined_rows(6)
    texts = {"query": rows["query"], "pos": [[own] for own in rows["positive"]],
             "neg": rows["hard_negatives"]}  # fmt: skip
    by_column = Dataset.from_dict({"q": rows["query"], "p": rows["positive"],
                                   "n": rows["hard_negatives"]})  # fmt: skip
    triplets = [
        {"anchor": row["query"], "positive": row["positive"], "negative": text}
        for row in rows
        for text in row["hard_negatives"]
    ]
    files = {"flag": Dataset.from_dict(texts), "columns": by_column,
             "triplets": Dataset.from_list(triplets)}  # fmt: skip
    names = ("--query-column", "q", "--positive-column", "p", "--negatives-column", "n")
    wanted = {(line["query"], line["document"]) for line in draw(rows, size=500).lines}
    for name, data in files.items():
        data.to_json(str(path := tmp_path / f"{name}.jsonl"))
        out = tmp_path / name
        more = names if name == "columns" else ()
        succeed("sample", path, "--size", 500, "--output", out, *more)
        assert {(line["query"], line["document"]) for line in read_lines(out)} == wanted


def test_a_run_has_no_texts_of_its_own(tmp_path: Path) -> None:
    collection = write_collection(tmp_path / "beir")
    run = tmp_path / "a.run"
    run.write_text("q0 Q0 d1 1 2.0 x\nq0 Q0 d0 2 1.5 x\nq0 Q0 d3 3 1.0 x\n")
    command = ("sample", run, "--qrels", collection.folder / "qrels" / "train.tsv", "--corpus",
               collection.folder, "--output", tmp_path / "labels.jsonl")  # fmt: skip
    assert "--query-texts" in fail(*command)
    succeed(*command, "--query-texts", collection.folder / "queries.jsonl", "--controls", "0.2")
    lines = read_lines(tmp_path / "labels.jsonl")
    assert {line["document_id"] for line in lines if not line["control"]} == {"d1", "d3"}
    asked = {line["query"] for line in lines if not line["control"]}
    assert asked == {collection.queries["q0"]}
    assert any(line["control"] for line in lines)


def test_a_pool_brings_its_own_queries(tmp_path: Path) -> None:
    collection = write_collection(tmp_path / "beir")
    corpus = Corpus(collection.folder)
    pool = OfflineMiner("bm25", corpus=corpus, top_k=20).retrieve(collection.rows())
    with pytest.raises(PoolError, match="has its queries"):
        frame_of(pool, corpus, qrels="x.tsv")


def test_what_cannot_be_drawn_is_refused() -> None:
    rows = mined_rows(3)
    for options in ({"size": 0}, {"controls": 2}, {"by": "score"}, {"queries": 0}, {"seed": -1}):
        with pytest.raises(ParameterError, match="expected"):
            draw(rows, **options)
    ids = Dataset.from_dict({"query": ["a"], "hard_negative_ids": [["d2"]]})
    with pytest.raises(FormatError, match="--corpus"):
        draw(ids)
    only = Dataset.from_dict({"query": ["a"], "positive": ["p"], "negatives": [["P"]]})
    with pytest.raises(QueryError, match="no pair"):
        draw(only)
    wrong = rows.remove_columns("hard_negative_ranks").add_column(
        "hard_negative_ranks", [[1], [2], [3]]
    )
    with pytest.raises(FormatError, match="another number of negative ranks"):
        draw(wrong)
