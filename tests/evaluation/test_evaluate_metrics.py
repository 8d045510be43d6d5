"""The metrics as modules of ``evaluate``: offline, in batches, combined, by two processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.metrics import false_negative_figures

ROOT = Path(__file__).parents[2]
METRICS = ROOT / "hub_recipes" / "metrics"
NAMES = ("mrr_at_k", "false_negative_rate", "hardness")
PREDICTIONS = [
    {"ids": ["a", "b", "c"], "scores": [0.9, 0.5, 0.4]},
    {"ids": ["b", "d"], "scores": [0.3, 0.2]},
    {"ids": ["e"], "scores": [0.1]},
]
REFERENCES = [
    {"ids": ["b"], "scores": [0.8], "judged": ["a", "b"]},
    {"ids": ["b", "x"], "scores": [0.4, 0.2], "judged": ["b", "d", "x"]},
    {"ids": [], "scores": [], "judged": ["e"]},
]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``evaluate.load`` of ours, with a cache of the test's own."""
    import evaluate
    from evaluate import config, loading

    monkeypatch.setattr(config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(config, "HF_METRICS_CACHE", str(tmp_path / "metrics"))
    monkeypatch.setattr(loading, "init_dynamic_modules", lambda *a, **k: _dynamic(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return lambda name, **options: evaluate.load(
        str(METRICS / name), cache_dir=str(tmp_path / "data"), **options
    )


def _dynamic(folder: Path) -> str:
    home = folder / "modules" / f"evaluate_modules_{abs(hash(str(folder)))}"
    home.mkdir(parents=True, exist_ok=True)
    (home / "__init__.py").touch()
    return str(home)


def test_each_by_hand(load: Any) -> None:
    figures = load("mrr_at_k").compute(predictions=PREDICTIONS, references=REFERENCES)
    assert figures["mrr_at_10"] == pytest.approx((1 / 2 + 1) / 2)
    assert (figures["mrr_queries"], figures["mrr_queries_without_relevant"]) == (2, 1)
    first = load("mrr_at_k").compute(predictions=PREDICTIONS, references=REFERENCES, k=1)
    assert first["mrr_at_1"] == 0.5
    figures = load("false_negative_rate").compute(predictions=PREDICTIONS, references=REFERENCES)
    # Judged are a, b; b, d; e. Of these b and b are relevant.
    assert figures["false_negative_rate"] == pytest.approx(2 / 5)
    assert figures["false_negative_rate_left_out"] == 1
    figures = load("hardness").compute(predictions=PREDICTIONS, references=REFERENCES)
    assert (figures["negatives_compared"], figures["distinct_negatives"]) == (5, 5)
    assert figures["harder_than_positive"] == pytest.approx(2 / 5)  # 0.9 > 0.8, 0.3 > 0.2
    json.dumps(figures, allow_nan=False)


def test_plain_lists_and_scores_that_rank(load: Any) -> None:
    metric = load("mrr_at_k")
    assert metric.compute(predictions=[["a", "b"]], references=[["b"]])["mrr_at_10"] == 0.5
    ranked = [{"ids": ["a", "b", "b"], "scores": [None, 0.9, 0.1]}]
    assert metric.compute(predictions=ranked, references=[["a"]])["mrr_at_10"] == 0.5
    assert metric.compute(predictions=[{"ids": [1, 2]}], references=[["2"]])["mrr_at_10"] == 0.5
    figures = load("hardness").compute(
        predictions=[np.array([0.9, 0.5]), [0.2]], references=[[0.8], [0.4]]
    )
    assert figures["harder_than_positive"] == pytest.approx(1 / 3)
    assert figures["reuse_gini"] is None


def test_batches_and_single_queries_are_the_same(load: Any) -> None:
    for name in NAMES:
        metric = load(name)
        whole = metric.compute(predictions=PREDICTIONS, references=REFERENCES)
        metric.add_batch(predictions=PREDICTIONS[:1], references=REFERENCES[:1])
        metric.add_batch(predictions=PREDICTIONS[1:2], references=REFERENCES[1:2])
        metric.add(prediction=PREDICTIONS[2], reference=REFERENCES[2])
        assert metric.compute() == whole


def test_combined(load: Any) -> None:
    import evaluate

    modules = [load(name) for name in NAMES]
    wanted: dict[str, Any] = {}
    for module in modules:
        wanted |= module.compute(predictions=PREDICTIONS, references=REFERENCES)
    together = evaluate.combine([load(name) for name in NAMES])
    assert together.compute(predictions=PREDICTIONS, references=REFERENCES) == wanted
    options = {"k": 1, "temperature": 1.0, "against": "max"}
    changed = together.compute(predictions=PREDICTIONS, references=REFERENCES, **options)
    assert changed["mrr_at_1"] == 0.5
    assert changed["effective_negatives"] > wanted["effective_negatives"]
    together.add_batch(predictions=PREDICTIONS[:2], references=REFERENCES[:2])
    together.add(prediction=PREDICTIONS[2], reference=REFERENCES[2])
    assert together.compute() == wanted


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (["ab"], [["a"]], "expected a list"),
        ([{"id": ["a"]}], [["a"]], "Did you mean 'ids'"),
        ([{"ids": ["a"], "scores": [1.0, 2.0]}], [["a"]], "expected as many"),
        ([{"ids": ["a"], "scores": ["x"]}], [["a"]], "expected numbers"),
        ([[0.5, "a"]], [["a"]], "expected text"),
        ([["a"]], [[]], "relevant documents"),
        ([[1, 2]], [["2"]], "may be ids or scores"),
        ([[0.5]], [["2"]], "expected ids"),
    ],
)
def test_other_inputs_are_refused(
    load: Any, predictions: list[Any], references: list[Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        load("mrr_at_k").compute(predictions=predictions, references=references)


def test_unknown_options_are_refused(load: Any) -> None:
    with pytest.raises(ParameterError, match="Did you mean 'temperature'"):
        load("hardness").compute(predictions=[[0.1]], references=[[0.2]], temprature=1)


def test_no_false_negative_is_not_certainty() -> None:
    rows = [{"ids": ["a"], "scores": []}] * 20
    known = [{"ids": ["b"], "scores": [], "judged": []}] * 20
    figures = false_negative_figures(rows, known)
    assert figures["false_negative_rate"] == figures["false_negative_rate_low"] == 0
    assert 0.05 < float(figures["false_negative_rate_high"] or 0) < 0.2
    nothing = false_negative_figures([{"ids": [], "scores": []}], known[:1])
    assert nothing["false_negative_rate"] is nothing["false_negative_rate_low"] is None


@pytest.mark.parametrize("queries", [1, 4])
def test_queries_that_are_all_alike_are_not_certainty(queries: int) -> None:
    rows = [{"ids": ["a", "b"], "scores": []}] * queries
    known = [{"ids": ["b"], "scores": [], "judged": []}] * queries
    figures = false_negative_figures(rows, known)
    assert figures["false_negative_rate"] == 0.5
    assert float(figures["false_negative_rate_low"] or 0) < 0.35
    assert float(figures["false_negative_rate_high"] or 0) > 0.65


@pytest.mark.parametrize("name", NAMES)
def test_cards(name: str) -> None:
    _, front, body = (METRICS / name / "README.md").read_text(encoding="utf-8").split("---", 2)
    values = yaml.safe_load(front)
    assert {"evaluate", "metric"} <= set(values["tags"])
    assert len(values["short_description"]) <= 60
    assert f"hub_recipes/metrics/{name}" in body


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_the_cards(name: str, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (METRICS / name / "README.md").read_text(), re.S)
    assert len(blocks) == 2
    first, second = blocks
    shown = re.search(r"^(.+)  # (.+)$", first, re.M)
    assert shown is not None
    values: dict[str, Any] = {}
    exec(first, values)
    assert eval(shown[1], values) == float(shown[2])
    exec(second, values)


PROCESS = """
import json, sys, evaluate
name, rank, cache, rows = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
metric = evaluate.load(name, cache_dir=cache, num_process=2, process_id=rank, experiment_id="two")
metric.add_batch(predictions=rows[0][rank::2], references=rows[1][rank::2])
print(json.dumps(metric.compute()))
"""


@pytest.mark.slow
def test_two_processes_are_one(load: Any, tmp_path: Path) -> None:
    wanted = load("mrr_at_k").compute(predictions=PREDICTIONS, references=REFERENCES)
    cache, data = str(tmp_path / "shared"), json.dumps([PREDICTIONS, REFERENCES])
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(METRICS / "mrr_at_k"), str(rank), cache, data],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=100) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert json.loads(outputs[1][0]) is None
    assert json.loads(outputs[0][0]) == wanted
