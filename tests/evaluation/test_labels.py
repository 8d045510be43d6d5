"""Files of labels, the rate they give, and agreement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.errors import FormatError, OutputError, ParameterError
from hf_hardneg.evaluation.false_negatives import cohens_kappa, label_rate
from hf_hardneg.evaluation.labels import Label, Labels


def line(**changes: Any) -> dict[str, Any]:
    record = {
        "query_id": "1", "query": "q", "document_id": "2", "document": "d", "label": None,
        "annotator": "a", "note": "", "rank": 3, "score": 0.5, "source": "mined", "stratum": "s",
        "weight": 2.0, "depth": 100, "control": False,
    }  # fmt: skip
    return record | changes


def labels(*records: dict[str, Any]) -> Labels:
    return Labels([Label.from_dict(line(**record)) for record in records])


def test_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "labels.jsonl"
    rows = [line(label=None), line(document_id="3", label=0.25, own={"x": [1]}, note="ö\n")]
    Labels([Label.from_dict(row) for row in rows]).write(path)
    assert [json.loads(text) for text in path.read_text().splitlines()] == rows
    again = Labels.read(path)
    assert [row.to_dict() for row in again] == rows
    assert again[1].further == {"own": {"x": [1]}}
    assert list(again[0].to_dict()) == list(line())  # the order of fields that files have
    before = path.read_bytes()
    assert again.write(path, overwrite=True) == path
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    labels({}).write(path)
    before = path.read_text()
    broken = Labels([Label.from_dict(line(own=float("nan")))])
    with pytest.raises(FormatError, match="not JSON compliant"):
        broken.write(path, overwrite=True)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.jsonl"]
    with pytest.raises(OutputError):
        labels({}).write(path / "below" / "labels.jsonl")
    with pytest.raises(OutputError, match="folder"):
        labels({}).write(tmp_path, overwrite=True)


def test_a_file_is_never_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    labels({}).write(path)
    path.chmod(0o640)
    with pytest.raises(OutputError, match="exists and would be lost"):
        labels({"label": 1}).write(path)
    labels({"label": 1}, {}).write(path, overwrite=True)
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(OutputError, match="holds 1 labels and would be lost"):
        labels({}).write(path)
    assert len(Labels.read(path)) == 2


def test_a_text_with_a_line_end_of_unicode_stays_one_line(tmp_path: Path) -> None:
    path = labels({"document": "a\u2028b\x85c"}).write(tmp_path / "labels.jsonl")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1
    assert Labels.read(path)[0].document == "a\u2028b\x85c"


def test_two_files_of_two_people(tmp_path: Path) -> None:
    paths = [
        labels({"annotator": "", "label": label}, {"annotator": "c", "label": 1}).write(
            tmp_path / f"{who}.jsonl"
        )
        for who, label in (("a", "false_negative"), ("b", "true_negative"))
    ]
    both = Labels.read_all(paths)
    assert [row.annotator for row in both] == [str(paths[0]), "c", str(paths[1]), "c"]
    assert label_rate(both).details["agreement"][0]["n"] == 1
    assert list(Labels.read_all(paths[:1])) == list(Labels.read(paths[0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: list; expected a JSON object"),
        (json.dumps(line(label="maybe")), "line 2: label is 'maybe'; expected one of false_neg"),
        (json.dumps(line(label=1.5)), "line 2: label is 1.5"),
        (json.dumps(line(label=True)), "line 2: label is True"),
        (json.dumps(line(weight=0)), "line 2: weight is 0"),
        (json.dumps(line(weight=None)), "1 of 2 lines have no weight"),
        (json.dumps(line(rank=-1)), "line 2: rank is -1"),
        (json.dumps(line(depth=1.5)), "line 2: depth is 1.5"),
        (json.dumps(line(score="x")), "line 2: score is 'x'"),
        (json.dumps(line(control="no")), "line 2: control is 'no'"),
        (json.dumps(line(document=1.5)), "line 2: document is 1.5"),
        (json.dumps(line(query="", query_id=None)), "line 2: no query or no document"),
        ('{"label": NaN}', "line 2: no JSON"),
        ('{"query": "q", "document": "d"}', "line 2: no field 'label'"),
    ],
)
def test_what_is_wrong_with_a_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(line()) + "\n" + text + "\n")
    with pytest.raises(FormatError, match=message):
        Labels.read(path)


def test_a_file_that_is_empty_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    with pytest.raises(FormatError, match="cannot be read"):
        Labels.read(path)
    path.write_text("\n")
    with pytest.raises(FormatError, match="hold no line"):
        Labels.read(path)


def test_the_weighted_rate() -> None:
    rate = label_rate(
        labels(
            {"document_id": "1", "label": "false_negative", "weight": 10},
            {"document_id": "2", "label": "true_negative", "weight": 30},
            {"document_id": "3", "label": 0.5, "weight": 10, "query_id": "2"},
            {"document_id": "4", "label": "unsure", "weight": 50},
            {"document_id": "5", "label": "bad_query", "weight": 1000, "query_id": "3"},
            {"document_id": "6", "weight": 7},
            {"document_id": "7", "label": "false_negative", "control": True},
            {"document_id": "8", "label": "true_negative", "control": True},
        )
    )
    assert rate.rate == pytest.approx(15 / 50)
    assert rate.n == 3
    details = rate.details
    counts = [details[name] for name in ("decided", "unsure", "bad_query", "not_labelled")]
    assert counts == [3, 1, 1, 1]
    assert details["unsure_as_true_negatives"] == pytest.approx(15 / 100)
    assert details["unsure_as_false_negatives"] == pytest.approx(65 / 100)
    assert details["controls"]["sensitivity"] == 0.5
    assert details["kish_n"] == pytest.approx(50**2 / (100 + 900 + 100))
    json.dumps(rate.to_dict(), allow_nan=False)


@pytest.mark.parametrize("control", [False, True])
def test_a_bad_query_takes_all_of_its_pairs_with_it(control: bool) -> None:
    """Whoever said it, at whichever pair: also at a known positive that was mixed in."""
    rate = label_rate(
        labels(
            {"query_id": "1", "document_id": "1", "label": "false_negative"},
            {"query_id": "1", "document_id": "2", "label": "unsure"},
            {"query_id": "1", "document_id": "3"},
            {"query_id": "1", "document_id": "4", "label": "true_negative", "control": True},
            {"query_id": "1", "document_id": "5", "label": "bad_query", "annotator": "b",
             "control": control},
            {"query_id": "2", "document_id": "1", "label": "true_negative"},
            {"query_id": "2", "document_id": "4", "label": "false_negative", "control": True},
        )
    )  # fmt: skip
    assert (rate.rate, rate.n) == (0.0, 1)
    details = rate.details
    assert [details[name] for name in ("decided", "unsure", "not_labelled")] == [1, 0, 0]
    assert (details["bad_query"], details["bad_queries"]) == (4 - control, 1)
    assert details["negatives"] == 5 - control
    assert (details["controls"]["sensitivity"], details["controls"]["of_bad_queries"]) == (
        1.0, 1 + control,
    )  # fmt: skip
    [said] = [text for text in rate.assumed if "calls bad" in text]
    assert f"All {4 - control} negatives of 1 queries" in said


def test_a_query_that_is_called_bad_no_longer_is_not() -> None:
    rows = [{"document_id": "1", "label": "bad_query"}, {"document_id": "2", "label": 1}]
    assert label_rate(labels(*rows)).rate is None
    again = labels(*rows, {"document_id": "1", "label": "true_negative"})
    assert label_rate(again).rate == 0.5


def test_no_false_negative_found_is_not_none_there() -> None:
    rows = [
        {"query_id": str(n // 2), "document_id": str(n), "label": "true_negative", "weight": None}
        for n in range(60)
    ]
    rate = label_rate(labels(*rows))
    assert (rate.rate, rate.low) == (0, 0)
    assert rate.high is not None
    assert 0.1 < rate.high < 0.13  # thirty queries, not sixty negatives
    assert not rate.details["weighted"]


def test_nothing_decided() -> None:
    rate = label_rate(labels({"label": "unsure"}, {"document_id": "9"}))
    assert rate.rate is None
    assert "no negative has a label that decides" in rate.why


def test_two_annotators() -> None:
    pairs = [("false_negative", "false_negative"), ("true_negative", "true_negative"),
             ("false_negative", "true_negative"), ("unsure", "true_negative")]  # fmt: skip
    rows = [
        {"document_id": str(n), "annotator": who, "label": label}
        for n, pair in enumerate(pairs)
        for who, label in zip("ab", pair, strict=True)
    ]
    rows.append({"document_id": "1", "annotator": "a", "label": "true_negative"})
    rows.append({"document_id": "1", "annotator": "a", "label": None})
    rate = label_rate(labels(*rows))
    assert rate.rate == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert (rate.details["disagreed"], rate.details["labelled_again"]) == (1, 1)
    [agreement] = rate.details["agreement"]
    a, b = (list(side) for side in zip(*pairs, strict=True))
    assert agreement == {
        "annotators": ["a", "b"], "n": 4, "same": 0.5, "kappa": cohens_kappa(a, b),
    }  # fmt: skip


def test_the_order_of_lines_does_not_matter() -> None:
    rows = [
        {"document_id": str(n), "query_id": str(n % 7), "label": n % 3 / 2, "weight": 1 + n}
        for n in range(40)
    ]
    first = label_rate(labels(*rows))
    assert label_rate(labels(*rows[::-1])).to_dict() == first.to_dict()


def test_kappa_by_its_formula() -> None:
    a, b = [1] * 25 + [0] * 25, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohens_kappa(a, b) == pytest.approx(0.4)  # agree .7, by chance .5
    assert cohens_kappa([1, 1], [1, 1]) is None
    assert cohens_kappa([], []) is None
    with pytest.raises(ParameterError, match="1 labels against 0"):
        cohens_kappa([1], [])


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")), min_size=1))
def test_kappa_is_symmetric(pairs: list[tuple[str, str]]) -> None:
    a, b = (list(side) for side in zip(*pairs, strict=True))
    one, other = cohens_kappa(a, b), cohens_kappa(b, a)
    assert (one is None and other is None) or one == pytest.approx(other)


def test_weights_undo_an_uneven_draw() -> None:
    """Negatives of two strata, one drawn ten times as often, a hundred times over."""
    rng = np.random.default_rng(0)
    stratum = np.repeat([0, 1], 500)
    relevant = rng.random(1000) < np.where(stratum == 0, 0.5, 0.05)
    chance = np.where(stratum == 0, 0.2, 0.05)
    held = 0
    for _ in range(100):
        drawn = np.flatnonzero(rng.random(1000) < chance)
        rate = label_rate(
            labels(
                *(
                    {
                        "query_id": str(n), "document_id": str(n), "weight": 1 / chance[n],
                        "label": "false_negative" if relevant[n] else "true_negative",
                    }
                    for n in drawn.tolist()
                )
            )
        )  # fmt: skip
        assert rate.low is not None
        assert rate.high is not None
        held += rate.low <= relevant.mean() <= rate.high
    assert held >= 90
