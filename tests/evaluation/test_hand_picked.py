"""Labels of pairs that somebody picked: never in a rate, always counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from small_collection import Collection, fail, succeed, write_collection, write_lines

from hf_hardneg import Corpus
from hf_hardneg.errors import FormatError, QueryError
from hf_hardneg.evaluation.audit_labels import labels_of_set
from hf_hardneg.evaluation.audit_rates import rates_of
from hf_hardneg.evaluation.judge import judge_rate
from hf_hardneg.evaluation.label_cases import LabelCases
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.label_sample import HAND_PICKED
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.evaluation.sampling import draw_pairs, frame_of
from hf_hardneg.mined_set import MinedSet

WORDS = st.sampled_from(["false_negative", "true_negative", "unsure", 0.5, None])


def drawn(query: int, document: int, label: Any, weight: float | None = 2.0, **own: Any) -> Label:
    return Label(
        query_id=f"q{query}", query=f"query {query}", document_id=f"d{document}",
        document=f"document {document}", label=label, weight=weight, stratum="1-5", **own,
    )  # fmt: skip


def picked(query: int, document: int, label: Any, **own: Any) -> Label:
    return replace(drawn(query, document, label, None, **own), stratum=HAND_PICKED)


SAMPLE = [drawn(n, n, "false_negative" if n % 4 == 0 else "true_negative") for n in range(40)]


def mined() -> MinedSet:
    return MinedSet.of(
        Dataset.from_list(
            [
                {
                    "query": f"query {n}", "positive": f"positive {n}",
                    "negatives": [f"document {n}", f"document {100 + n}"],
                }
                for n in range(40)
            ]
        )
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 200), WORDS), max_size=20))
def test_whatever_is_picked_changes_no_rate(rows: list[tuple[int, int, Any]]) -> None:
    plain, both = label_rate(Labels(SAMPLE)), Labels([*SAMPLE, *(picked(*row) for row in rows)])
    rate = label_rate(both)
    assert (rate.rate, rate.low, rate.high, rate.n) == (plain.rate, plain.low, plain.high, plain.n)
    for name in ("decided", "unsure", "not_labelled", "controls", "agreement", "kish_n"):
        assert rate.details[name] == plain.details[name]
    last = {(query, document): label for query, document, label in rows if label is not None}
    decided = [label for label in last.values() if label != "unsure"]
    assert rate.details["hand_picked"] == {
        "negatives": len(decided),
        "called_false": sum(label in ("false_negative", 0.5) for label in decided),
        "bad_queries": 0,
    }
    assert any("picked by hand" in said for said in rate.assumed) == bool(decided)


def test_the_same_pair_drawn_and_picked() -> None:
    """What was said in the draw counts there, in whichever order the two were said."""
    said = [drawn(0, 0, "true_negative"), picked(0, 0, "false_negative")]
    for rows in (said, said[::-1]):
        rate = label_rate(Labels(rows))
        assert (rate.rate, rate.n) == (0.0, 1)
        assert rate.details["hand_picked"]["called_false"] == 1
    # Nor does a pick stand in for a label of the draw that is still to come.
    assert label_rate(Labels([drawn(0, 0, None), picked(0, 0, "false_negative")])).rate is None


def test_picked_ones_alone_are_no_rate() -> None:
    rate = label_rate(Labels([picked(n, n, "false_negative") for n in range(30)]))
    assert (rate.rate, rate.low, rate.high, rate.n) == (None, None, None, 0)
    assert "30 were picked by hand, 30 of which are called false" in rate.why
    assert "Judge a drawn sample" in rate.why
    json.dumps(rate.to_dict(), allow_nan=False)


def test_a_positive_that_is_picked_is_no_control() -> None:
    rows = [*SAMPLE, drawn(0, 900, "false_negative", control=True)]
    sensitivity = label_rate(Labels(rows)).details["controls"]
    more = Labels([*rows, picked(1, 901, "true_negative", control=True)])
    assert label_rate(more).details["controls"] == sensitivity


def test_a_query_called_bad_while_browsing_is_bad_in_the_sample_too() -> None:
    bad = picked(0, 999, "bad_query")
    rate = label_rate(Labels([*SAMPLE, bad]))
    assert rate.n == len(SAMPLE) - 1
    assert rate.rate == pytest.approx(9 / 39)
    assert rate.details["hand_picked"]["bad_queries"] == 1
    assert any("called bad while browsing" in said for said in rate.assumed)
    again = label_rate(Labels([*SAMPLE, bad, replace(bad, label="true_negative")]))
    assert again.rate == 0.25
    # Also where the pair at which it was said is not in the set.
    own, _ = labels_of_set(mined(), Labels([*SAMPLE, bad]))
    assert LabelCases.of(own).bad_queries == {"q0"}


def test_what_is_withdrawn_is_not_said() -> None:
    back = {"withdrawn": True}
    rows = [picked(0, 0, "false_negative"), picked(1, 1, "bad_query"), drawn(2, 2, 1.0)]
    undone = [replace(row, label=None, further=back) for row in rows]
    assert label_rate(Labels(rows)).details["hand_picked"]["called_false"] == 1
    found = label_rate(Labels([*rows, *undone]))
    assert found.details["hand_picked"] == {"negatives": 0, "called_false": 0, "bad_queries": 0}
    assert (found.rate, found.details["not_labelled"]) == (None, 1)
    assert label_rate(Labels([*rows, *undone, rows[2]])).rate == 1.0
    other = [replace(row, annotator="b") for row in undone]  # nobody takes back another's word
    assert label_rate(Labels([*rows, *other])).rate == 1.0


def test_a_weight_of_what_was_not_drawn() -> None:
    with pytest.raises(FormatError, match="1 lines of the stratum 'hand-picked' have a weight"):
        Labels([replace(picked(0, 0, None), weight=1.0)])
    assert len(Labels([*SAMPLE, picked(0, 0, None)])) == 41  # no weight is demanded of it


def test_what_an_audit_says_of_them(tmp_path: Path) -> None:
    rows = [{"query": f"query {n}", "positive": f"positive {n}",
             "negatives": [f"document {n}", f"document {100 + n}"]} for n in range(40)]  # fmt: skip
    data = write_lines(tmp_path / "mined.jsonl", rows)
    hand = [picked(n, 100 + n, "false_negative") for n in range(5)]
    file = Labels([*SAMPLE, *hand, picked(0, 7_000, 1.0)]).write(tmp_path / "both.jsonl")
    shown = " ".join(succeed("audit", data, "--labels", file).stdout.split())
    assert "False negatives: 25.0%" in shown
    assert "All 40 labelled pairs are negatives of this set" in shown
    assert "5 negatives that were picked by hand are left out, 5 of which are called false" in shown
    file = Labels(hand).write(tmp_path / "hand.jsonl")
    shown = " ".join(succeed("audit", data, "--labels", file).stdout.split())
    assert "unknown (labels, n = 0 negatives)" in shown
    assert "Judge a drawn sample" in shown
    assert "none was drawn" in shown
    elsewhere = Labels([picked(0, 7_000, 1.0)]).write(tmp_path / "elsewhere.jsonl")
    assert "none of the 1 lines" in fail("audit", data, "--labels", elsewhere)


def test_depth_is_asked_of_what_was_drawn() -> None:
    whole = MinedSet.of(
        Dataset.from_list(
            [{"query": f"query {n}", "negatives": [f"document {n}", f"document {100 + n}"],
              "hard_negative_ranks": [1, 9]} for n in range(40)]
        )
    )  # fmt: skip
    shallow = [replace(row, depth=5) for row in SAMPLE]
    said = labels_of_set(whole, Labels([*shallow, picked(0, 0, 1.0)]))[1]
    assert "40 of the set's 80 negatives have deeper ones" in said


def judge(queries: list[str], documents: list[str]) -> list[float]:
    """One that errs, with no regard to which documents are labelled."""
    asked = [int(query.split()[1]) for query in queries]
    return [float(q % 3 == len(text) % 3) for q, text in zip(asked, documents, strict=True)]


def test_a_judge_is_not_measured_on_them() -> None:
    corpus = Corpus([{"_id": f"d{n}", "text": f"document {n}"} for n in range(300)])
    hand = [picked(n, 100 + n, "false_negative") for n in range(40)]
    one, two = (
        judge_rate(mined(), judge, corpus=corpus, labels=Labels(rows), calibrate_on="labels")
        for rows in (SAMPLE, [*SAMPLE, *hand])
    )
    assert (one.rate, one.low, one.high, one.n) == (two.rate, two.low, two.high, two.n)
    assert two.details["labelled"] == 40
    assert two.details["hand_picked"] == 40
    alone = judge_rate(mined(), judge, corpus=corpus, labels=Labels(hand), calibrate_on="labels")
    assert alone.rate is None
    assert "0 negatives have a label that decides, those picked by hand not counted" in alone.why


def test_rates_of_a_set_by_picks_and_a_draw() -> None:
    sample = draw_pairs(frame_of(mined()), size=20, controls=0.1).labels
    said = [replace(row, label="true_negative") for row in sample]
    [rate] = rates_of(mined(), labels=Labels([*said, picked(3, 3, 1.0, annotator="b")]))
    assert rate.rate == 0.0
    assert rate.details["hand_picked"]["called_false"] == 1
    with pytest.raises(QueryError, match="none of the 1 lines"):
        rates_of(mined(), labels=Labels([picked(3, 77, 1.0)]))


# -- labels that took part -----------------------------------------------------------------------


def mine(
    written: Collection, output: Path, *more: object, strategy: str = "bm25@40"
) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        succeed(
            "mine", "--queries", written.folder, "--split", "train", "--strategy", strategy,
            "--num-negatives", 5, "--output", output, "--format", "json", "--yes", *more,
        ).stdout
    )  # fmt: skip
    return found


def test_labels_change_what_mine_audit_and_card_say(tmp_path: Path) -> None:
    written = write_collection(tmp_path / "beir")
    report = mine(written, tmp_path / "set")
    assert report["false_negatives"] == []
    own = MinedSet.of(Dataset.load_from_disk(str(tmp_path / "set")))
    sample = draw_pairs(frame_of(own.joined(Corpus(written.folder))), size=30, controls=0).labels
    said = [
        replace(row, label="false_negative" if n % 3 == 0 else "true_negative")
        for n, row in enumerate(sample)
    ]
    file = Labels(said).write(tmp_path / "labels.jsonl")
    wanted = label_rate(Labels(said))
    [rate] = mine(written, tmp_path / "again", "--labels", file)["false_negatives"]
    assert (rate["method"], rate["rate"], rate["low"]) == ("labels", wanted.rate, wanted.low)
    shown = succeed("audit", tmp_path / "set", "--labels", file).stdout
    assert str(wanted) in " ".join(shown.split())
    card = tmp_path / "set" / "README.md"
    succeed("card", tmp_path / "set")
    assert "; labels)" not in card.read_text()
    succeed("card", tmp_path / "set", "--labels", file)
    assert "; labels)" in card.read_text()
    succeed("card", tmp_path / "again")
    assert "; labels)" in (tmp_path / "again" / "README.md").read_text()
    other = Labels([replace(said[0], query="nobody asks", query_id="x")]).write(
        tmp_path / "o.jsonl"
    )
    [rate] = mine(written, tmp_path / "third", "--labels", other)["false_negatives"]
    assert rate["rate"] is None
    assert "none of the 1 lines" in rate["why"]


def half_false(sample: Labels) -> Labels:
    words = ["false_negative", "true_negative"]
    return Labels([replace(row, label=words[n % 2]) for n, row in enumerate(sample)])


def test_labels_that_took_part_in_choosing_give_no_rate(tmp_path: Path) -> None:
    """Of what is left of their sample nothing is false, whatever the rate is."""
    written = write_collection(tmp_path / "beir")
    mine(written, tmp_path / "set")
    corpus = Corpus(written.folder)
    own = MinedSet.of(Dataset.load_from_disk(str(tmp_path / "set"))).joined(corpus)
    said = half_false(draw_pairs(frame_of(own), size=30, controls=0).labels)
    file = said.write(tmp_path / "labels.jsonl")
    strategy = f"bm25@40+labelled(labels={str(file)!r})"
    report = mine(written, tmp_path / "next", "--labels", file, strategy=strategy)
    [rate] = report["false_negatives"]
    assert (rate["rate"], rate["n"]) == (None, 0)
    assert "the labels took part in choosing it" in rate["why"]
    shown = " ".join(succeed("audit", tmp_path / "next", "--labels", file).stdout.split())
    assert "unknown (labels" in shown
    assert "took part" in shown
    jsonl = tmp_path / "lines"
    mine(written, jsonl, "--file-format", "jsonl", strategy=strategy)
    assert "took part" in " ".join(succeed("audit", jsonl, "--labels", file).stdout.split())
    # A new sample of the new set does.
    new = MinedSet.of(Dataset.load_from_disk(str(tmp_path / "next"))).joined(corpus)
    drawn = half_false(draw_pairs(frame_of(new), size=30, controls=0).labels)
    again = drawn.write(tmp_path / "new.jsonl")
    shown = " ".join(succeed("audit", tmp_path / "next", "--labels", again).stdout.split())
    assert str(label_rate(drawn)) in shown
