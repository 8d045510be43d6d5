"""The data of a recipe: from files, from the Hub, or made on the spot, joined by ids."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, List, Value

from hf_hardneg.beir import join_judgements, queries_file, read_qrels
from hf_hardneg.columns import QUERY_ID_NAMES, QUERY_NAMES, QueryColumns
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, did_you_mean, listing
from hf_hardneg.evaluation.held_out import HeldOut, held_out_of, held_out_split, load_held_out
from hf_hardneg.evaluation.judgements import Grades, grades_from, grades_in
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.hub.hub_data import hub_rows_of, placed
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.source_names import Source
from hf_hardneg.label_lines import label_lines
from hf_hardneg.queries import positives_as_corpus
from hf_hardneg.query_sources import LoadedQueries, load_queries
from hf_hardneg.readers import file_kind, read_records
from hf_hardneg.sources import beir_corpus_file
from hf_hardneg.stdlib_docs import stdlib_collection
from hf_hardneg.strategy import brings_corpus

__all__ = ["load_data", "load_grades", "load_held_out_part", "load_labels"]

TEXT_NAMES = (*QUERY_NAMES, "text")
JUDGED_QUERY = ("query-id", "query_id", "qid")
JUDGED_DOCUMENT = ("corpus-id", "corpus_id", "doc_id", "docid", "pid", "passage_id")
GRADE = ("score", "relevance", "label")
ROWS = 10_000

RECORDS = (".jsonl", ".ndjson", ".csv", ".parquet", ".arrow")
"""Files of judgements with named fields; any other is read as BEIR's or TREC's."""

Judgement = tuple[str, str, float]


def load_data(
    recipe: Recipe, cache_dir: str | os.PathLike[str] | None = None
) -> tuple[LoadedQueries, Corpus | None]:
    """Load the queries with their positives, and the documents.

    Queries and judgements are joined by the queries' ids, wherever they lie; a query without a
    positive is left out, and a note counts it. The joined columns have the names that the recipe
    asks for, else ``query_id``, ``query`` and ``positive_ids``, so that ``recipe.data.columns``
    fits them.

    Args:
        recipe: what to load.
        cache_dir: where the documents are kept.

    Returns:
        The queries, and the documents: those of the recipe, or the positives where it names none.
        ``None`` where the strategy's retriever brings them.

    Raises:
        RecipeError: a source is not there; names the line.
        HardNegError: the data cannot be used, as when it is given on the command line.
    """
    data = recipe.data
    if data.builtin is not None or data.queries is None:
        return _stdlib(cache_dir)
    queries = data.queries
    if data.judgements is not None:
        texts = _texts(recipe, "data.queries", queries)
        judged, split = _judgements(recipe, "data.judgements", data.judgements, data.split)
        joined, notes = join_judgements(texts, judged, str(queries), str(data.judgements))
        loaded = LoadedQueries(_joined(joined, recipe), [*_read(data.judgements, split), *notes])
    elif queries.is_local:
        path = recipe.path(queries, "data.queries")
        with placed(recipe, "data.split" if data.split else "data.queries"):
            loaded = load_queries(path, split=queries.split or data.split)
        if path.is_dir() and queries_file(path):
            loaded = LoadedQueries(_renamed(loaded.rows, recipe), loaded.notes)
    else:
        rows, split = hub_rows_of(recipe, "data.queries", queries, queries.split or data.split)
        loaded = LoadedQueries(rows, _read(queries, split))
    return loaded, _corpus(recipe, loaded, cache_dir)


def _read(source: Source, split: str | None) -> list[str]:
    """Return a note of the split that was read, where it was chosen."""
    return [] if split is None else [f"{source}: the split {split!r} was read."]


def _stdlib(cache_dir: str | os.PathLike[str] | None) -> tuple[LoadedQueries, Corpus]:
    """Return the docstrings of the standard library, each summary with its one known positive."""
    collection = stdlib_collection()
    rows = Dataset.from_dict(
        {
            "query_id": [pair.query_id for pair in collection.pairs],
            "query": [pair.query for pair in collection.pairs],
            "positive_ids": [[pair.positive_id] for pair in collection.pairs],
        }
    )
    return LoadedQueries(rows), Corpus(dict(collection.documents), cache_dir=cache_dir)


def _rows(recipe: Recipe, key: str, source: Source, split: str | None = None) -> Dataset:
    """Load the rows of queries, from a file, a folder or the Hub."""
    if not source.is_local:
        return hub_rows_of(recipe, key, source, source.split or split, "queries")[0]
    path = recipe.path(source, key)
    found = queries_file(path) if path.is_dir() else None
    return load_queries(found or path, split=None if found else source.split or split).rows


def _columns_of(recipe: Recipe, source: Source) -> QueryColumns:
    """Return the columns that the recipe names; held-out queries from elsewhere have their own."""
    own = recipe.data.queries
    same = own is not None and (own.name, own.config) == (source.name, source.config)
    return recipe.data.columns if same else QueryColumns()


def _texts(recipe: Recipe, key: str, source: Source) -> dict[str, str]:
    """Return the texts of queries by their ids."""
    rows, asked = _rows(recipe, key, source), _columns_of(recipe, source)
    identity = _column(recipe, key, rows, asked.query_id, QUERY_ID_NAMES, "the queries' ids")
    text = _column(recipe, key, rows, asked.query, TEXT_NAMES, "the queries' texts")
    texts: dict[str, str] = {}
    for batch in rows.select_columns([identity, text]).iter(ROWS):
        for name, value in zip(batch[identity], batch[text], strict=True):
            if name is None or not isinstance(value, str):
                raise recipe.error(key, f"holds the query {name!r} with the text {value!r}.")
            if str(name) in texts:
                raise recipe.error(key, f"holds two queries with the id {name!r}.")
            texts[str(name)] = value
    return texts


def _column(
    recipe: Recipe, key: str, rows: Dataset, asked: str | None, usual: tuple[str, ...], what: str
) -> str:
    """Return the column that was asked for, or the first of the usual names."""
    names = rows.column_names
    found = asked if asked in names else None
    if asked is None:
        found = next((name for name in usual if name in names), None)
    if found is None:
        wanted = repr(asked) if asked else f"one of {listing(usual)}"
        raise ColumnError(
            f"{recipe.places.get(key, key)}: no column for {what}: expected {wanted}, found "
            f"{listing(names)}.{did_you_mean(asked or '', names)}"
        )
    return found


def _judgements(
    recipe: Recipe, key: str, source: Source, split: str | None
) -> tuple[list[Judgement], str | None]:
    """Return (query id, document id, grade), and the split that they were read from."""
    if source.is_local:
        path = recipe.path(source, key)
        if file_kind(path) not in RECORDS:
            return list(read_qrels(path)), None
        rows, read = Dataset.from_list([dict(one) for one in read_records(path)]), None
    else:
        rows, read = hub_rows_of(recipe, key, source, source.split or split)
    names = [
        _column(recipe, key, rows, None, usual, what)
        for usual, what in (
            (JUDGED_QUERY, "the queries' ids"),
            (JUDGED_DOCUMENT, "the documents' ids"),
            (GRADE, "the grades"),
        )
    ]
    return list(_triples(rows, names, f"{source}")), read


def _triples(rows: Dataset, names: list[str], where: str) -> Iterator[Judgement]:
    for batch in rows.select_columns(names).iter(ROWS):
        for query, document, grade in zip(*(batch[name] for name in names), strict=True):
            number = _number(grade)
            if query is None or document is None or number is None:
                raise FormatError(
                    f"{where}: the judgement {(query, document, grade)!r}; expected two ids and a "
                    "number."
                )
            yield str(query), str(document), number


def _number(grade: object) -> float | None:
    """Return a grade as a number; a CSV file has it as a text."""
    try:
        number = float(grade) if isinstance(grade, int | float | str) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _names(recipe: Recipe) -> dict[str, str]:
    """Return what the joined columns are called."""
    asked = recipe.data.columns
    return {
        "query_id": asked.query_id or "query_id",
        "query": asked.query or "query",
        "positive_ids": asked.positive_ids or "positive_ids",
    }


def _joined(columns: Mapping[str, list[object]], recipe: Recipe) -> Dataset:
    names = _names(recipe)
    text = Value("string")
    kinds = {"query_id": text, "query": text, "positive_ids": List(text)}
    features = Features({names[name]: kind for name, kind in kinds.items()})
    values = {names[name]: columns[name] for name in kinds}
    return Dataset(pa.table(values, features.arrow_schema))


def _renamed(rows: Dataset, recipe: Recipe) -> Dataset:
    """Give the joined columns of a BEIR folder the names that the recipe asks for."""
    changed = {old: new for old, new in _names(recipe).items() if old != new}
    return rows.rename_columns(changed) if changed else rows


def _corpus(
    recipe: Recipe, loaded: LoadedQueries, cache_dir: str | os.PathLike[str] | None
) -> Corpus | None:
    data, source = recipe.data, recipe.data.corpus
    place: Any = None
    if source is not None and source.is_local:
        place = recipe.path(source, "data.corpus")
    elif source is not None:
        place = hub_rows_of(recipe, "data.corpus", source, source.split, "corpus")[0]
    elif brings_corpus(recipe.mining.strategy):
        return None
    elif data.queries is not None and data.queries.is_local:
        folder = recipe.path(data.queries, "data.queries")
        place = folder if folder.is_dir() and beir_corpus_file(folder) else None
    if place is None:
        return Corpus(positives_as_corpus([loaded.rows], data.columns), cache_dir=cache_dir)
    asked = data.documents
    return Corpus(
        place,
        id_column=asked.id,
        text_column=asked.text,
        title_column=asked.title,
        cache_dir=cache_dir,
    )


def load_grades(recipe: Recipe) -> Grades | None:
    """Load the deeper judgements of a recipe's evaluation; ``None`` if it names none.

    Raises:
        RecipeError: they are not there.
        FormatError: a grade is no whole number.
    """
    source, key = recipe.evaluation.judgements, "evaluation.judgements"
    if source is None:
        return None
    if source.is_local:
        return grades_in(recipe.path(source, key))
    return grades_from(_judgements(recipe, key, source, None)[0], str(source))


def load_labels(recipe: Recipe) -> Labels | None:
    """Load the labels of a recipe's evaluation; ``None`` if it names none.

    Raises:
        RecipeError: they cannot be read; names the line of the recipe, and that of the file.
    """
    path = recipe.evaluation.labels
    if path is None:
        return None
    with placed(recipe, "evaluation.labels"):
        # Named as the recipe names it: what is published tells of no other folder.
        return Labels(label_lines(recipe.path(path, "evaluation.labels")), path.as_posix())


def load_held_out_part(recipe: Recipe, corpus: Corpus | None) -> HeldOut | None:
    """Load the held-out queries of a recipe; ``None`` if it names none.

    Args:
        recipe: what to load.
        corpus: gives ids to positives that are given as texts.

    Raises:
        RecipeError: a source is not there.
        HardNegError: the data cannot be used.
    """
    part, key = recipe.evaluation.held_out, "evaluation.held_out"
    if part is None:
        return None
    if part.judgements is not None:
        texts = _texts(recipe, f"{key}.queries", part.queries)
        judged, _ = _judgements(recipe, f"{key}.judgements", part.judgements, part.split)
        return held_out_of(texts, judged, str(part.queries), str(part.judgements))
    if part.queries.is_local:
        path = recipe.path(part.queries, f"{key}.queries")
        if path.is_dir() and queries_file(path):
            with placed(recipe, f"{key}.split" if part.split else f"{key}.queries"):
                return load_held_out(path, split=part.split or _other_split(recipe, path))
    rows = _rows(recipe, f"{key}.queries", part.queries, part.split)
    return load_held_out(rows, corpus=corpus, columns=_columns_of(recipe, part.queries))


def _other_split(recipe: Recipe, folder: Path) -> str:
    """Return a split of a BEIR folder that is not mined."""
    return held_out_split(folder, recipe.data.split)
