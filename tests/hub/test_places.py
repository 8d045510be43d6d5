"""No path of this machine in anything that is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from card_cases import RECIPE, Case
from small_collection import succeed, write_collection
from test_every_stage import RISK
from tiny_models import save_bi_encoder, save_cross_encoder

from hf_hardneg.hub.card import card_text
from hf_hardneg.hub.facts import Ranked, SourceFact
from hf_hardneg.hub.folder import write_publication
from hf_hardneg.hub.places import has_places, names_only
from hf_hardneg.pair_scorer import ScorerNote
from hf_hardneg.risk_model import RiskModel

HOME = "/home/me/models/mini-lm"
CACHED = "/home/me/.cache/huggingface/hub/models--org--encoder/snapshots/0a1b2c"
SEEN = ScorerNote("/srv/ce", "0a1b", None)
INNER = replace(
    RiskModel.from_json(RISK), retriever=f"dense(model='{HOME}')", cross_encoder=SEEN
).recipe()
STRATEGY = f"dense(model={HOME!r}),run(run='~/runs/a b.trec')+risk(model={INNER!r})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HOME, "mini-lm"),
        (CACHED, "org/encoder"),
        ("~/x/model.bin", "model.bin"),
        ("../x/model.bin", "model.bin"),
        ("C:\\Users\\me\\model", "model"),
        (f"dense(model='{HOME}')+top", "dense(model='mini-lm')+top"),
        (f"dense(model='{HOME}'): as {HOME} is", "dense(model='mini-lm'): as mini-lm is"),
        ("org/encoder", "org/encoder"),
        ("./models/x", "./models/x"),
        ("qdrant(url='http://localhost:6333', collection='c')",
         "qdrant(url='http://localhost:6333', collection='c')"),
        ("one / two, and/or 'three/four'", "one / two, and/or 'three/four'"),
    ],
)  # fmt: skip
def test_a_name_instead_of_a_path(case: Case, text: str, expected: str) -> None:
    facts = replace(case.facts, report=replace(case.facts.report, notes=[text]))
    assert names_only(facts).report.notes == [expected]
    assert has_places(text) is (text != expected)


def test_everything_that_is_published(case: Case, tmp_path: Path) -> None:
    report = replace(case.facts.report, strategy=STRATEGY, notes=[f"{HOME}: 3 are too long"])
    models = {"dense": {"model": HOME, "weights": "ab"}, "risk": {"model": CACHED}}
    facts = replace(
        case.facts, report=report,
        recipe={**case.facts.recipe, "strategy": STRATEGY, "models": models},
        sources=(*case.facts.sources, SourceFact("model", HOME)),
        ranking=(Ranked(HOME, {"MRR@10": (0.5, None, None)}, 3),),
        comparison={"model": HOME, "strategies": [{"queries": "/data/me/queries.jsonl"}]},
        audit={"source": "/data/me/mined", "rows": 3, "errors": 0, "warnings": 0, "findings": []},
        command=f"hf-hardneg mine --strategy \"dense(model='{HOME}')\"",
    )  # fmt: skip
    folder = write_publication(tmp_path / "out", case.configs, facts, RECIPE)
    for path in (folder / "README.md", *(folder / "hardneg").glob("*.*")):
        text = path.read_text()
        assert "/home" not in text, path
        assert "/data/me" not in text, path
        assert "/srv" not in text, path
        assert "~/" not in text, path
    told = json.loads((folder / "hardneg/report.json").read_text())
    assert told["recipe"]["models"]["risk"]["model"] == "org/encoder"
    assert told["comparison"]["strategies"][0]["queries"] == "queries.jsonl"
    assert told["audit"]["source"] == "mined"


def test_texts_of_data_and_ids_stay(case: Case) -> None:
    sample = {
        "query": "/etc/passwd",
        "positives": ["'/usr/bin/env'"],
        "negatives": [],
        "scores": [],
    }
    text = card_text(replace(case.facts, samples=(sample,)))
    assert "/etc/passwd" in text
    assert "/usr/bin/env" in text


def test_the_command_card(tmp_path: Path) -> None:
    """A set that was mined with models and data of this machine, and its card from there."""
    beir = write_collection(tmp_path / "beir")
    dense, cross = save_bi_encoder(tmp_path / "bi"), save_cross_encoder(tmp_path / "cross-encoder")
    folder = tmp_path / "mined"
    strategy = f"dense(model='{dense}')+denoised(model='{cross}')"
    succeed("mine", "--queries", beir.folder, "--strategy", strategy, "--num-negatives", 2,
            "--output", folder)  # fmt: skip
    succeed("card", folder)
    text = (folder / "README.md").read_text()
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text
    assert "cross-encoder" in text
    assert "Of models and files on that machine the names are left." in text
