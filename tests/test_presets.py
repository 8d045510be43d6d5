"""Presets: each is a strategy that runs; its name takes parameters, stages after it, a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from store_cases import hash_model
from tiny_models import save_cross_encoder

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import StrategyError
from hf_hardneg.presets import PRESETS
from hf_hardneg.strategy import check, parse, preset_of

DOCUMENTS = [
    f"passage {number} about {'mail' if number % 3 else 'keys'} and {word}"
    for number, word in enumerate(["door", "lamp", "river", "stone", "cloud"] * 12)
]
ROWS = {
    "query": [f"what about {word}" for word in ("door", "lamp", "river", "stone", "cloud")] * 6,
    "positive": [DOCUMENTS[number] for number in range(30)],
}
NO_MODEL = {"bm25", "random", "margin"}


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, dict(call.arguments)) for call in parse(text).calls]


def options(name: str, cross_encoder: Path) -> dict[str, Any]:
    """Small models for the stages of a preset that have one."""
    stages = parse(PRESETS[name].strategy)
    models = {"dense": hash_model(), "denoised": str(cross_encoder)}
    used = [call.name for call in stages.calls if call.name in models]
    return {"model": models[used[0]]} if len(used) == 1 else {}


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"sparse", "rocketqa"}))
def test_every_preset_mines(name: str, tmp_path: Path) -> None:
    from datasets import Dataset

    own = options(name, save_cross_encoder(tmp_path / "cross-encoder"))
    miner = OfflineMiner(name, corpus=DOCUMENTS, cache_dir=tmp_path / "cache", **own)
    rows = Dataset.from_dict(ROWS)
    if PRESETS[name].num_negatives is not None:
        assert miner.num_negatives == PRESETS[name].num_negatives
    mined = miner.mine(rows)
    report = miner.report(mined)
    assert report.rows_in == len(rows)
    assert len(mined) == len(rows) - report.rows_dropped
    assert report.slots_chosen >= 3 * len(rows)
    assert len(str(report)) > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("distance-weighted(cutoff=0.6)",
         [("dense", {}), ("distance-weighted", {"cutoff": 0.6})]),
        ("simans(a=2)", [("dense", {"top_k": 100}), ("ambiguous", {"scale": "std", "a": 2})]),
        ("ambiguous(end_rank=90)",
         [("dense", {"top_k": 200}),
          ("ambiguous", {"strategy": "uniform", "start_rank": 50, "end_rank": 90})]),
        ("nv-retriever + denoised(threshold=0.3)",
         [("dense", {}), ("margin", {"relative": 0.05}), ("denoised", {"threshold": 0.3})]),
        ("margin(relative=0.1)+random", [("bm25", {}), ("margin", {"relative": 0.1}),
                                         ("random", {})]),
        ("bm25+simans", [("bm25", {}), ("simans", {})]),
        ("bge+near-duplicate", [("dense", {"top_k": 210}),
                                ("rank", {"range_min": 11, "range_max": 211}), ("random", {}),
                                ("near-duplicate", {})]),
    ],
)  # fmt: skip
def test_a_preset_at_the_head(text: str, expected: list[tuple[str, dict[str, Any]]]) -> None:
    assert calls(text) == expected


def test_a_preset_without_a_stage_of_its_name_takes_no_parameters() -> None:
    with pytest.raises(StrategyError, match=r"'nv-retriever' takes no parameters.*dense\+margin"):
        check("nv-retriever(relative=0.1)", {})


def test_a_preset_has_its_place_at_the_head() -> None:
    with pytest.raises(StrategyError, match="unknown stage 'nv-retriever'"):
        check("bm25+nv-retriever", {})


def test_numbers_and_short_rows_are_those_of_the_source_unless_the_user_says() -> None:
    own = {"corpus": DOCUMENTS, "model": hash_model()}
    lighton = OfflineMiner("lighton", **own)
    assert (lighton.num_negatives, lighton.underfilled) == (10, "drop")
    said = OfflineMiner("lighton", num_negatives=3, underfilled="keep", **own)
    assert (said.num_negatives, said.underfilled) == (3, "keep")
    assert OfflineMiner("lighton+random", **own).num_negatives == 5
    assert preset_of(" lighton ") is PRESETS["lighton"]
