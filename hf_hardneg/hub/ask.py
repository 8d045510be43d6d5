"""Writing a recipe by asking for what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_hardneg.errors import RecipeError, listing
from hf_hardneg.hub.recipe_files import overridden
from hf_hardneg.hub.recipe_parts import CONFIGS, recipe_of
from hf_hardneg.hub.recipe_schema import BUILTIN, VERSION
from hf_hardneg.hub.source_names import HUB_FORM, is_hub_id, split_name
from hf_hardneg.hub.yaml_nodes import dump_yaml, node_of, scalar_of

__all__ = ["Ask", "ask_recipe"]

Ask = Callable[[str, str | None], str]
"""Puts a question, with the answer that is taken for an empty one, and returns the answer."""

TRIES = 5
OUTPUTS = "n-tuple, ids, corpus, queries, pool"
HEAD = "# Written by hf-hardneg recipe init. Every key is told in docs/recipes.md.\n"
SMALLEST: dict[str, Any] = {
    "version": VERSION,
    "name": "recipe",
    "data": {"queries": "./queries.jsonl", "corpus": "./corpus.jsonl"},
    "mining": {"strategy": "bm25"},
    "outputs": ["ids"],
}


class _Questions:
    """Asks, checks each answer as a recipe's value, and asks again."""

    def __init__(self, ask: Ask, folder: Path) -> None:
        self._ask, self._folder = ask, folder
        self.answers: dict[str, Any] = {}

    def put(self, key: str, question: str, default: str | None = None, kind: str = "text") -> Any:  # noqa: ANN401
        """Ask for the value of a key; an empty answer without a default leaves it out.

        Args:
            key: such as ``mining.seed``.
            question: in words.
            default: what an empty answer means.
            kind: ``text``, ``number`` or ``list`` (separated by commas).
        """
        why = ""
        for _ in range(TRIES):
            answer = self._ask(f"{why}{question}", default).strip() or (default or "")
            if not answer:
                return None
            try:
                value = _value(answer, kind)
                self._check(key, value)
            except RecipeError as error:
                why = f"{str(error).partition(': ')[2] or error}\n"
                continue
            self.answers[key] = value
            return value
        raise RecipeError(
            f"{key}: no answer in {TRIES} that a recipe can have. Last: {why.strip()}"
        )

    def _check(self, key: str, value: object) -> None:
        base = node_of(SMALLEST, "the answers", "")
        near = {"mining.strategy": value} if key == "mining.strategy" else self._known()
        recipe_of(overridden(base, {**near, key: value}), self._folder, (), {})

    def _known(self) -> dict[str, Any]:
        """Return the answer that others are judged by: settings belong to a strategy."""
        return {k: v for k, v in self.answers.items() if k == "mining.strategy"}


def _value(answer: str, kind: str) -> Any:  # noqa: ANN401
    if kind == "number":
        return scalar_of(answer)
    if kind == "list":
        return [part.strip() for part in answer.split(",") if part.strip()]
    return answer


def ask_recipe(ask: Ask, folder: Path) -> str:
    """Return a recipe, as YAML, from the answers to some questions.

    Args:
        ask: puts a question and returns the answer.
        folder: where the recipe will lie, and its files with it.

    Raises:
        RecipeError: a question had no fitting answer in five, or the answers do not go together.
    """
    questions = _Questions(ask, folder)
    questions.put("name", "Name of the recipe (letters, digits, '.', '_', '-')", "my-recipe")
    _ask_data(questions, ask)
    questions.put("mining.strategy", "Strategy (hf-hardneg strategies lists them)", "bm25")
    questions.put("mining.num_negatives", "Negatives for each row", "5", "number")
    questions.put("mining.seed", "Seed", "0", "number")
    questions.put("outputs", f"Configs to make, of {listing(CONFIGS)}", OUTPUTS, "list")
    answer = ask("Estimate how many negatives are false, by hidden positives? (yes or no)", "yes")
    if (answer.strip() or "yes").lower() in ("y", "yes"):
        questions.answers["evaluation.false_negatives"] = ["hidden"]
    questions.put("publish.repository", "Repository on the Hub, owner/name (empty: later)")
    questions.put("publish.licence", "Licence of the data, as the Hub writes it (empty: unknown)")
    questions.put("publish.language", "Languages, such as en, de (empty: unknown)", None, "list")
    _own_licence(questions.answers)
    values: dict[str, Any] = {"version": VERSION}
    for key, value in questions.answers.items():
        *parts, last = key.split(".")
        place = values
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    recipe_of(node_of(values, "the answers", ""), folder, (), {})
    return HEAD + dump_yaml(values)


def _own_licence(answers: dict[str, Any]) -> None:
    """Say the licence of files with the files: a set has that of its sources, if it is known.

    A data set on the Hub tells its own.
    """
    licence = answers.get("publish.licence")
    for key in ("data.queries", "data.judgements", "data.corpus"):
        name = answers.get(key)
        if licence is not None and name is not None and not is_hub_id(split_name(str(name))[0]):
            answers[key] = {"source": name, "licence": licence}


def _ask_data(questions: _Questions, ask: Ask) -> None:
    form = f"a path in the recipe's folder, {HUB_FORM}"
    queries = questions.put("data.queries", f"Queries: {form}, or {BUILTIN[0]}", "./queries.jsonl")
    if queries in BUILTIN:
        del questions.answers["data.queries"]
        questions.answers["data.builtin"] = queries
        return
    questions.put("data.judgements", f"Judgements: {form} (empty: the queries have positives)")
    questions.put("data.corpus", f"Documents: {form} (empty: a BEIR folder's, or the positives)")
    if "data.judgements" not in questions.answers and is_hub_id(split_name(str(queries))[0]):
        questions.put("data.columns.query", "Column of the queries (empty: found by its name)")
        questions.put("data.columns.positive", "Column of the positives (empty: found)")
    questions.put("data.split", "Split (empty: train, or the only one)")
