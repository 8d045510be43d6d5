"""Judging a drawn sample: blind, the same for all, and what its labels say."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from label_cases_of_people import mined, pick
from scipy.stats import mannwhitneyu
from small_collection import succeed

from hf_hardneg.errors import FormatError, OutputError, ParameterError
from hf_hardneg.evaluation.label_rate import cohens_kappa, label_rate
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.evaluation.sampling import draw_pairs, frame_of
from hf_hardneg.inspection.judging import BlindItem, JudgingTask
from hf_hardneg.inspection.label_book import LabelBook, by_hand
from hf_hardneg.inspection.set_identity import set_identity


def task(folder: Path, **options: object) -> JudgingTask:
    return JudgingTask.open(mined(), folder, "set", **{"size": 60, "controls": 0.2, **options})


def book(folder: Path, who: str = "ann") -> LabelBook:
    return LabelBook(folder, who, identity="set", set_name="a set")


def is_false(item: BlindItem) -> bool:
    """The first negative of each query is false, and the positives are relevant."""
    return item.document.endswith(" 0") or item.document.startswith("positive")


def judge(own: JudgingTask, labels: LabelBook, upto: int | None = None) -> None:
    for number in range(len(own) if upto is None else upto):
        own.label(
            labels, number, "false_negative" if is_false(own.item(number)) else "true_negative"
        )


def test_an_item_says_nothing_of_what_it_is(tmp_path: Path) -> None:
    own = task(tmp_path)
    assert [one.name for one in fields(BlindItem)] == ["number", "query", "document"]
    assert len(own) == 60
    assert sum(line.control for line in own.lines) == 12
    # Neither where it stands, in the task or among those of its query.
    places = {True: [], False: []}
    for seed in range(40):
        drawn = task(tmp_path, seed=seed, queries=12)
        for number, line in enumerate(drawn.lines):
            beside = [n for n, one in enumerate(drawn.lines) if one.query == line.query]
            if len(beside) > 1:
                places[line.control].append(beside.index(number) / (len(beside) - 1))
    assert mannwhitneyu(places[True], places[False]).pvalue > 0.01


def test_everybody_gets_the_same_items(tmp_path: Path) -> None:
    first = task(tmp_path / "a")
    assert task(tmp_path / "b").lines == first.lines
    assert sorted(line.pair for line in first.lines) == sorted(
        line.pair for line in draw_pairs(frame_of(mined()), size=60, controls=0.2).labels
    )
    assert [line.query for line in task(tmp_path, seed=1).lines] != [
        line.query for line in first.lines
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: task(tmp_path / "c").lines, range(4)))
    assert all(lines == first.lines for lines in found)
    [path] = (tmp_path / "c").glob("sample-*.json")
    assert path.read_bytes() == next((tmp_path / "a").glob("sample-*.json")).read_bytes()


def test_a_sample_outlives_its_data(tmp_path: Path) -> None:
    first = task(tmp_path)
    small = type(mined()).of(mined().rows.select(range(3)))
    again = JudgingTask.open(small, tmp_path, "set", size=60, controls=0.2)
    assert again.lines == first.lines
    assert again.summary == first.summary
    [path] = tmp_path.glob("sample-*.json")
    for text in ("{}", "nothing", '{"lines": [], "drawn": 1}'):
        path.write_text(text)
        with pytest.raises(FormatError, match="Move it away"):
            task(tmp_path)


def test_the_next_item_and_how_far_one_is(tmp_path: Path) -> None:
    own, ann, bob = task(tmp_path), book(tmp_path), book(tmp_path, "bob")
    assert own.next(ann) == own.item(0)
    own.label(ann, 0, "unsure", "hard to say")
    own.label(ann, 2, "true_negative")
    assert own.next(ann) == own.item(1)
    assert own.next(ann, after=1) == own.item(3)
    assert own.next(ann, after=59) == own.item(1)  # round the end
    assert own.next(bob) == own.item(0)
    reloaded = book(tmp_path)
    assert task(tmp_path).next(reloaded) == own.item(1)
    said = own.said(reloaded, 0)
    assert said is not None
    assert (said.label, said.note) == ("unsure", "hard to say")
    assert own.said(bob, 0) is None
    progress = own.progress(ann)
    assert (progress.done, progress.total) == (2, 60)
    assert progress.by_label == {"true_negative": 1, "unsure": 1}
    ann.undo()
    assert own.next(ann, after=1) == own.item(2)
    judge(own, ann)
    assert own.next(ann) is None
    assert own.next(ann, after=5) is None


def test_a_pick_of_the_same_pair_is_no_judgement_of_the_item(tmp_path: Path) -> None:
    own, ann = task(tmp_path), book(tmp_path)
    item = own.item(0)
    ann.add(by_hand("false_negative", query=item.query, document=item.document))
    assert own.next(ann) == item
    assert own.progress(ann).done == 0
    assert own.result(ann).rate.rate is None


def test_the_rate_of_what_was_judged(tmp_path: Path) -> None:
    own, ann = task(tmp_path), book(tmp_path)
    nothing = own.result(ann)
    assert (nothing.rate.rate, nothing.sensitivity, nothing.agreement) == (None, None, ())
    judge(own, ann)
    found = own.result(ann)
    lines = [
        replace(line, label="false_negative" if is_false(own.item(n)) else "true_negative")
        for n, line in enumerate(own.lines)
    ]
    plain = label_rate(Labels(lines))
    assert (found.rate.rate, found.rate.low, found.rate.high, found.rate.n) == (
        plain.rate, plain.low, plain.high, 48,
    )  # fmt: skip
    assert found.rate.low <= 0.2 <= found.rate.high  # type: ignore[operator]
    assert (found.sensitivity, found.controls) == (1.0, 12)
    assert found.sensitivity_low > 0.7
    assert found.progress["ann"].done == 60
    json.dumps(found.to_dict(), allow_nan=False)


def test_half_a_task_is_a_sample_too(tmp_path: Path) -> None:
    """Stopped anywhere, the interval holds the truth: the order has nothing to do with it."""
    held = []
    for seed in range(20):
        own, ann = task(tmp_path, seed=seed), book(tmp_path / str(seed))
        judge(own, ann, upto=30)
        rate = own.result(ann).rate
        assert rate.low is not None
        assert rate.high is not None
        assert rate.details["not_labelled"] > 15
        held.append(rate.low <= 0.2 <= rate.high)
    assert np.mean(held) >= 0.9


def test_agreement_of_every_two(tmp_path: Path) -> None:
    own = task(tmp_path)
    people = {name: book(tmp_path, name) for name in ("ann", "bob", "cy")}
    rng = np.random.default_rng(0)
    said = {name: rng.choice(["false_negative", "true_negative"], 60).tolist() for name in people}
    for name, labels in people.items():
        for number in range(60 if name != "cy" else 10):
            own.label(labels, number, said[name][number])
    found = own.result(people["ann"])
    assert {one.annotators: one.n for one in found.agreement} == {
        ("ann", "bob"): 60, ("ann", "cy"): 10, ("bob", "cy"): 10,
    }  # fmt: skip
    [both] = [one for one in found.agreement if one.annotators == ("ann", "bob")]
    assert both.kappa == pytest.approx(cohens_kappa(said["ann"], said["bob"]))
    assert set(found.by_annotator) == {"ann", "bob", "cy"}
    assert found.progress["cy"].done == 10


def test_another_sample_of_the_set_does_not_lend_its_weights(tmp_path: Path) -> None:
    small, large = task(tmp_path, size=30), task(tmp_path, size=200)
    ann = book(tmp_path)
    judge(large, ann)
    weights = {line.pair: line.weight for line in small.lines}
    shared = [row for row in small.labels(ann) if row.label is not None]
    assert shared
    assert all(row.weight == weights[row.pair] for row in shared)
    assert len(small.labels(ann)) == 30 + len(shared)


def test_what_a_browser_calls_bad_is_bad_in_the_sample(tmp_path: Path) -> None:
    own, ann = task(tmp_path), book(tmp_path)
    judge(own, ann)
    query = next(line.query for line in own.lines if not line.control)
    book(tmp_path, "bob").add(by_hand("bad_query", query=query, document="anything"))
    lost = sum(line.query == query and not line.control for line in own.lines)
    assert own.result(ann).rate.n == 48 - lost
    book(tmp_path, "bob").add(pick(3))
    assert own.result(ann).rate.details["hand_picked"]["negatives"] >= 0


def test_labels_from_the_task_change_what_audit_prints(tmp_path: Path) -> None:
    data = tmp_path / "mined.jsonl"
    mined().rows.to_json(data)
    own, ann = task(tmp_path), book(tmp_path)
    judge(own, ann)
    path = ann.export(tmp_path / "labels.jsonl", unlabelled=own.lines)
    [rate] = json.loads(succeed("audit", data, "--labels", path, "--format", "json").stdout)[
        "rates"
    ]
    found = own.result(ann).rate
    assert (rate["rate"], rate["low"], rate["high"]) == (found.rate, found.low, found.high)


def test_what_a_task_refuses(tmp_path: Path) -> None:
    own, ann = task(tmp_path), book(tmp_path)
    for number in (-1, 60, True):
        with pytest.raises(ParameterError, match="expected a number from 0 to 59"):
            own.item(number)
    with pytest.raises(ParameterError, match="label is 'maybe'"):
        own.label(ann, 0, "maybe")
    with pytest.raises(ParameterError, match="size"):
        task(tmp_path, size=0)
    with pytest.raises(ParameterError, match="identity"):
        JudgingTask.open(mined(), tmp_path, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        JudgingTask.open(mined(), tmp_path / "file", set_identity(mined()))
    assert ann.labels() == []
