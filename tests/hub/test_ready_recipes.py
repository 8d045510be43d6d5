"""The recipes of the repository: checked, joined with rows of the form that their data has, run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from hf_hardneg.columns import find_columns
from hf_hardneg.corpus import Corpus
from hf_hardneg.hub import hub_data
from hf_hardneg.hub.recipe import check_files, load_recipe
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.source_names import Source
from hf_hardneg.hub.sources_hub import load_data, load_held_out_part
from hf_hardneg.miner import OfflineMiner

FOLDER = Path(__file__).parents[2] / "hub_recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
PARTS = "".join(path.read_text() for path in FOLDER.glob("parts/*.yaml"))
LOCAL = ("stdlib-docstrings", "beir-folder", "own-corpus")


@dataclass(frozen=True)
class Seen:
    """What a data set on the Hub has.

    ``page`` is the page that says so, as it was read in November 2026; where ``sure`` is not set,
    the page is that of a sister data set of the same makers and form.
    """

    columns: dict[str, type]
    splits: tuple[str, ...]
    page: str
    sure: bool = True


BEIR_QUERIES = {"_id": str, "title": str, "text": str}
JUDGED = {"query-id": str, "corpus-id": str, "score": int}
JUDGED_INT = {"query-id": int, "corpus-id": int, "score": int}
PAIR = {"anchor": str, "positive": str}
HUB = "huggingface.co/datasets/"
SCIFACT = f"the card of {HUB}BeIR/scifact (dataset_info)"
MSMARCO = f"{HUB}sentence-transformers/msmarco-corpus README.md"
FIQA = f"the viewer of {HUB}BeIR/fiqa-qrels"

KNOWN: dict[tuple[str, str | None], Seen] = {
    ("sentence-transformers/msmarco-corpus", "query"): Seen(
        {"qid": int, "text": str}, ("train",), MSMARCO
    ),
    ("sentence-transformers/msmarco-corpus", "passage"): Seen(
        {"pid": int, "text": str}, ("train",),
        MSMARCO,
    ),
    ("BeIR/msmarco-qrels", None): Seen(
        JUDGED_INT, ("train", "validation", "test"), FIQA, sure=False
    ),
    ("sentence-transformers/natural-questions", "pair"): Seen(
        # The card's list says "question", its example and the files say "query".
        {"query": str, "answer": str}, ("train",),
        f"{HUB}sentence-transformers/natural-questions README.md",
    ),
    ("mteb/hotpotqa", "queries"): Seen(
        {"_id": str, "text": str}, ("queries",), f"{HUB}mteb/hotpotqa README.md"
    ),
    ("mteb/hotpotqa", "corpus"): Seen(
        BEIR_QUERIES, ("corpus",), f"{HUB}mteb/hotpotqa README.md"
    ),
    ("mteb/hotpotqa", "default"): Seen(
        {"query-id": str, "corpus-id": str, "score": float}, ("train", "dev", "test"),
        f"{HUB}mteb/hotpotqa README.md",
    ),
    ("BeIR/fever", "queries"): Seen(BEIR_QUERIES, ("queries",), SCIFACT, sure=False),
    ("BeIR/fever", "corpus"): Seen(BEIR_QUERIES, ("corpus",), SCIFACT, sure=False),
    ("BeIR/fever-qrels", None): Seen(
        {"query-id": int, "corpus-id": str, "score": int}, ("train", "validation", "test"), FIQA,
        sure=False,
    ),
    ("BeIR/fiqa", "queries"): Seen(BEIR_QUERIES, ("queries",), SCIFACT, sure=False),
    ("BeIR/fiqa", "corpus"): Seen(BEIR_QUERIES, ("corpus",), SCIFACT, sure=False),
    ("BeIR/fiqa-qrels", None): Seen(JUDGED_INT, ("train", "validation", "test"), FIQA),
    ("BeIR/scifact", "queries"): Seen(BEIR_QUERIES, ("queries",), SCIFACT),
    ("BeIR/scifact", "corpus"): Seen(BEIR_QUERIES, ("corpus",), SCIFACT),
    ("BeIR/scifact-qrels", None): Seen(JUDGED_INT, ("train", "test"), FIQA, sure=False),
    ("sentence-transformers/gooaq", "pair"): Seen(
        {"question": str, "answer": str}, ("train",),
        f"{HUB}sentence-transformers/gooaq/viewer; columns: the card of its copy tomaarsen/gooaq",
    ),
    ("sentence-transformers/quora-duplicates", "pair"): Seen(
        PAIR, ("train",), f"{HUB}sentence-transformers/quora-duplicates README.md"
    ),
    ("hotchpotch/mmarco-hard-negatives-reranker-filtered", "arabic-triplet"): Seen(
        {"query": str, "positive": str, "negative": str}, ("train",),
        "a copy of the data set's card (dataset_info)",
    ),
}  # fmt: skip


def sources(recipe: Recipe) -> list[Source]:
    held_out = recipe.evaluation.held_out
    found = [recipe.data.queries, recipe.data.corpus, recipe.data.judgements]
    found += [held_out.queries, held_out.judgements] if held_out else []
    return [source for source in found if source is not None]


def rows_like(seen: Seen) -> DatasetDict:
    """Return four rows with these columns; ids are 1 to 4, and texts differ by their row."""
    columns: dict[str, list[Any]] = {}
    for name, kind in seen.columns.items():
        is_id = "id" in name.replace("-", "_").split("_") or name.endswith("_id")
        if kind is not str or is_id:
            columns[name] = [kind(1 if name == "score" else row) for row in range(1, 5)]
        else:
            columns[name] = [f"{name} of row {row}" for row in range(1, 5)]
    return DatasetDict({split: Dataset.from_dict(columns) for split in seen.splits})


@pytest.fixture
def a_hub_of_that_form(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, config: str | None, *, revision: str | None) -> DatasetDict:
        assert revision is None or len(revision) == 40
        return rows_like(KNOWN[name, config])

    monkeypatch.setattr(hub_data, "load_dataset", load)


def test_all_are_there() -> None:
    names = {path.stem for path in RECIPES}
    assert names == {
        "msmarco-bm25-denoised", "msmarco-nv-retriever", "nq", "hotpotqa", "fever", "fiqa",
        "scifact", "gooaq", "quora", "mmarco", *LOCAL,
    }  # fmt: skip


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_ready_recipe_is_right(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    check_files(recipe)
    copy = tmp_path / "r.yaml"
    copy.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(copy) == recipe
    assert (path.stem in LOCAL) == all(source.is_local for source in sources(recipe))
    for source in sources(recipe):
        if not source.is_local:
            seen = KNOWN[source.name, source.config]
            if not seen.sure:  # then the recipe says so
                assert "not seen" in path.read_text() + PARTS
            if source.split is not None:
                assert source.split in seen.splits
            assert source.revision is None or len(source.revision) == 40


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("a_hub_of_that_form")
def test_its_columns_and_splits_are_those_of_its_data(path: Path) -> None:
    recipe = load_recipe(path)
    if recipe.name.startswith("stdlib"):
        return
    loaded, corpus = load_data(recipe)
    assert corpus is not None
    found = find_columns(loaded.rows.column_names, recipe.data.columns)
    if recipe.data.columns.positive is None:
        assert found.positive_ids is not None
        ids = [name for row in loaded.rows[found.positive_ids] for name in row]
        assert (corpus.rows_of_ids(ids) >= 0).all()
    else:
        assert recipe.data.columns.positive == found.positive
        assert len(corpus) == len(loaded.rows)
    held_out = load_held_out_part(recipe, corpus)
    if held_out is not None:
        held_out.check(corpus)


def test_the_recipe_of_the_docs_is_right(tmp_path: Path) -> None:
    page = (FOLDER.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
    block = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "base.yaml").write_text("publish: {private: true}\n")
    (tmp_path / "r.yaml").write_text(block)
    recipe = load_recipe(tmp_path / "r.yaml")
    assert (recipe.publish.private, recipe.mining.underfilled) == (True, "drop")


@pytest.mark.parametrize("name", ["beir-folder", "own-corpus"])
def test_the_small_ones_run(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    loaded, corpus = load_data(recipe)
    strategy, options = recipe.mining_call()
    miner = OfflineMiner(
        strategy,
        corpus=corpus,
        num_negatives=recipe.mining.num_negatives,
        seed=recipe.mining.seed,
        underfilled=recipe.mining.underfilled,
        query_column=recipe.data.columns.query,
        query_id_column=recipe.data.columns.query_id,
        **options,
    )
    mined = miner.mine(loaded.rows)
    assert len(mined) == 8
    assert {len(names) for names in mined["hard_negative_ids"]} == {3}
    held_out = load_held_out_part(recipe, corpus)
    assert held_out is not None
    assert list(held_out.ids) == ["q9", "q10", "q11", "q12"]


def test_the_built_in_collection_is_loaded() -> None:
    loaded, corpus = load_data(load_recipe(FOLDER / "stdlib-docstrings.yaml"))
    assert isinstance(corpus, Corpus)
    assert len(corpus) == len(loaded.rows) > 200
    assert (corpus.rows_of_ids([row[0] for row in loaded.rows["positive_ids"]]) >= 0).all()
