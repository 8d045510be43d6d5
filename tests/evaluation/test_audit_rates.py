"""The rates that an audit is asked for: what it shows, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from small_collection import HEADER, fail, invoke, succeed, write_lines
from tiny_models import save_cross_encoder

from hf_hardneg import Corpus
from hf_hardneg.errors import CorpusError, QueryError
from hf_hardneg.evaluation import audit_rates
from hf_hardneg.evaluation.audit import audit
from hf_hardneg.evaluation.audit_labels import labels_of_set
from hf_hardneg.evaluation.audit_rates import rates_of
from hf_hardneg.evaluation.judge import judge_rate
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.evaluation.sampling import draw_pairs, frame_of
from hf_hardneg.mined_set import MinedSet

QUERIES, EACH = 60, 5


def documents() -> dict[str, str]:
    return {f"d{n}": f"document {n}" for n in range(1_000)}


def rows() -> list[dict[str, Any]]:
    """Query q has the positive q and the negatives 100 + 5q to 104 + 5q, the first one false."""
    return [
        {
            "query_id": f"q{q}", "query": f"query {q}", "positive_ids": [f"d{q}"],
            "hard_negative_ids": [f"d{100 + q * EACH + n}" for n in range(EACH)],
        }
        for q in range(QUERIES)
    ]  # fmt: skip


def in_texts() -> Dataset:
    own = documents()
    return Dataset.from_list(
        [
            {
                "query": row["query"], "positive": own[row["positive_ids"][0]],
                "negatives": [own[name] for name in row["hard_negative_ids"]],
            }
            for row in rows()
        ]
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "mined.jsonl", rows())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    records = [{"_id": name, "text": text} for name, text in documents().items()]
    return write_lines(tmp_path / "documents.jsonl", records)


def qrels(path: Path, *lines: tuple[str, str, int]) -> Path:
    path.write_text(HEADER + "".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in lines))
    return path


def first(query: int) -> str:
    return f"d{100 + query * EACH}"


def rates(*arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        succeed("audit", *arguments, "--format", "json").stdout
    )["rates"]
    return found


# -- judgements ----------------------------------------------------------------------------------


def test_nothing_is_measured_unasked(data: Path) -> None:
    assert rates(data) == []
    assert "False negatives" not in succeed("audit", data).stdout


def test_by_judgements(data: Path, tmp_path: Path) -> None:
    graded = [("q0", first(0), 1), ("q0", "d101", 0), ("q1", "d106", 0), ("q2", first(2), 2)]
    file, page = qrels(tmp_path / "deep.tsv", *graded), tmp_path / "page.html"
    [rate] = rates(data, "--judgements", file)
    assert (rate["method"], rate["rate"], rate["n"]) == ("judged", 0.5, 4)
    assert rate["low"] < 0.5 < rate["high"]
    shown = " ".join(succeed("audit", data, "--judgements", file, "--html", page).stdout.split())
    assert "False negatives: 50.0% (15.0% to 85.0%; judged, n = 4 negatives)" in shown
    assert "Assumed: A grade above 0 means relevant" in shown
    assert "4 of 300 negatives are judged, 2 of them relevant: the rate over all is 0.7%" in shown
    assert "57 of 60 rows have a query without judgements" in shown
    text = page.read_text()
    assert "By judgements" in text
    assert "50.0% (15.0% to 85.0%; judged, n = 4 negatives)" in text
    assert "A grade above 0 means relevant" in text


def test_relevant_documents_alone_are_no_rate_unless_said_to_be_complete(
    data: Path, tmp_path: Path
) -> None:
    file = qrels(tmp_path / "positives.tsv", *((f"q{q}", first(q), 1) for q in range(QUERIES)))
    [rate] = rates(data, "--judgements", file)
    assert (rate["rate"], rate["low"], rate["high"]) == (None, None, None)
    assert "--complete-judgements" in rate["why"]
    assert "unknown (judged" in succeed("audit", data, "--judgements", file).stdout
    [rate] = rates(data, "--judgements", file, "--complete-judgements")
    assert (rate["rate"], rate["n"]) == (0.2, 300)
    # Of the positives themselves 0% would be so whatever was mined.
    file = qrels(tmp_path / "known.tsv", *((f"q{q}", f"d{q}", 1) for q in range(QUERIES)))
    shown = succeed("audit", data, "--judgements", file, "--complete-judgements").stdout
    assert "no relevant document but the set's own positives" in " ".join(shown.split())
    assert "0.0%" not in shown[shown.index("False negatives") :]


def test_judgements_of_something_else(data: Path, corpus: Path, tmp_path: Path) -> None:
    file = qrels(tmp_path / "a.tsv", ("nobody", first(0), 1))
    assert "none of the 60 rows" in fail("audit", data, "--judgements", file)
    file = qrels(tmp_path / "b.tsv", ("q0", "7", 1), ("q1", "8", 1))
    said = fail("audit", data, "--judgements", file, "--corpus", corpus)
    assert "none of the 2 judged documents is in the corpus" in said
    # Without a corpus ids of another kind would be a rate of 0.
    said = fail("audit", data, "--judgements", file, "--complete-judgements")
    assert "name none of the documents" in said
    [rate] = rates(data, "--judgements", file)
    assert (rate["rate"], rate["n"]) == (None, 0)
    assert "--judgements FILE" in fail("audit", data, "--complete-judgements")
    assert "--judge MODEL" in fail("audit", data, "--sample", 5)


def test_texts_are_matched_to_the_corpus(corpus: Path, tmp_path: Path) -> None:
    in_texts().add_column("query_id", [f"q{q}" for q in range(QUERIES)]).to_json(
        str(path := tmp_path / "texts.jsonl")
    )
    file = qrels(tmp_path / "deep.tsv", ("q0", first(0), 1), ("q0", "d101", 0))
    assert "no ids of negatives" in fail("audit", path, "--judgements", file)
    [rate] = rates(path, "--judgements", file, "--corpus", corpus)
    assert (rate["rate"], rate["n"]) == (0.5, 2)


# -- labels --------------------------------------------------------------------------------------


def labelled(mined: MinedSet, **options: Any) -> Labels:
    """Draw a sample and fill it in."""
    drawn = draw_pairs(frame_of(mined), **options).labels
    numbers = [int(row.document.split()[1]) for row in drawn]
    words = ["true_negative" if n >= 100 and n % EACH else "false_negative" for n in numbers]
    return Labels(
        [replace(row, label=word) for row, word in zip(drawn, words, strict=True)], "the labels"
    )


def test_by_labels_of_two_people(data: Path, corpus: Path, tmp_path: Path) -> None:
    mined = MinedSet.of(Dataset.from_list(rows())).joined(Corpus(str(corpus)))
    one = labelled(mined, size=100)
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    one.write(files[0])
    other = [replace(row, label=0.9) if n < 10 else row for n, row in enumerate(one)]
    Labels(other).write(files[1])
    page = tmp_path / "page.html"
    shown = succeed("audit", data, "--labels", files[0], "--labels", files[1], "--html", page)
    words = " ".join(shown.stdout.split())
    [rate] = rates(data, "--labels", files[0], "--labels", files[1])
    [agreement] = rate["details"]["agreement"]
    assert agreement["n"] == 100
    assert 0 < agreement["kappa"] < 1
    assert f"{agreement['kappa']:.2f} (the same label on" in words
    assert "Cohen&#39;s kappa of" in page.read_text()
    assert "All 90 labelled pairs are negatives of this set" in words
    assert "Of 20 labels of known positives mixed in 100% call them relevant" in words
    [rate] = rates(data, "--labels", files[0])
    assert rate == json.loads(
        json.dumps(rates_of(mined, labels=Labels.read(files[0]))[0].to_dict())
    )
    assert rate["low"] <= 0.2 <= rate["high"]
    assert rate["details"]["agreement"] == []


def test_names_in_labels_do_nothing_on_the_page(data: Path, tmp_path: Path) -> None:
    lines = [
        {"query_id": "q0", "document_id": first(0), "label": 1, "annotator": name}
        for name in ("<script>alert(1)</script>", "a[bold]\x1b[2J")
    ]
    file, page = write_lines(tmp_path / "labels.jsonl", lines), tmp_path / "page.html"
    shown = succeed("audit", data, "--labels", file, "--html", page).stdout
    assert "<script" not in page.read_text()
    assert "&lt;script&gt;alert(1)" in page.read_text()
    assert "\x1b" not in shown
    assert "a[bold][U+001B][2J" in shown.replace("\n", "")
    assert "not defined, both give one label alone" in " ".join(shown.split())


def test_labels_out_of_range_and_of_something_else(data: Path, tmp_path: Path) -> None:
    own = {"query_id": "q0", "document_id": first(0)}
    for label, said in ((1.5, "label is 1.5"), ("maybe", "label is 'maybe'"), (-0.1, "is -0.1")):
        file = write_lines(tmp_path / "bad.jsonl", [{**own, "label": label}])
        assert said in fail("audit", data, "--labels", file)
    file = write_lines(tmp_path / "other.jsonl", [{**own, "query_id": "q1", "label": 1}])
    assert "none of the 1 lines" in fail("audit", data, "--labels", file)
    assert "cannot be read" in fail("audit", data, "--labels", tmp_path / "nowhere")
    file = write_lines(tmp_path / "open.jsonl", [{**own, "label": None}])
    [rate] = rates(data, "--labels", file)
    assert (rate["rate"], rate["why"]) == (None, "no negative has a label that decides")


def test_labels_of_a_pool_count_where_they_are_of_the_set() -> None:
    """A sample of a larger set, weighted: what of it is of the set is a sample of the set."""
    whole = in_texts()
    part = whole.map(lambda row: {"negatives": row["negatives"][:2]})
    mined, held, errors = MinedSet.of(part), 0, []
    for seed in range(40):
        labels = labelled(MinedSet.of(whole), size=90, seed=seed, queries=40)
        own, said = labels_of_set(mined, labels)
        assert "the others are left out" in said
        inside = [row for row in own if not row.control]
        assert 0 < len(inside) < 81
        assert all(int(row.document.split()[1]) % EACH < 2 for row in inside)
        assert sum(row.control for row in own) == 9
        [rate] = rates_of(mined, labels=labels)
        assert rate.details == label_rate(own).details
        assert said in rate.assumed
        assert rate.rate is not None
        assert rate.low is not None
        assert rate.high is not None
        errors.append(rate.rate - 0.5)
        held += rate.low <= 0.5 <= rate.high
    assert held >= 36
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(len(errors))


def test_a_query_called_bad_outside_of_the_set_is_bad_in_it() -> None:
    rows = in_texts()
    part = MinedSet.of(rows.map(lambda row: {"negatives": row["negatives"][:2]}))
    bad, beyond = rows[0]["query"], rows[0]["negatives"][2]
    labels = Labels(
        [
            Label(query=bad, document=beyond, label="bad_query"),
            Label(query=bad, document=rows[0]["negatives"][0], label="false_negative"),
            Label(query=rows[1]["query"], document=rows[1]["negatives"][1], label="true_negative"),
        ]
    )
    [rate] = rates_of(part, labels=labels)
    assert (rate.rate, rate.n, rate.details["bad_query"]) == (0.0, 1, 1)


def test_labels_of_a_shallower_draw_are_told() -> None:
    """Half of the set's negatives are deeper than anything that the labels could be of."""
    rows = in_texts()
    numbers = [list(range(1, 1 + len(own))) for own in rows["negatives"]]
    deep = rows.add_column("hard_negative_ranks", numbers)  # type: ignore[call-arg]
    half = len(numbers[0]) // 2

    def top(row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[name][:half] for name in ("negatives", "hard_negative_ranks")}

    shallow, whole = MinedSet.of(deep.map(top)), MinedSet.of(deep)
    beyond = sum(len(own) - half for own in numbers)
    said = labels_of_set(whole, labelled(shallow, size=40))[1]
    assert (
        f"from ranks up to {half}, and {beyond:,} of the set's {sum(map(len, numbers)):,}" in said
    )
    [rate] = rates_of(whole, labels=labelled(shallow, size=40))
    assert any("says nothing of them" in text for text in rate.assumed)
    for mined in (shallow, whole):  # as deep, or deeper: nothing to say
        assert "says nothing" not in labels_of_set(mined, labelled(whole, size=40))[1]
    unknown = [replace(row, depth=None) for row in labelled(shallow, size=40)]
    assert "says nothing" not in labels_of_set(whole, Labels(unknown))[1]


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, True),
        ({"query": "", "document": ""}, True),
        ({"query_id": "", "document_id": ""}, True),
        ({"query": " QUERY  0", "document_id": "x"}, True),
        ({"query": "", "document_id": ""}, True),
        ({"query": "another query"}, False),  # an id alone would take labels of another collection
        ({"document_id": "", "document": "document 999"}, False),
        ({"query_id": "q1", "query": ""}, False),
    ],
)
def test_how_labels_are_matched(changes: dict[str, str], there: bool, corpus: Path) -> None:
    mined = MinedSet.of(Dataset.from_list(rows())).joined(Corpus(str(corpus)))
    plain = {"query_id": "q0", "query": "query 0", "document_id": first(0),
             "document": "document 100"}  # fmt: skip
    labels = Labels([Label(**{**plain, **changes}, label=1.0)])
    if there:
        assert len(labels_of_set(mined, labels)[0]) == 1
        return
    with pytest.raises(QueryError, match="none of the 1 lines"):
        labels_of_set(mined, labels)


# -- a judge -------------------------------------------------------------------------------------


def right(queries: list[str], documents: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    asked = [int(query.split()[1]) for query in queries]
    shown = [int(document.split()[1]) for document in documents]
    return np.array(
        [d == q or d == 100 + q * EACH for q, d in zip(asked, shown, strict=True)], dtype=float
    )


def test_by_a_judge(corpus: Path) -> None:
    mined = MinedSet.of(Dataset.from_list(rows())).joined(Corpus(str(corpus)))
    [limit] = rates_of(mined, judge=right, sample=200, seed=3)
    assert mined.corpus is not None
    assert limit == judge_rate(mined, right, sample=200, seed=3, corpus=mined.corpus)
    assert limit.rate is None
    assert limit.high is not None
    labels = labelled(mined, size=100)
    by_labels, by_both = rates_of(mined, judge=right, labels=labels)
    assert by_labels.method == "labels"
    assert by_both.rate == pytest.approx(0.2)  # of a judge that is right, whatever was drawn
    found = audit(mined, rates=[limit])
    assert f"False negatives: {limit}" in " ".join(str(found).split())
    assert "Sensitivity 100.0%" in found.to_html()
    assert "an upper limit alone, at most" in found.to_html()


def test_a_judge_without_a_corpus_takes_the_documents_of_the_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_rates, "ENOUGH", 72)  # 60 positives and 300 negatives: 72 for each
    mined = MinedSet.of(in_texts())
    [rate] = rates_of(mined, judge=right)
    assert any("360 different ones of the set itself" in said for said in rate.assumed)
    assert not any("matched to the corpus" in said for said in rate.assumed)
    assert rate.details["irrelevant"] > 0
    turned = MinedSet.of(in_texts().select(range(QUERIES)[::-1]))
    assert rates_of(turned, judge=right)[0].to_dict() == rate.to_dict()
    monkeypatch.setattr(audit_rates, "ENOUGH", 73)
    with pytest.raises(CorpusError, match="360 different ones, fewer than 73 for each of the 5"):
        rates_of(mined, judge=right)
    with pytest.raises(CorpusError, match="none of its positives"):
        rates_of(MinedSet.of(Dataset.from_list(rows())), judge=right)


def test_triplets_of_a_query_are_its_negatives_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_rates, "ENOUGH", 73)
    triplets = [
        {"query": row["query"], "positive": row["positive"], "negative": text}
        for row in in_texts()
        for text in row["negatives"]
    ]
    with pytest.raises(CorpusError, match="for each of the 5 negatives of a query"):
        rates_of(MinedSet.of(Dataset.from_list(triplets)), judge=right)


def test_a_judge_that_says_one_thing_of_all(data: Path, corpus: Path, tmp_path: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification

    folder = save_cross_encoder(tmp_path / "judge")
    model = BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.weight.zero_()
    model.save_pretrained(folder)
    asked = ("audit", data, "--corpus", corpus, "--judge", folder, "--sample", 40)
    [rate] = rates(*asked[1:])
    assert (rate["method"], rate["rate"], rate["high"]) == ("judge", None, None)
    assert "the same score" in rate["why"]
    assert "unknown (judge, n = 40 negatives)" in " ".join(succeed(*asked).stdout.split())


def test_a_judge_by_its_path_and_one_that_is_not_there(
    data: Path, corpus: Path, tmp_path: Path, cross_encoder_path: Path
) -> None:
    asked = ("audit", data, "--corpus", corpus, "--sample", 40, "--judge")
    result = invoke(*asked, cross_encoder_path, "--format", "json")
    assert result.exit_code == 0, result.output
    [rate] = json.loads(result.stdout)["rates"]
    assert (rate["method"], rate["n"]) == ("judge", 40)
    assert "nowhere" in fail(*asked, tmp_path / "nowhere")
    assert "--corpus" in fail("audit", data, "--judge", cross_encoder_path)
