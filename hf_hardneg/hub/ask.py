"""Writing a recipe by asking for what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_hardneg.errors import RecipeError, did_you_mean, listing
from hf_hardneg.hub.licences import LICENCES
from hf_hardneg.hub.recipe_files import overridden
from hf_hardneg.hub.recipe_parts import CONFIGS, NUM_NEGATIVES, recipe_of
from hf_hardneg.hub.recipe_schema import BUILTIN, VERSION
from hf_hardneg.hub.source_names import HUB_FORM, is_hub_id, split_name
from hf_hardneg.hub.yaml_nodes import dump_yaml, node_of, scalar_of
from hf_hardneg.strategy import brings_corpus, preset_of

__all__ = ["Ask", "ask_recipe"]

Ask = Callable[[str, str | None], str]
"""Puts a question, with the answer that is taken for an empty one, and returns the answer."""

TRIES = 5
YES, NO = ("y", "yes"), ("n", "no")
QUERIES = "./queries.jsonl"
SOURCES = ("data.queries", "data.judgements", "data.corpus")
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

    def put(
        self,
        key: str,
        question: str,
        default: str | None = None,
        kind: str = "text",
        why: str = "",
    ) -> Any:  # noqa: ANN401
        """Ask for the value of a key; an empty answer without a default leaves it out.

        Args:
            key: such as ``mining.seed``.
            question: in words.
            default: what an empty answer means.
            kind: ``text``, ``number`` or ``list`` (separated by commas).
            why: said before the question; with it an answer is needed.
        """
        needed = why
        for _ in range(TRIES):
            before = f"{why}\n" if why else ""
            answer = self._ask(f"{before}{question}", default).strip() or (default or "")
            if not answer and not needed:
                return None
            try:
                value = _value(answer, kind)
                self._check(key, value)
            except RecipeError as error:
                why = str(error).partition(": ")[2] or str(error)
                continue
            self.answers[key] = value
            return value
        raise RecipeError(f"{key}: no answer in {TRIES} that a recipe can have. Last: {why}")

    def yes(self, question: str) -> bool:
        """Ask a question of yes or no; an empty answer is yes."""
        why = ""
        for _ in range(TRIES):
            answer = self._ask(f"{why}{question} (yes or no)", "yes").strip().lower() or "yes"
            if answer in (*YES, *NO):
                return answer in YES
            why = f"{answer!r} is neither yes nor no.\n"
        raise RecipeError(f"{question} No answer of yes or no in {TRIES}. Last: {why.strip()}")

    def there(self, name: str) -> bool:
        """Return whether a file or folder is there beside the recipe."""
        return (self._folder / name).exists()

    def _check(self, key: str, value: object) -> None:
        base = node_of(SMALLEST, "the answers", "")
        near = {"mining.strategy": value} if key == "mining.strategy" else self._known()
        recipe = recipe_of(overridden(base, {**near, key: value}), self._folder, (), {})
        if key in SOURCES and value not in BUILTIN:
            source = getattr(recipe.data, key.removeprefix("data."))
            if source is not None and source.is_local:
                recipe.path(source, key)
        if key == "publish.licence" and value not in LICENCES:
            raise RecipeError(
                f"the answers: {key} is {value!r}, which the Hub does not know."
                f"{did_you_mean(str(value), LICENCES)} Such as mit, apache-2.0, cc-by-4.0; other "
                "for one that has no such name."
            )

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
    _ask_data(questions)
    strategy = questions.put(
        "mining.strategy", "Strategy (hf-hardneg strategies lists them)", "bm25"
    )
    _ask_documents(questions, strategy)
    preset = preset_of(strategy)
    usual = str((preset and preset.num_negatives) or NUM_NEGATIVES)
    questions.put("mining.num_negatives", "Negatives for each row", usual, "number")
    questions.put("mining.seed", "Seed", "0", "number")
    questions.put("outputs", f"Configs to make, of {listing(CONFIGS)}", OUTPUTS, "list")
    if questions.yes("Estimate how many negatives are false, by hidden positives?"):
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
    for key in SOURCES:
        name = answers.get(key)
        if licence is not None and name is not None and not _on_hub(name):
            answers[key] = {"source": name, "licence": licence}


FORM = f"a path in the recipe's folder, {HUB_FORM}"


def _ask_data(questions: _Questions) -> None:
    usual = QUERIES if questions.there(QUERIES) else BUILTIN[0]
    queries = questions.put("data.queries", f"Queries: {FORM}, or {BUILTIN[0]}", usual)
    if queries in BUILTIN:
        del questions.answers["data.queries"]
        questions.answers["data.builtin"] = queries
        return
    questions.put("data.judgements", f"Judgements: {FORM} (empty: the queries have positives)")
    questions.put("data.corpus", f"Documents: {FORM} (empty: a BEIR folder's, or the positives)")
    if "data.judgements" not in questions.answers and _on_hub(queries):
        questions.put("data.columns.query", "Column of the queries (empty: found by its name)")
        questions.put("data.columns.positive", "Column of the positives (empty: found)")
    questions.put("data.split", "Split (empty: train, or the only one)")


def _ask_documents(questions: _Questions, strategy: str) -> None:
    """Ask again for documents where there have to be some."""
    known = questions.answers
    judged = "data.judgements" in known and _on_hub(known["data.queries"])
    if judged and "data.corpus" not in known and not brings_corpus(strategy):
        why = "The judgements name documents by their ids, so the documents are needed."
        questions.put("data.corpus", f"Documents: {FORM}", why=why)


def _on_hub(name: str) -> bool:
    return is_hub_id(split_name(name)[0])
