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
        return default or ""


def beside(tmp_path: Path, name: str = "queries.jsonl") -> None:
    (tmp_path / name).write_text('{"query": "a", "positive": "b"}\n')


def written(tmp_path: Path, ask: Answers) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(ask_recipe(ask, tmp_path), encoding="utf-8")
    return path


def test_the_defaults_make_a_recipe(tmp_path: Path) -> None:
    beside(tmp_path)
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
    beside(tmp_path)
    ask = Answers(Documents="BeIR/scifact:corpus", Licence=["CC BY 4", "cc-by-4.0"])
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
    beside(tmp_path)
    path = written(tmp_path, Answers())
    (tmp_path / "queries.jsonl").unlink()
    assert "line" in fail("recipe", "check", path)
    beside(tmp_path)
    succeed("recipe", "check", path)


def test_a_file_that_is_not_there_is_asked_for_again(tmp_path: Path) -> None:
    beside(tmp_path, "mine.jsonl")
    ask = Answers(Queries=["./queries.jsonl", "./mine.jsonl"])
    path = written(tmp_path, ask)
    assert any("no such file or folder in the recipe's folder" in one for one in ask.asked)
    succeed("recipe", "check", path)


def test_without_files_the_builtin_collection_is_the_default(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, Answers())).data.builtin == "stdlib-docstrings"


def test_judgements_on_the_hub_need_documents(tmp_path: Path) -> None:
    """Said after all questions, the answers would be lost."""
    ask = Answers(
        Queries="BeIR/scifact:queries", Judgements="BeIR/scifact-qrels",
        Documents=["", "BeIR/scifact:corpus"],
    )  # fmt: skip
    data = load_recipe(written(tmp_path, ask)).data
    assert str(data.corpus) == "BeIR/scifact:corpus"
    assert any("so the documents are needed" in one for one in ask.asked)


def test_yes_or_no_is_one_of_them(tmp_path: Path) -> None:
    ask = Answers(Estimate=["perhaps", "n"])
    assert load_recipe(written(tmp_path, ask)).evaluation.false_negatives == ()
    assert any("'perhaps' is neither yes nor no" in one for one in ask.asked)


def test_a_preset_brings_its_number(tmp_path: Path) -> None:
    assert (
        load_recipe(written(tmp_path, Answers(Strategy="nv-retriever"))).mining.num_negatives == 4
    )


def test_answers_that_end_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    done = CliRunner().invoke(app, ["recipe", "init", str(path)], input="mine\n")
    assert done.exit_code == 1
    assert "the input ended before all questions were answered" in done.output
    assert not path.exists()
