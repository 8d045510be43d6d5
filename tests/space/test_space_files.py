"""The files of the Space: what the Hub reads in them, and that they use the public API alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "spaces_app"
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@pytest.fixture(scope="module")
def front() -> dict[str, object]:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_the_front_matter(front: dict[str, object]) -> None:
    assert front["sdk"] == "gradio"
    assert {front["colorFrom"], front["colorTo"]} <= COLOURS
    assert len(str(front["short_description"])) <= 60
    assert (FOLDER / str(front["app_file"])).is_file()
    assert front["hf_oauth"] is True
    # openid and profile are always asked for; this is the narrowest that can write labels.
    assert front["hf_oauth_scopes"] == ["contribute-repos"]


def test_the_gradio_of_the_space_is_the_one_that_is_tested(front: dict[str, object]) -> None:
    pinned = re.search(r"^gradio==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    assert front["sdk_version"] == pinned[1]


def test_it_uses_the_public_api_alone() -> None:
    import hf_hardneg.space

    tree = ast.parse((FOLDER / "app.py").read_text(encoding="utf-8"))
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in asked if (node.module or "").startswith("hf_hardneg")]
    assert [node.module for node in ours] == ["hf_hardneg.space"]
    assert {name.name for node in ours for name in node.names} <= set(hf_hardneg.space.__all__)


def test_everybody_s_space_is_not_local() -> None:
    assert "local=False" in (FOLDER / "app.py").read_text(encoding="utf-8")
    assert (FOLDER / "requirements.txt").read_text(encoding="utf-8").startswith("hf-hardneg[")
