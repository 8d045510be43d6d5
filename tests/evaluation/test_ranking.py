"""Measures of a ranking: against brute force, against sentence-transformers, and what is said."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hf_hardneg import BM25Retriever, Corpus
from hf_hardneg.beir import read_qrels, read_queries
from hf_hardneg.errors import FormatError, ParameterError, QueryError
from hf_hardneg.evaluation.held_out import load_held_out
from hf_hardneg.evaluation.judgements import Judgements
from hf_hardneg.evaluation.model_ranking import rank_model, rank_retriever
from hf_hardneg.evaluation.ranking import before_and_after, comparisons, grades_of, rank_run

DOCUMENTS = [f"d{number}" for number in range(8)]
MEASURES = ("MRR@3", "RR", "nDCG@3", "nDCG", "R@2", "Recall@5", "P@3", "AP", "Success@1")
RUNS = st.dictionaries(
    st.sampled_from(["q0", "q1", "q2", "unjudged"]),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.sampled_from([-1.5, 0.0, 0.25, 1.0, 7.0])),
)
JUDGEMENTS = st.dictionaries(
    st.sampled_from(["q0", "q1", "q2", "q3"]),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-2, 3)),
)


def brute_force(measure: str, ranked: list[str], grades: dict[str, int]) -> float:
    """Work one measure out from its definition."""
    name, _, cutoff = measure.partition("@")
    k = int(cutoff) if cutoff else len(ranked)
    relevant = {document for document, grade in grades.items() if grade > 0}
    hits = [document in relevant for document in ranked[:k]]
    if name in ("RR", "MRR"):
        return next((1 / place for place, hit in enumerate(hits, start=1) if hit), 0.0)
    if name in ("R", "Recall"):
        return sum(hits) / len(relevant)
    if name == "P":
        return sum(hits) / k
    if name == "Success":
        return float(any(hits))
    if name == "AP":
        found = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
        return sum(found) / len(relevant)
    gains = [max(grades.get(document, 0), 0) for document in ranked]
    ideal = sorted((max(grade, 0) for grade in grades.values()), reverse=True)
    k = int(cutoff) if cutoff else max(len(gains), len(ideal))

    def discounted(values: list[int]) -> float:
        return sum(value / math.log2(place + 2) for place, value in enumerate(values[:k]))

    return discounted(gains) / discounted(ideal)


@given(RUNS, JUDGEMENTS)
def test_every_measure_is_that_of_brute_force(
    run: dict[str, dict[str, float]], judgements: dict[str, dict[str, int]]
) -> None:
    counted = {query: own for query, own in judgements.items() if max(own.values(), default=0) > 0}
    if not counted:
        with pytest.raises(QueryError, match="grade 1 or more"):
            rank_run(run, judgements, measures=MEASURES)
        return
    found = rank_run(run, judgements, measures=MEASURES)
    assert found.query_ids == sorted(counted)
    for measure in MEASURES:
        for query, value in zip(found.query_ids, found.per_query[measure], strict=True):
            own = run.get(query, {})
            # Of equal scores the id that sorts last stands first, whatever the measure.
            ranked = sorted(own, key=lambda name: (own[name], name), reverse=True)
            wanted = brute_force(measure, ranked, counted[query])
            assert value == pytest.approx(wanted, abs=1e-9), (measure, query)
        assert found.means[measure] == pytest.approx(found.per_query[measure].mean())
        ends = found.intervals[measure]
        assert (ends is None) == (np.ptp(found.per_query[measure]) < 1e-12)
        if ends is not None:
            assert ends[0] <= found.means[measure] + 1e-12
            assert found.means[measure] <= ends[1] + 1e-12
    assert found.without_list == sum(not run.get(query) for query in counted)
    assert found.without_relevant == len(judgements) - len(counted)
    assert found.not_judged == len(set(run) - set(judgements))


def test_ties_are_broken_in_one_way_for_every_measure() -> None:
    """ir-measures alone would rank a first for RR@10 and b first for RR and nDCG."""
    judgements = {"q": {"a": 1, "b": 0}}
    found = rank_run({"q": {"a": 1.0, "b": 1.0}}, judgements, measures=("RR@10", "RR", "R@1"))
    assert found.means == {"RR@10": 0.5, "RR": 0.5, "R@1": 0.0}
    assert found.tied == 1
    assert "how ties are broken" in " ".join(found.notes)
    # These are equal as 32-bit floats, and not as what they are.
    near = rank_run({"q": {"a": 1.0 + 1e-12, "b": 1.0}}, judgements, measures=("RR",))
    assert (near.means, near.tied) == ({"RR": 1.0}, 0)


def test_order_of_queries_and_documents_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    run = {f"q{n}": {f"d{m}": float(rng.integers(9)) for m in range(12)} for n in range(40)}
    judgements = {f"q{n}": {f"d{rng.integers(12)}": 1} for n in range(40)}
    turned = {query: dict(reversed(own.items())) for query, own in reversed(run.items())}
    one = rank_run(run, judgements)
    other = rank_run(turned, dict(reversed(judgements.items())))
    assert one.to_dict(per_query=True) == other.to_dict(per_query=True)


def test_a_run_file_is_read_as_trec_eval_reads_it(tmp_path: Path) -> None:
    run, qrels = tmp_path / "run.trec", tmp_path / "qrels.tsv"
    run.write_text(
        "q1 Q0 d1 1 0.5 x\nq1 Q0 d2 2 0.9 x\nq2 Q0 d1 1 3 x\nq1 Q0 d1 3 0.1 x\nother Q0 d1 1 1 x\n"
    )
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td9\t1\nq3\td1\t0\nq4\td1\t2\n")
    found = rank_run(run, qrels, measures=("MRR@10", "R@100"))
    assert found.query_ids == ["q1", "q2", "q4"]
    assert found.per_query["MRR@10"].tolist() == [0.5, 0.0, 0.0]  # d2 has the better score
    assert (found.without_list, found.without_relevant, found.not_judged) == (1, 1, 1)
    text = " ".join(found.notes)
    for words in ("1 lines of the run name", "longest list", "count with 0", "left out"):
        assert words in text


def test_a_report_is_json_and_a_table() -> None:
    found = rank_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, name="[bold]odd[/bold]")
    values = json.loads(found.to_json())
    assert values["means"] == {"MRR@10": 1.0, "nDCG@10": 1.0, "R@100": 1.0}
    assert "per_query" not in values
    assert found.to_dict(per_query=True)["query_ids"] == ["q"]
    console = Console(width=100, color_system=None, file=StringIO())
    console.print(found)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold]odd[/bold]" in shown
    assert "MRR@10" in shown
    # One query: an interval without width would say that the mean is certain.
    assert values["intervals"] == {"MRR@10": None, "nDCG@10": None, "R@100": None}
    assert "not known" in shown
    assert "there is one query: how sure the mean of MRR@10, nDCG@10, R@100 is cannot be told." in (
        found.notes
    )


def test_queries_of_one_value_tell_no_interval() -> None:
    found = rank_run(
        {"q1": {"a": 1.0}, "q2": {"b": 2.0, "a": 1.0}},
        {"q1": {"a": 1}, "q2": {"a": 1}},
        measures=("RR", "R@2"),
    )
    assert found.intervals["R@2"] is None
    assert found.intervals["RR"] == (0.5, 1.0)
    assert "the intervals are too narrow, as there are only 2 queries." in found.notes
    [note] = [note for note in found.notes if "same value" in note]
    assert note.startswith("all 2 queries have the same value: how sure the mean of R@2 is")


def test_a_pair_that_is_judged_twice_has_the_higher_grade_everywhere(tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t0\nq1\ta\t1\nq1\tb\t1\n")
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"_id": "q1", "text": "one"}\n')
    wanted = {"q1": {"a": 2, "b": 1}}
    assert grades_of(qrels) == wanted
    judgements = Judgements.read(qrels)
    assert {query: dict(judgements.judged(query)) for query in judgements.queries()} == wanted
    assert load_held_out(queries, qrels=qrels).judgements == wanted
    # Names are texts: two that are the same text are one query, and one document.
    mixed = {1: {"a": 1}, "1": {"a": 0, "b": np.int64(2)}}
    assert grades_of(mixed) == {"1": {"a": 1, "b": 2}}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["MMR@10", "nDCG@", "R", "RR@0", "NumRet", "RBP", "1+1", "RR@x", "R@-3"]
)
def test_an_unknown_measure_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="measure"):
        rank_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, measures=(name,))


def test_measures_are_a_list_of_different_ones() -> None:
    for measures in ("MRR@10", (), ("MRR@10", "RR@10")):
        with pytest.raises(ParameterError, match="measures="):
            rank_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, measures=measures)


def test_scores_and_grades_that_mean_nothing_are_refused() -> None:
    with pytest.raises(FormatError, match="finite"):
        rank_run({"q": {"a": math.nan}}, {"q": {"a": 1}})
    for grade in (0.5, math.nan):
        with pytest.raises(FormatError, match="whole number"):
            rank_run({"q": {"a": 1.0}}, {"q": {"a": grade}})


def test_before_and_after_is_of_the_same_queries() -> None:
    judgements = {f"q{n}": {"a": 1} for n in range(20)}
    before = rank_run({f"q{n}": {"b": 2.0, "a": 1.0} for n in range(20)}, judgements)
    after = rank_run({f"q{n}": {"a": 2.0, "b": 1.0} for n in range(20)}, judgements)
    found = before_and_after(before, after, "MRR@10")
    assert (found.before, found.after, found.difference) == (0.5, 1.0, 0.5)
    assert (found.n, found.better, found.measure) == (20, 20, "MRR@10")
    assert found.p < 0.001
    assert set(comparisons(before, after, repeats=99)) == {"MRR@10", "nDCG@10", "R@100"}
    assert before_and_after(before, after).measure == "MRR@10"
    fewer = rank_run({}, {"q0": {"a": 1}})
    with pytest.raises(ParameterError, match="different queries"):
        before_and_after(before, fewer)
    with pytest.raises(ParameterError, match="not measured by"):
        before_and_after(before, after, "AP")


# -- retrievers and models -----------------------------------------------------------------------

TEXTS = {"d1": "red apple", "d2": "green pear", "d3": "red car", "d4": "apple pie recipe", "d5": ""}


def test_a_retriever_is_scored_by_its_own_ranking() -> None:
    corpus = Corpus(TEXTS)
    retriever = BM25Retriever(corpus, top_k=5)
    queries = {"a": "apple", "b": "car", "c": "zebra", "d": "pear"}
    judgements = {"a": {"d4": 1, "gone": 1}, "b": {"d3": 1}, "c": {"d1": 1}}
    found = rank_retriever(retriever, queries, judgements, measures=("MRR@5", "R@5"))
    assert found.query_ids == ["a", "b", "c"]
    assert found.per_query["R@5"].tolist() == [0.5, 1.0, 0.0]
    text = " ".join(found.notes)
    assert "1 of 4 judgements of relevance" in text
    assert "1 queries are not judged" in text
    with pytest.raises(ParameterError, match="top_k=4"):
        rank_retriever(BM25Retriever(corpus, top_k=2), queries, judgements, measures=("R@4",))
    with pytest.raises(QueryError, match="no text"):
        rank_retriever(retriever, {}, judgements, measures=("R@5",))


@pytest.mark.parametrize("documents", [800, pytest.param(None, marks=pytest.mark.slow)])
def test_equal_to_the_evaluator_of_sentence_transformers(
    scifact: Path, static_model_path: Path, documents: int | None
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import (
        InformationRetrievalEvaluator,
    )

    model = SentenceTransformer(str(static_model_path), device="cpu")
    whole = Corpus(scifact)
    every = range(len(whole))
    texts = dict(zip(whole.ids(every), whole.texts(every), strict=True))
    queries = read_queries(scifact / "queries.jsonl")
    judgements: dict[str, dict[str, int]] = {}
    for query, document, grade in read_qrels(scifact / "qrels" / "test.tsv"):
        judgements.setdefault(query, {})[document] = int(grade)
    if documents is not None:
        relevant = {document for own in judgements.values() for document in own}
        kept = [*relevant, *texts][: len(relevant) + documents]
        texts = {name: texts[name] for name in kept}
    corpus = Corpus(texts)
    found = rank_model(
        model, corpus=corpus, queries=queries, judgements=judgements,
        measures=("MRR@10", "nDCG@10", "R@100", "AP@100"),
    )  # fmt: skip
    evaluator = InformationRetrievalEvaluator(
        {query: queries[query] for query in judgements},
        texts,
        {query: set(own) for query, own in judgements.items()},
        mrr_at_k=[10], ndcg_at_k=[10], precision_recall_at_k=[100], accuracy_at_k=[1],
        map_at_k=[100], main_score_function="cosine", write_csv=False,
    )  # fmt: skip
    theirs = evaluator(model)
    for ours, name in (
        ("MRR@10", "cosine_mrr@10"), ("nDCG@10", "cosine_ndcg@10"), ("R@100", "cosine_recall@100"),
    ):  # fmt: skip
        assert found.means[ours] == pytest.approx(theirs[name], abs=1e-6), ours
    assert len(found) == len(judgements) == 300
