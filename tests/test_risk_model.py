from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from hf_hardneg.errors import FormatError, ParameterError, QueryError
from hf_hardneg.pair_scorer import ScorerNote
from hf_hardneg.risk_fit import Pairs, fit_risk, reliability
from hf_hardneg.risk_model import Cut, RiskModel

NAMES = ("score", "log-rank", "constant")


def pairs(seed: int = 0, number: int = 300, queries: int = 20) -> Pairs:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(number, 3)) * [1, 2, 0] + [0, 5, 3]
    labels = rng.random(number) < 1 / (1 + np.exp(1 - values[:, 0] + values[:, 1] - 5))
    groups = rng.integers(0, queries, number).astype(np.uint64) * np.uint64(977)
    weights = rng.choice([1.0, 3.0], number)
    return Pairs(NAMES, values, labels.astype(np.float64), weights, groups)


def by_hand(data: Pairs, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The same regression by scikit-learn alone, of the two signals that vary."""
    share = data.weights / data.weights.sum()
    centre = share @ data.values
    scale = np.sqrt(share @ (data.values - centre) ** 2)
    scaled = ((data.values - centre) / np.where(scale > 1e-9, scale, 1))[:, :2]
    model = LogisticRegression(C=penalty, tol=1e-10, max_iter=5_000)
    model.fit(scaled, data.labels > 0.5, sample_weight=data.weights / data.weights.mean())
    return model.predict_proba(scaled)[:, 1], model.coef_[0]


def test_probabilities_are_those_of_scikit_learn() -> None:
    data = pairs()
    model = fit_risk(data, "judgements", penalty=0.3).model
    expected, coefficients = by_hand(data, 0.3)
    np.testing.assert_allclose(model.probabilities(data.values, NAMES), expected, atol=1e-5)
    np.testing.assert_allclose(model.coefficients[:2], coefficients, rtol=1e-4)
    assert model.coefficients[2] == 0
    assert (model.labels, model.queries, model.penalty_from) == (300, 20, "given")


def test_neither_the_order_of_pairs_nor_the_scale_of_weights_counts() -> None:
    data = pairs()
    one = fit_risk(data, "judgements", seed=3).model
    order = np.random.default_rng(1).permutation(len(data))
    assert fit_risk(data.of(order), "judgements", seed=3).model == one
    again = fit_risk(replace(data, weights=data.weights * 16), "judgements", seed=3).model
    assert again == one
    assert "cross-validation over queries" in one.penalty_from


def test_a_weight_of_three_is_three_pairs_and_a_share_is_both_labels() -> None:
    data = replace(pairs(), weights=np.ones(300))
    thrice = data.of(np.r_[0:300, 0:40, 0:40])
    weighted = replace(data, weights=np.where(np.arange(300) < 40, 3.0, 1.0))
    # C multiplies the sum of losses, and weights are brought to a mean of 1.
    one = fit_risk(thrice, "labels", penalty=1.0).model
    other = fit_risk(weighted, "labels", penalty=380 / 300).model
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-3)
    shares = replace(data, labels=np.where(np.arange(300) < 40, 0.25, data.labels))
    quarter, rest = replace(data, labels=np.ones(300)), replace(data, labels=np.zeros(300))
    parts = [
        replace(quarter.of(np.arange(40)), weights=np.full(40, 0.25)),
        replace(rest.of(np.arange(40)), weights=np.full(40, 0.75)),
        data.of(np.arange(40, 300)),
    ]
    joined = Pairs(
        NAMES, *(np.concatenate([getattr(part, name) for part in parts])
                 for name in ("values", "labels", "weights", "groups"))
    )  # fmt: skip
    one = fit_risk(shares, "labels", penalty=1.0).model
    other = fit_risk(joined, "labels", penalty=300 / 340).model
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-3)


def test_folds_have_not_seen_their_queries() -> None:
    data = pairs()
    fit = fit_risk(data, "judgements", penalty=1.0)
    keys = np.concatenate([part for part, _ in fit.folds])
    assert sorted(keys.tolist()) == np.unique(data.groups).tolist()
    for part, model in fit.folds:
        assert model.labels == int((~np.isin(data.groups, part)).sum())


def test_pairs_with_a_missing_signal_are_left_out_and_have_no_probability() -> None:
    data = pairs()
    data.values[:30, 0] = np.nan
    model = fit_risk(data, "judgements", penalty=1.0).model
    assert model.labels == 270
    assert np.isnan(model.probabilities(data.values, NAMES)).tolist() == [True] * 30 + [False] * 270
    # A signal without a say may be missing.
    data.values[40, 2] = np.nan
    assert not np.isnan(model.probabilities(data.values, NAMES)[40])


@pytest.mark.parametrize("number", [0, 5, 19])
def test_too_few_labels_are_refused_with_their_number(number: int) -> None:
    with pytest.raises(QueryError, match=f"{number} labelled pairs"):
        fit_risk(pairs().of(np.arange(number)), "labels")


def test_labels_of_one_kind_are_refused() -> None:
    data = replace(pairs(), labels=np.zeros(300))
    with pytest.raises(QueryError, match="0 of them relevant"):
        fit_risk(data, "labels")


def test_few_queries_take_a_fixed_penalty_and_say_so() -> None:
    model = fit_risk(replace(pairs(), groups=np.zeros(300, np.uint64)), "labels").model
    assert model.penalty == 1.0
    assert "fixed" in model.penalty_from


def test_all_signals_constant_gives_the_base_rate() -> None:
    data = replace(pairs(), values=np.full((300, 3), 2.0))
    model = fit_risk(data, "labels").model
    share = data.weights @ data.labels / data.weights.sum()
    np.testing.assert_allclose(model.probabilities(data.values, NAMES), share, atol=1e-4)


# -- the file ------------------------------------------------------------------------------------


def fitted() -> RiskModel:
    cut = Cut(0.05, 0.0731, 5, "high probability", 0.1, 90, 5)
    return fit_risk(pairs(), "judgements").model.with_(cuts=(cut,), figures={"brier": 0.1})


def test_json_round_trip(tmp_path: Path) -> None:
    model = fitted()
    path = tmp_path / "risk.json"
    path.write_text(model.to_json(indent=1), encoding="utf-8")
    again = RiskModel.read(path)
    assert again.to_dict() == model.to_dict()
    values = pairs(1).values
    one, other = (m.probabilities(values, NAMES) for m in (model, again))
    np.testing.assert_array_equal(one, other)  # what is written is what is used
    assert again.cut_for(0.05) == model.cuts[0]
    assert again.cut_for(0.1) is None
    recipe = json.loads(model.recipe())
    assert recipe["figures"] == {}
    assert RiskModel.from_json(model.recipe()).cuts == model.cuts
    assert len(model.recipe()) < 1_500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something"}, "no risk model"),
        ({"version": 9}, "version 9"),
        ({"signals": None}, "damaged"),
        ({"centre": [0.0]}, "damaged"),
        ({"scale": [1.0, 0.0, 1.0]}, "damaged"),
        ({"coefficients": [1.0, float("nan"), 0.0]}, "damaged"),
        ({"intercept": "x"}, "damaged"),
        ({"label_frequency": 0}, "damaged"),
        ({"cuts": [{"target": 0.1}]}, "damaged"),
        ({"more": 1}, "damaged"),
        ({"cross_encoder": {"model": "a"}}, "damaged"),
        ({"cross_encoder": {"model": "a", "weights": 1, "max_length": None}}, "damaged"),
        ({"cross_encoder": {"model": "a", "weights": "1", "max_length": "x"}}, "damaged"),
        ({"cross_encoder": "a"}, "damaged"),
    ],
)
def test_damaged_models_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        RiskModel.from_dict({**fitted().to_dict(), **change})


BEFORE = (
    '{"format": "hf-hardneg risk model", "version": 1, "signals": ["score", "log-rank"], '
    '"centre": [0.8, 1.0], "scale": [0.3, 0.5], "coefficients": [1.0, -0.5], "intercept": -1.0, '
    '"penalty": 1.0, "penalty_from": "given", "labels": 20, "relevant": 0.2, "queries": 10, '
    '"origin": "judgements", "label_frequency": 1.0, "cuts": [{"target": 0.05, "max": 0.3, '
    '"least": 2, "promise": "high probability", "delta": 0.1, "queries": 90, '
    '"num_negatives": 5}], "figures": {}, "retriever": ""}'
)
"""As it was written before there were cross-encoders."""


def test_a_model_of_before_is_read_and_its_recipe_stays() -> None:
    model = RiskModel.from_json(BEFORE)
    assert model.cross_encoder is None
    assert model.to_json() == model.recipe() == BEFORE
    model.refuse_other(None)
    with pytest.raises(ParameterError, match="fitted without one"):
        model.refuse_other(ScorerNote("a", "0123", None))


def test_what_is_no_file_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no such file"):
        RiskModel.read(tmp_path / "none.json")
    path = tmp_path / "risk.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="no JSON"):
        RiskModel.read(path)
    with pytest.raises(FormatError, match="no JSON"):
        RiskModel.from_json("{")


def test_other_signals_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"lacks constant and has more beside"):
        fitted().probabilities(np.zeros((1, 3)), ("score", "log-rank", "more"))


def test_label_frequency_divides_and_stays_a_probability() -> None:
    model, values = fitted(), pairs(2).values
    plain = model.probabilities(values, NAMES)
    halved = model.with_(label_frequency=0.5).probabilities(values, NAMES)
    np.testing.assert_allclose(halved, np.minimum(2 * plain, 1))


# -- calibration ---------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_reliability_against_scikit_learn_and_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, weights = rng.random(53), rng.choice([1.0, 4.0], 53)
    y = (rng.random(53) < p).astype(float)
    found = reliability(p, y, weights)
    assert found["brier"] == pytest.approx(brier_score_loss(y, p, sample_weight=weights))
    base = weights @ y / weights.sum()
    assert found["brier_of_base_rate"] == pytest.approx(base * (1 - base), abs=1e-7)
    error = 0.0
    for part in np.array_split(np.argsort(p), 10):
        w = weights[part]
        error += w.sum() / weights.sum() * abs((w @ p[part] - w @ y[part]) / w.sum())
    assert found["error"] == pytest.approx(error, abs=1e-7)
    assert sum(one["pairs"] for one in found["curve"]) == 53


def test_reliability_of_nothing_is_plain_values() -> None:
    found = reliability(np.array([np.nan]), np.array([1.0]), np.array([1.0]))
    assert found == {"pairs": 0, "missing": 1}
