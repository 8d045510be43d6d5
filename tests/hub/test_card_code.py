"""The code of a card runs as it stands there, with small real models in the place of its own."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from card_cases import RECIPE, Case

from hf_hardneg.hub.card_code import BI_ENCODER, CROSS_ENCODER, HERE
from hf_hardneg.hub.folder import write_publication

BLOCK = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
TITLES = ["n-tuple", "triplet", "ids", "labeled-list", "labeled-pair"]


@pytest.fixture(scope="module")
def published(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set that is on this machine alone, so that its card names a folder."""
    facts = replace(case.facts, repository=None)
    place = tmp_path_factory.mktemp("local") / "set"
    return write_publication(place, case.configs, facts, RECIPE)


def run(code: str, place: Path, models: dict[str, Path]) -> dict[str, Any]:
    """Run code of the card, in a namespace of its own, and return that."""
    for name, path in {HERE: place, **models}.items():
        code = code.replace(f'"{name}"', repr(str(path)))
    space: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a trainer that finds no accelerator
        exec(compile(code, "card", "exec"), space)
    return space


def test_loading(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = BLOCK.findall((published / "README.md").read_text())[0]
    assert run(code, published, {})["train"].column_names[:2] == ["anchor", "positive"]


@pytest.mark.parametrize("title", TITLES)
def test_training(
    title: str,
    published: Path,
    case: Case,
    static_model_path: Path,
    cross_encoder_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    text = (published / "README.md").read_text()
    part = re.split(rf"^### .*, from {title}$", text, flags=re.MULTILINE)[1]
    code = BLOCK.findall(part)[0]
    models = {BI_ENCODER: static_model_path, CROSS_ENCODER: cross_encoder_path}
    space = run(code, published, models)
    assert space["trainer"].state.global_step > 0
    if title == "ids":
        # The same rows as n-tuple has, the texts looked up.
        resolved = [list(row.values()) for row in space["train"]]
        assert resolved == [list(row.values()) for row in case.configs["n-tuple"]]
