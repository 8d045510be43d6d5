"""A recipe by asking, and the command line of recipes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_collection import fail, succeed
from typer.testing import CliRunner

from hf_hardneg.cli import app
from hf_hardneg.errors import RecipeError
from hf_hardneg.hub.ask import ask_recipe
from hf_hardneg.hub.recipe import load_recipe


class Answers:
    """Answers by a word of the question; the default, or nothing, for the others."""

    def __init__(self, **answers: str | list[str]) -> None:
        self.answers = {
            word: [one] if isinstance(one, str) else one for word, one in answers.items()
        }
        self.asked: list[str] = []

    def __call__(self, question: str, default: str | None) -> str:
        self.asked.append(question)
        line = question.splitlines()[-1]
        for word, left in self.answers.items():
            if line.startswith(word) and left:
                return left.pop(0) if len(left) > 1 else left[0]
        return ""


def written(tmp_path: Path, ask: Answers) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(ask_recipe(ask, tmp_path), encoding="utf-8")
    return path


def test_the_defaults_make_a_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, Answers()))
    assert recipe.name == "my-recipe"
    assert recipe.data.queries is not None
    assert recipe.data.queries.name == "queries.jsonl"
    assert recipe.evaluation.false_negatives == ("hidden",)


def test_answers_go_where_they_belong(tmp_path: Path) -> None:
    ask = Answers(
        Name="sci", Queries="BeIR/scifact:queries@abc", Judgements="BeIR/scifact-qrels",
        Documents="BeIR/scifact:corpus", Strategy="nv-retriever", Negatives="7", Estimate="no",
        Configs="ids, pool", Repository="me/set", Licence="cc-by-sa-4.0", Languages="no, en",
    )  # fmt: skip
    recipe = load_recipe(written(tmp_path, ask))
    assert (recipe.name, recipe.mining.strategy, recipe.mining.num_negatives) == (
        "sci", "nv-retriever", 7)  # fmt: skip
    assert recipe.outputs == ("ids", "pool")
    assert recipe.publish.repository == "me/set"
    assert recipe.publish.language == ("no", "en")
    assert recipe.evaluation.false_negatives == ()


def test_a_licence_is_that_of_the_files(tmp_path: Path) -> None:
    """A set has the licence of its sources: said of the set alone it would stay unknown."""
    ask = Answers(Documents="BeIR/scifact:corpus", Licence="cc-by-4.0")
    data = load_recipe(written(tmp_path, ask)).data
    assert data.queries is not None
    assert data.corpus is not None
    assert (data.queries.name, data.queries.licence) == ("queries.jsonl", "cc-by-4.0")
    assert data.corpus.licence is None


def test_the_builtin_collection_needs_no_more(tmp_path: Path) -> None:
    ask = Answers(Queries="stdlib-docstrings")
    assert load_recipe(written(tmp_path, ask)).data.builtin == "stdlib-docstrings"
    assert not [one for one in ask.asked if one.startswith(("Documents", "Split"))]


def test_a_wrong_answer_is_asked_again_with_the_reason(tmp_path: Path) -> None:
    ask = Answers(Strategy=["bm25+denoisd", "bm25+denoised"], Negatives=["many", "3"])
    recipe = load_recipe(written(tmp_path, ask))
    assert (recipe.mining.strategy, recipe.mining.num_negatives) == ("bm25+denoised", 3)
    assert any("Did you mean 'denoised'?" in one for one in ask.asked)
    assert any("expected a whole number" in one for one in ask.asked)
    with pytest.raises(RecipeError, match=r"mining.strategy: no answer in 5"):
        ask_recipe(Answers(Strategy="denoisd"), tmp_path)


def test_init_and_check_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    answers = "\nstdlib-docstrings\n" + "\n" * 12
    done = CliRunner().invoke(app, ["recipe", "init", str(path)], input=answers)
    assert done.exit_code == 0, done.output
    assert "nothing wrong" in succeed("recipe", "check", path).stdout
    shown = json.loads(
        succeed("recipe", "check", path, "--set", "mining.seed=9", "--format", "json").stdout
    )
    assert shown[0]["mining"]["seed"] == 9
    assert "--set mining.sede" in fail("recipe", "check", path, "--set", "mining.sede=9")
    before = path.read_bytes()
    again = CliRunner().invoke(app, ["recipe", "init", str(path)], input=answers)
    assert again.exit_code == 1
    assert path.read_bytes() == before


def test_check_looks_for_the_files(tmp_path: Path) -> None:
    path = written(tmp_path, Answers())
    assert "line" in fail("recipe", "check", path)
    (tmp_path / "queries.jsonl").write_text('{"query": "a", "positive": "b"}\n')
    succeed("recipe", "check", path)
