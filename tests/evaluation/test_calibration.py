from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from small_collection import fail, invoke, succeed, write_lines, write_qrels
from tiny_models import save_cross_encoder

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import FormatError, ParameterError, QueryError, StrategyError
from hf_hardneg.evaluation.calibration import calibrate
from hf_hardneg.evaluation.calibration_data import CalibrationSet, calibration_set
from hf_hardneg.evaluation.calibration_report import Choice
from hf_hardneg.evaluation.decisions import Decision, measure, outcome_of
from hf_hardneg.evaluation.label_cases import LabelCases
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.pair_scorer import PairScorer
from hf_hardneg.rates import wilson
from hf_hardneg.risk_model import RiskModel

TOPICS, EACH, QUERIES, N = 12, 14, 120, 3


@dataclass
class Topics:
    """Documents about a topic with words of others; queries ask for one; all of it is judged."""

    folder: Path
    documents: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, list[str]]

    def rows(self, known: int | None = 1) -> Dataset:
        """The queries with so many of their positives, ``None`` for all."""
        return Dataset.from_dict(
            {
                "query_id": list(self.queries),
                "query": list(self.queries.values()),
                "positive_ids": [self.relevant[name][:known] for name in self.queries],
            }
        )


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Topics:
    folder = tmp_path_factory.mktemp("topics") / "beir"
    folder.mkdir()
    draw = random.Random(5)
    words = [[f"t{topic}w{place}" for place in range(8)] for topic in range(TOPICS)]
    every = [word for own in words for word in own]
    documents, about = {}, {}
    for number in range(TOPICS * EACH):
        topic = number % TOPICS
        text = draw.choices(words[topic], k=draw.randint(3, 9)) + draw.choices(every, k=14)
        documents[f"d{number}"] = " ".join(text)
        about[f"d{number}"] = topic
    queries, relevant = {}, {}
    for number in range(QUERIES):
        topic = number % TOPICS
        queries[f"q{number}"] = " ".join(draw.sample(words[topic], 3)) + f" n{number}"
        own = [name for name, one in about.items() if one == topic]
        relevant[f"q{number}"] = draw.sample(own, len(own))
    write_lines(folder / "corpus.jsonl", [{"_id": k, "text": v} for k, v in documents.items()])
    write_lines(folder / "queries.jsonl", [{"_id": k, "text": v} for k, v in queries.items()])
    write_qrels(folder / "qrels" / "test.tsv", relevant)
    write_qrels(folder / "qrels" / "train.tsv", {k: v[:1] for k, v in relevant.items()})
    return Topics(folder, documents, queries, relevant)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def data(topics: Topics, home: Path) -> CalibrationSet:
    return from_judgements(topics, home)


def from_judgements(topics: Topics, home: Path, **options: Any) -> CalibrationSet:
    given = {"judgements": topics.folder / "qrels" / "test.tsv", **options}
    return calibration_set(
        "bm25@40", topics.rows(), str(topics.folder), cache_dir=home, **given
    )  # fmt: skip


def test_relevance_is_what_the_judgements_say(topics: Topics, data: CalibrationSet) -> None:
    names = list(topics.documents)
    for line, query in enumerate(data.queries.ids):
        for slot in np.flatnonzero(data.candidates.filled[line]):
            document = names[data.candidates.rows[line, slot]]
            assert data.relevance[line, slot] == (document in topics.relevant[query])
            known = document == topics.relevant[query][0]
            assert data.eligible[line, slot] == (not known)
            assert data.weights[line, slot] == (not known)
    assert (data.complete, data.origin) == (True, "judgements")


def test_an_outcome_is_what_mining_gives(topics: Topics, data: CalibrationSet, home: Path) -> None:
    mask = data.candidates.ranks > 4
    outcome = outcome_of(data, Decision(4, "rank(range_min=5)", mask), N)
    miner = OfflineMiner(
        "bm25@40+rank(range_min=5)", corpus=str(topics.folder), num_negatives=N, cache_dir=home
    )
    mined = miner.mine(topics.rows())
    false = {
        row["query_id"]: sum(one in topics.relevant[row["query_id"]] for one in row[IDS])
        for row in mined
    }
    order = np.argsort(data.queries.keys)
    assert outcome.false.tolist() == [false[data.queries.ids[line]] for line in order]
    measured = measure(outcome, N)
    ranks = [rank for row in mined for rank in row["hard_negative_ranks"]]
    assert measured.mean_rank == pytest.approx(np.mean(ranks))
    assert measured.negatives == len(ranks)
    assert measured.rate == pytest.approx(sum(false.values()) / len(ranks))


def test_no_false_negative_is_not_none_there(topics: Topics, data: CalibrationSet) -> None:
    outcome = outcome_of(data, Decision(0, "", (data.relevance == 0) & (data.weights > 0)), N)
    measured = measure(outcome, N, interval=True)
    assert measured.rate == measured.low == 0
    # As if each of the 120 queries were one case.
    assert measured.high == pytest.approx(wilson(0, QUERIES)[1])


IDS = "hard_negative_ids"


def test_what_is_certified_holds_and_what_is_printed_mines_it(
    topics: Topics, data: CalibrationSet, home: Path, tmp_path: Path
) -> None:
    found = calibrate(data, [0.3, 0.001], num_negatives=N)
    easy, hard = found.met
    assert found.queries == {"fit": 36, "calibrate": 48, "held_out": 36}
    assert easy.certified is not None
    assert easy.certified.held_out.served >= 0.95
    rate = easy.certified.held_out.rate
    assert rate is not None
    low, _ = wilson(round(rate * 36 * N), 36 * N)
    assert low <= 0.3
    assert hard.certified is None
    assert "cannot certify it" in found.verdict(hard)
    assert hard.queries_needed > 48
    assert easy.queries_needed <= 48
    # The best estimate is at least as hard as what is promised.
    assert easy.estimate is not None
    assert (easy.estimate.seen.mean_rank or 0) <= (easy.certified.seen.mean_rank or 0)
    model = tmp_path / "risk.json"
    model.write_text(found.model.to_json(), encoding="utf-8")
    assert easy.risk_certified is not None
    stage = easy.risk_certified.stage(str(model))
    by_cut, by_target = (
        OfflineMiner(
            f"bm25@40+{text}", corpus=str(topics.folder), num_negatives=N, cache_dir=home
        ).mine(topics.rows())
        for text in (stage, f"risk(target=0.3, model={str(model)!r})")
    )
    assert list(by_cut[IDS]) == list(by_target[IDS])
    wrong = sum(
        one in topics.relevant[row["query_id"]] for row in by_cut for one in row[IDS]
    ) / sum(map(len, by_cut[IDS]))
    assert wrong <= 0.3
    json.loads(found.to_json())


def test_a_promise_is_said_to_be_none_for_another_retriever(
    topics: Topics, data: CalibrationSet, home: Path
) -> None:
    model = calibrate(data, [0.3], num_negatives=N).model
    for depth, other in ((40, False), (30, True)):
        miner = OfflineMiner(
            f"bm25@{depth}+risk", corpus=str(topics.folder), num_negatives=N, cache_dir=home,
            target=0.3, model=model.to_json(),
        )  # fmt: skip
        notes = " ".join(miner.report(miner.mine(topics.rows())).notes)
        assert "is promised" in notes
        assert ("nothing is promised unless" in notes) == other


def test_the_same_input_gives_the_same_result_in_any_order(
    topics: Topics, data: CalibrationSet, home: Path
) -> None:
    one = calibrate(data, [0.3], num_negatives=N, seed=4)
    turned = topics.rows().select(range(QUERIES)[::-1])
    again = calibration_set(
        "bm25@40", turned, str(topics.folder), cache_dir=home,
        judgements=topics.folder / "qrels" / "test.tsv",
    )  # fmt: skip
    assert calibrate(again, [0.3], num_negatives=N, seed=4).to_json() == one.to_json()
    assert calibrate(data, [0.3], num_negatives=N, seed=5).model != one.model


def test_hidden_positives(topics: Topics, home: Path) -> None:
    data = calibration_set("bm25@40", topics.rows(None), str(topics.folder), cache_dir=home)
    assert data.origin == "hidden positives"
    assert data.queries.positives_per_query.tolist() == [1] * QUERIES
    found = calibrate(data, [0.3], num_negatives=N)
    assert found.met[0].estimate is not None
    with pytest.raises(QueryError, match="no query has two known positives"):
        calibration_set("bm25@40", topics.rows(1), str(topics.folder), cache_dir=home)


# -- labels --------------------------------------------------------------------------------------


def write_labels(topics: Topics, data: CalibrationSet, path: Path) -> Path:
    """A sample of the candidates, weighted by one over the chance of being drawn."""
    draw, names, lines = random.Random(1), list(topics.documents), []
    for line, query in enumerate(data.queries.ids):
        for slot in np.flatnonzero(data.eligible[line]):
            chance = 0.9 if slot < 10 else 0.3
            if draw.random() < chance:
                document = names[data.candidates.rows[line, slot]]
                relevant = document in topics.relevant[query]
                label = "false_negative" if relevant else "true_negative"
                lines.append({"query_id": query, "document_id": document, "label": label,
                              "weight": 1 / chance})  # fmt: skip
    more = [
        {**lines[0], "document_id": "open", "label": None},
        {**lines[0], "document_id": "hard", "label": "unsure"},
        # All pairs of a bad query are left out: this one is of a query of its own.
        {**lines[0], "query_id": "asks nothing", "document_id": "bad", "label": "bad_query"},
        {**lines[0], "label": "false_negative", "control": True},
    ]
    return write_lines(path, [*lines, *more])


def test_labels_of_a_sample_give_the_rates_of_all(
    topics: Topics, data: CalibrationSet, home: Path, tmp_path: Path
) -> None:
    path = write_labels(topics, data, tmp_path / "labels.jsonl")
    some = from_judgements(topics, home, judgements=None, labels=path)
    assert not some.complete
    mask = data.candidates.ranks > 2
    whole = measure(outcome_of(data, Decision(2, "", mask), N), N)
    part = measure(outcome_of(some, Decision(2, "", mask), N), N)
    assert part.rate == pytest.approx(whole.rate, abs=0.05)
    assert (part.negatives, part.mean_rank) == (whole.negatives, whole.mean_rank)
    found = calibrate(some, [0.3], num_negatives=N)
    assert found.met[0].promise == "asymptotic"
    assert found.met[0].average is None
    assert found.met[0].certified is not None
    assert "normal approximation" in found.verdict(found.met[0])
    for why in ("bad query", "known positives mixed in", "not labelled", "unsure"):
        assert f"1 pairs of the labels left out: {why}." in found.notes


def test_labels_of_two_people_count_with_their_mean(
    topics: Topics, home: Path, tmp_path: Path
) -> None:
    """An open line takes no label back, and a later one of the same person replaces the first."""
    own = {"query_id": "q0", "document_id": topics.relevant["q0"][1]}
    lines = [
        {**own, "annotator": "a", "label": 0}, {**own, "annotator": "b", "label": 0},
        {**own, "annotator": "a", "label": 1}, {**own, "annotator": "b", "label": None},
    ]  # fmt: skip
    path = write_lines(tmp_path / "labels.jsonl", lines)
    found = from_judgements(topics, home, judgements=None, labels=path)
    assert found.relevance[np.isfinite(found.relevance)].tolist() == [0.5]
    assert "A pair with labels of several annotators counts with their mean." in found.notes


@pytest.mark.parametrize("kind", ["pool", "texts"])
def test_from_a_sample_to_a_decision(kind: str, topics: Topics, home: Path, tmp_path: Path) -> None:
    """``sample``, labels filled in, the rate, and ``calibrate`` by the same file."""
    miner = OfflineMiner("bm25@40", corpus=str(topics.folder), num_negatives=12, cache_dir=home)
    drawn_from = tmp_path / "data"
    if kind == "pool":
        pool = miner.retrieve(topics.rows())
        pool.save_to_disk(str(drawn_from))
        lists = [[f"d{row}" for row in rows] for rows in pool["candidate_rows"]]
    else:  # without an id of anything: the sample makes some, and the texts are what counts
        mined = miner.mine(topics.rows(), output_format="columns")
        lists = mined["hard_negative_ids"]
        bare = Dataset.from_dict({
            "query": mined["query"], "negatives": mined["hard_negatives"],
            "positive": [topics.documents[own[0]] for own in mined["positive_ids"]],
        })  # fmt: skip
        bare.to_json(str(drawn_from := tmp_path / "data.jsonl"))
    file = tmp_path / "labels.jsonl"
    succeed("sample", drawn_from, "--corpus", topics.folder, "--size", 1200, "--output", file)
    names = {text: name for name, text in topics.documents.items()}
    asked = {text: name for name, text in topics.queries.items()}
    drawn = Labels.read(file)
    filled = []
    for row in drawn:
        relevant = names[row.document] in topics.relevant[asked[row.query]]
        filled.append(replace(row, label="false_negative" if relevant else "true_negative"))
    assert Labels(filled).write(file, overwrite=True) == file
    rate = label_rate(Labels.read(file))
    known = {name: {topics.relevant[name][0]} for name in topics.queries}
    pairs = [
        document in topics.relevant[name]
        for name, own in zip(topics.queries, lists, strict=True)
        for document in own
        if document not in known[name]
    ]
    assert rate.n == sum(not row.control for row in drawn)
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low <= np.mean(pairs) <= rate.high
    assert rate.rate == pytest.approx(np.mean(pairs), abs=0.05)
    assert rate.details["controls"]["sensitivity"] == 1
    values = json.loads(
        succeed(
            "calibrate", "--queries", topics.folder, "--split", "train", "--strategy", "bm25@40",
            "--labels", file, "--num-negatives", N, "--target-fnr", 0.4, "--cache-dir", home,
            "--format", "json",
        ).stdout
    )  # fmt: skip
    used = sum(not row.control for row in drawn)
    assert any(f"{used:,} of {used:,} labelled pairs are" in note for note in values["notes"])
    assert values["origin"] == "labels"


def few_labels(topics: Topics, data: CalibrationSet, path: Path) -> Path:
    """The label of every twenty-ninth candidate."""
    names, lines = list(topics.documents), []
    for line, query in enumerate(data.queries.ids):
        for slot in np.flatnonzero(data.eligible[line]):
            if (line + 3 * slot) % 29:
                continue
            document = names[data.candidates.rows[line, slot]]
            label = "false_negative" if document in topics.relevant[query] else "true_negative"
            lines.append({"query_id": query, "document_id": document, "label": label, "weight": 29})
    return write_lines(path, lines)


def test_few_labels_without_a_false_negative_promise_little(
    topics: Topics, data: CalibrationSet, home: Path, tmp_path: Path
) -> None:
    path = few_labels(topics, data, tmp_path / "labels.jsonl")
    some = from_judgements(topics, home, judgements=None, labels=path)
    assert (some.weights > 0).sum() < 200
    # Of 48 calibration queries' 144 negatives some five have a label.
    for met in calibrate(some, [0.001, 0.01, 0.05], num_negatives=N).met:
        assert met.certified is None
        assert met.estimate is not None


def test_labels_count_as_for_the_rate_in_any_order(tmp_path: Path) -> None:
    def line(
        annotator: str, label: object, document: str = "d0", query: str = "q0"
    ) -> dict[str, Any]:
        return {"query_id": query, "document_id": document, "label": label, "annotator": annotator}

    lines = [
        line("a", "false_negative"), line("b", "true_negative"), line("c", "unsure"),
        line("a", 1, "d1", "q1"), line("b", "bad_query", "d3", "q1"), line("a", 0.25, "d2"),
    ]  # fmt: skip
    for order in (lines, lines[::-1]):
        labels = Labels.read(write_lines(tmp_path / "labels.jsonl", order))
        decided = {case.label.document_id: case.value for case in LabelCases.of(labels).decided}
        assert decided == {"d0": 0.5, "d2": 0.25}


def test_labels_of_a_set_without_ids_are_found_by_their_texts(
    topics: Topics, home: Path, tmp_path: Path
) -> None:
    records = [
        {"query": topics.queries["q0"], "document": topics.documents[name], "label": 1,
         "query_id": "q-made", "document_id": f"d-{number}"}
        for number, name in enumerate(topics.relevant["q0"][1:])
    ]  # fmt: skip
    path = write_lines(tmp_path / "labels.jsonl", records)
    found = from_judgements(topics, home, judgements=None, labels=path)
    assert (found.relevance == 1).sum() > 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: no JSON"),
        ('{"query_id": "q0", "document_id": "d0"}', "field 'label'"),
        ('{"query_id": "q0", "document_id": "d0", "label": 2}', "label is 2"),
        ('{"query_id": "q0", "document_id": "d0", "label": "yes"}', "label is 'yes'"),
        ('{"query_id": "q0", "document_id": "d0", "label": true}', "label is True"),
        ('{"query_id": "q0", "document_id": "d0", "label": 1, "weight": 0}', "weight is 0"),
        ('{"document_id": "d0", "label": 1}', "no query or no document"),
    ],
)
def test_damaged_labels(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        Labels.read(path)


def test_labels_that_do_not_fit(topics: Topics, home: Path, tmp_path: Path) -> None:
    def of(*records: dict[str, Any]) -> CalibrationSet:
        path = write_lines(tmp_path / "labels.jsonl", list(records))
        return from_judgements(topics, home, judgements=None, labels=path)

    with pytest.raises(QueryError, match="names 1 document ids that are not in the corpus"):
        of({"query_id": "q0", "document_id": "none", "label": 1})
    with pytest.raises(QueryError, match="none of the 1 labelled pairs"):
        of({"query_id": "nobody", "document_id": "d0", "label": 1})
    with pytest.raises(QueryError, match="holds no labelled pair"):
        of({"query_id": "q0", "document_id": "d0", "label": None})
    few = topics.relevant["q0"][1:4]
    data = of(*({"query_id": "q0", "document_id": name, "label": 1} for name in few))
    with pytest.raises(QueryError, match="1 queries have labelled candidates; expected at least"):
        calibrate(data, [0.1])


def test_judgements_that_do_not_fit(topics: Topics, home: Path, tmp_path: Path) -> None:
    path = write_qrels(tmp_path / "x" / "a.tsv", {"q0": ["d0", "none"]})
    with pytest.raises(QueryError, match="names 1 document ids"):
        from_judgements(topics, home, judgements=path)
    path = write_qrels(tmp_path / "x" / "b.tsv", {"nobody": ["d0"]})
    with pytest.raises(QueryError, match="judges none of the 120 queries"):
        from_judgements(topics, home, judgements=path)


def test_bad_parameters(topics: Topics, data: CalibrationSet, home: Path) -> None:
    with pytest.raises(StrategyError, match="the retriever part alone"):
        calibration_set("bm25@40+margin", topics.rows(), str(topics.folder), cache_dir=home)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        calibrate(data, [0.0])
    with pytest.raises(ParameterError, match="three shares"):
        calibrate(data, [0.1], parts=(0.5, 0.5, 0.5))
    with pytest.raises(QueryError, match="10 labelled pairs"):
        calibrate(data, [0.1], fit_on=10)


# -- the command ---------------------------------------------------------------------------------


def test_the_command(topics: Topics, home: Path, tmp_path: Path) -> None:
    common = ("calibrate", "--queries", topics.folder, "--split", "train", "--strategy", "bm25@40",
              "--judgements", topics.folder / "qrels" / "test.tsv", "--num-negatives", N,
              "--target-fnr", 0.3, "--cache-dir", home)  # fmt: skip
    model, figure = tmp_path / "risk.json", tmp_path / "curves.svg"
    shown = succeed(*common, "--save", model, "--figure", figure).stdout
    words = " ".join(shown.split())
    assert "At most 30.0% false negatives is promised with a chance of 90%" in words
    assert "Brier score" in words
    assert "bm25@40+" in words
    assert RiskModel.read(model).origin == "judgements"
    assert "</svg>" in figure.read_text()
    values = json.loads(succeed(*common, "--format", "json").stdout)
    assert values["targets"][0]["certified"]["strategy"].startswith("bm25@40+")
    assert values["saved"] is None
    assert len(values["curves"]) == 7


def test_the_command_with_a_cross_encoder(topics: Topics, home: Path, tmp_path: Path) -> None:
    """What is printed mines, and the file names the model without a path."""
    encoder = save_cross_encoder(tmp_path / "models" / "checkpoint")
    common = ("calibrate", "--queries", topics.folder, "--split", "train", "--strategy", "bm25@15",
              "--judgements", topics.folder / "qrels" / "test.tsv", "--num-negatives", N,
              "--target-fnr", 0.4, "--cache-dir", home, "--format", "json")  # fmt: skip
    given = ("--cross-encoder", encoder, "--max-length", 48, "--batch-size", 16)
    file = tmp_path / "risk.json"
    values = json.loads(succeed(*common, *given, "--save", file).stdout)
    model = RiskModel.read(file)
    assert model.signals[-2:] == ("cross-encoder", "cross-encoder-difference")
    assert model.cross_encoder == PairScorer(encoder, max_length=48).note()
    assert str(encoder) not in file.read_text(encoding="utf-8")
    assert values["model"]["cross_encoder"]["model"] == "checkpoint"
    assert values["cross_encoder"] == {
        "cross_encoder": str(encoder), "max_length": 48, "batch_size": 16
    }  # fmt: skip
    best = values["targets"][0]["families"]["risk, every query served"]["estimate"]["stage"]
    choice = Choice("risk", 0.5, best, None, None, certified=False)  # type: ignore[arg-type]
    stage = choice.stage(str(file), values["cross_encoder"])
    options: dict[str, Any] = {
        "corpus": str(topics.folder), "num_negatives": N, "cache_dir": home
    }  # fmt: skip
    mined = OfflineMiner(f"bm25@15+{stage}", **options).mine(topics.rows())
    assert sum(map(len, mined[IDS])) > QUERIES
    bare = f"bm25@15+{choice.stage(str(file))}"
    with pytest.raises(ParameterError, match="none is given"):
        OfflineMiner(bare, **options)


def test_a_cross_encoder_scores_for_fit_and_decision_alike(
    topics: Topics, data: CalibrationSet, tmp_path: Path
) -> None:
    """What says which candidates are relevant becomes the signal that counts."""
    encoder = save_cross_encoder(tmp_path / "checkpoint")
    scorer = PairScorer(encoder, cache_dir=tmp_path)
    texts = {text: name for name, text in topics.documents.items()}
    names = {text: name for name, text in topics.queries.items()}

    def oracle(pairs: list[tuple[str, str]]) -> np.ndarray:
        draw = np.random.default_rng(0)
        hits = [texts[document] in topics.relevant[names[query]] for query, document in pairs]
        return (np.where(hits, 2.0, -2.0) + draw.normal(0, 1, len(pairs))).astype(np.float32)

    scorer.predict = oracle  # type: ignore[method-assign]
    plain = calibrate(data, [0.3], num_negatives=N)
    given = calibrate(data, [0.3], num_negatives=N, cross_encoder=scorer)
    held = [one.model.figures["held_out"]["brier"] for one in (plain, given)]
    assert held[1] < 0.5 * held[0]
    best = [one.met[0].risk_estimate for one in (plain, given)]
    assert best[0] is not None
    assert best[1] is not None
    assert (best[1].seen.mean_rank or 0) < (best[0].seen.mean_rank or 0)
    with pytest.raises(ParameterError, match="activation='sigmoid'"):
        calibrate(data, [0.3], cross_encoder=PairScorer(encoder, activation="sigmoid"))


def test_nothing_meets_it(topics: Topics, home: Path) -> None:
    shown = succeed(
        "calibrate", "--queries", topics.folder, "--split", "test", "--strategy", "bm25@6",
        "--target-fnr", 0.01, "--cache-dir", home,
    ).stdout  # fmt: skip
    words = " ".join(shown.split())
    assert "Nothing that serves 95% of the rows meets 1.0%" in words
    assert "Retrieve deeper" in words
    assert "The lowest rate that any reaches is" in words


def test_the_command_refuses_before_it_works(topics: Topics, tmp_path: Path) -> None:
    common = ("calibrate", "--queries", topics.folder)
    assert "one of them" in fail(*common, "--labels", "a", "--judgements", "b")
    lost = fail(*common, "--max-length", 8, "--device", "cpu")
    assert "--max-length, --device is given without --cross-encoder" in lost
    assert "no/such-model" in fail(*common, "--cross-encoder", "no/such-model")
    assert "expected a .svg or .png" in fail(*common, "--figure", "a.pdf")
    assert "expected the name of a .json file" in fail(*common, "--save", tmp_path)
    assert invoke("calibrate").exit_code == 2
