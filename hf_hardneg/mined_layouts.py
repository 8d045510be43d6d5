"""What the columns of a mined set mean, in the layouts of this library and of other trainers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list, list_array
from hf_hardneg.columns import POSITIVE_ID_NAMES, QUERY_ID_NAMES, QUERY_NAMES
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, listing
from hf_hardneg.mined_set import NEGATIVE_ID_NAMES, Layout, as_lists, named_layout

__all__ = ["LAYOUTS", "FoundLayout", "find_layout", "is_labeled_pairs", "pair_columns"]

LAYOUTS = (
    "columns (query, positive, hard_negatives, with ids and scores)",
    "triplet (anchor, positive, negative)",
    "n-tuple (anchor, positive, negative_1, negative_2, ...)",
    "labeled-pair (anchor, passage, label)",
    "labeled-list (anchor, passages, labels)",
    "ids (query_id, positive_ids, negative_ids)",
    "FlagEmbedding (query, pos, neg)",
    "contrastors (query, document, negatives, named by metadata.objective.triplet)",
    "Tevatron (query, positive_passages, negative_passages)",
    "Tevatron by id (query_text, positive_document_ids, negative_document_ids)",
    "PyLate distillation (query_id, document_ids, scores)",
    "ms-swift (messages, positive_messages, negative_messages)",
    "NeMo (one JSON document with corpus and data)",
    "MS MARCO triples (a TSV file without a header: query, positive, negative)",
    "ColBERT (triples.jsonl or nway.jsonl with collection.tsv and queries.tsv)",
    "BEIR (corpus.jsonl, queries.jsonl, qrels/ and hard_negatives.tsv)",
    "TREC (a run, with qrels.txt)",
)
"""Every layout that is read, as messages name them."""

PASSAGE_NAMES = ("passage", "document", "text", "sentence2", "answer")
PASSAGES_NAMES = ("passages", "documents", "docs", "candidates", "texts")
LABEL_NAMES = ("label", "labels")
INLINE = {"positive_passages", "negative_passages"}
LOOKED_AT = 1_000
DISTILLATION = {"query_id", "document_ids"}

Names = Sequence[str]


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """A layout, and what a reader of the figures should know of it.

    Attributes:
        layout: from the columns as they are to those of a mined set.
        notes: one sentence each.
        query_texts: whether the queries' texts are known; else their ids stand for them.
        by_id: where the texts were looked up by id, the layout without that: ids stand for them.
        queries: where they were looked up.
    """

    layout: Layout
    notes: tuple[str, ...] = ()
    query_texts: bool = True
    by_id: Layout | None = None
    queries: Corpus | None = None


def find_layout(rows: Dataset, where: str, queries: Corpus | None = None) -> FoundLayout:
    """Return the layout of a data set with one row for a query.

    Args:
        rows: the data set.
        where: what it is called in messages.
        queries: gives the queries' texts where rows have only their ids.

    Raises:
        ColumnError: no layout has these columns.
    """
    names = list(rows.column_names)
    query = _first(names, QUERY_NAMES)
    by_id = _first(names, NEGATIVE_ID_NAMES) and _first(names, QUERY_ID_NAMES)
    try:
        return FoundLayout(named_layout(names, where))
    except ColumnError as error:
        unknown = error
    if set(names) >= INLINE and query:
        return FoundLayout(_inline(query, _first(names, QUERY_ID_NAMES), _sides_with_ids(rows)))
    if set(names) >= DISTILLATION:
        _expect_lists(rows, "document_ids", where)
        first = "The first document of a row is taken for its positive, as this format is written."
        return _with_queries(_distillation("scores" in names), queries, first)
    passages, labels = _first(names, PASSAGES_NAMES), _first(names, LABEL_NAMES)
    if query and passages and labels:
        return FoundLayout(_labeled_list(query, passages, labels),
                           ("A passage with a label above 0 is a positive.",))  # fmt: skip
    if by_id and not query:
        return _with_queries(_ids(names), queries)
    raise ColumnError(
        f"the columns of {where} are those of no layout that is read: {listing(names)}. Known: "
        f"{listing(LAYOUTS, len(LAYOUTS))}. Rename the columns, or name them with "
        "--query-column, --positive-column and --negatives-column."
    ) from unknown


def is_labeled_pairs(names: Names) -> bool:
    """Return whether there is a row for each pair of a query and a passage."""
    return all(pair_columns(names)) and not (
        _first(names, NEGATIVE_ID_NAMES) or _is_named(names) or _first(names, PASSAGES_NAMES)
    )


def pair_columns(names: Names) -> tuple[str, str, str]:
    """Return the columns of query, passage and label, empty where there is none."""
    found = [_first(names, usual) for usual in (QUERY_NAMES, PASSAGE_NAMES, LABEL_NAMES)]
    return found[0] or "", found[1] or "", found[2] or ""


def _is_named(names: Names) -> bool:
    try:
        named_layout(names, "")
    except ColumnError:
        return False
    return True


def _first(names: Names, usual: Sequence[str]) -> str | None:
    return next((name for name in usual if name in names), None)


def _expect_lists(rows: Dataset, name: str, where: str) -> None:
    kind = rows.data.schema.field(name).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise ColumnError(f"the column {name!r} of {where} holds {kind}; expected lists of ids.")


def _sides_with_ids(rows: Dataset) -> set[str]:
    """Return for which side the passages have ids, as the first rows show."""
    table = rows.with_format("arrow")[:LOOKED_AT]
    sides = set()
    for side in ("positive", "negative"):
        flat = flat_list(table[f"{side}_passages"])[1]
        fields = [field.name for field in flat.type]
        if "docid" in fields and flat.field("docid").null_count < len(flat):
            sides.add(side)
    return sides


def _with_queries(layout: Layout, queries: Corpus | None, *notes: str) -> FoundLayout:
    """Give queries by id their texts; without a source of these, the ids stand for them."""
    if queries is None:
        note = "The queries' texts are not known; their ids stand for them. Give --queries."
        return FoundLayout(
            lambda table: _named_by_id(layout(table)), (*notes, note), query_texts=False
        )
    return FoundLayout(
        lambda table: _texts_of(layout(table), queries), notes,
        by_id=lambda table: _named_by_id(layout(table)), queries=queries,
    )  # fmt: skip


def _named_by_id(table: pa.Table) -> pa.Table:
    return table.append_column("query", table["query_id"])


def _texts_of(table: pa.Table, queries: Corpus) -> pa.Table:
    ids = pc.fill_null(table["query_id"], "").to_pylist()
    rows = queries.rows_of_ids(ids)
    if (rows < 0).any():
        name = ids[int(np.flatnonzero(rows < 0)[0])]
        raise FormatError(
            f"the query {name!r} of the mined set is not among the {len(queries):,} queries given. "
            "Give the queries that were mined."
        )
    return table.append_column("query", queries.text_array(rows))


# -- layouts ---------------------------------------------------------------------------------------


def _ids(names: Names) -> Layout:
    identity, negatives = _first(names, QUERY_ID_NAMES), _first(names, NEGATIVE_ID_NAMES)
    # A row of ids is a row of usual columns whose query is its id.
    return _without_query(
        named_layout(
            ["query", *(name for name in names if name in {identity, negatives})
             , *(name for name in names if name in POSITIVE_ID_NAMES or "score" in name)],
            "the data set",
        ),
        str(identity),
    )  # fmt: skip


def _without_query(layout: Layout, identity: str) -> Layout:
    def lay_out(table: pa.Table) -> pa.Table:
        return layout(table.append_column("query", table[identity])).drop_columns(["query"])

    return lay_out


def _inline(query: str, identity: str | None, sides_with_ids: set[str]) -> Layout:
    def lay_out(table: pa.Table) -> pa.Table:
        out = {"query": table[query].cast(pa.string())}
        if identity:
            out["query_id"] = table[identity].cast(pa.string())
        for side in ("positive", "negative"):
            offsets, flat = flat_list(table[f"{side}_passages"])
            ends = offsets.astype(np.int32)
            out[f"{side}s"] = list_array(ends, _passage_texts(flat))
            if side in sides_with_ids:
                out[f"{side}_ids"] = list_array(ends, flat.field("docid").cast(pa.string()))
        return pa.table(out)

    return lay_out


def _passage_texts(flat: pa.StructArray) -> pa.Array:
    """Return the texts, a title before them with a space between, as trainers join the two."""
    text = flat.field("text").cast(pa.string())
    if "title" not in [field.name for field in flat.type]:
        return text
    title = pc.fill_null(flat.field("title").cast(pa.string()), "")
    joined = pc.binary_join_element_wise(title, text, " ")
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(title), ""), text, joined)


def _labeled_list(query: str, passages: str, labels: str) -> Layout:
    def lay_out(table: pa.Table) -> pa.Table:
        offsets, texts = flat_list(as_lists(table[passages], pa.string(), passages))
        ends, values = flat_list(as_lists(table[labels], pa.float64(), labels))
        if not np.array_equal(offsets, ends):
            raise FormatError(
                f"the columns {passages!r} and {labels!r} have lists of unequal length; expected a "
                "label for each passage."
            )
        relevant = pc.greater(pc.fill_null(values, 0), 0).to_numpy(zero_copy_only=False)
        return pa.table(
            {
                "query": table[query].cast(pa.string()),
                "positives": _chosen(offsets, texts, relevant),
                "negatives": _chosen(offsets, texts, ~relevant),
            }
        )

    return lay_out


def _chosen(offsets: NDArray[np.int64], values: pa.Array, mask: NDArray[np.bool_]) -> pa.Array:
    """Return lists without the values that are not chosen."""
    before = np.concatenate([[0], np.cumsum(mask)])
    return list_array(before[offsets].astype(np.int32), values.filter(pa.array(mask)))


def _distillation(scored: bool) -> Layout:
    """Lay out ``document_ids`` and ``scores``: the first document is the positive."""

    def lay_out(table: pa.Table) -> pa.Table:
        out = {"query_id": table["query_id"].cast(pa.string())}
        offsets, values = flat_list(as_lists(table["document_ids"], pa.string(), "document_ids"))
        is_first = _firsts(offsets)
        out["positive_ids"] = _chosen(offsets, values, is_first)
        out["negative_ids"] = _chosen(offsets, values, ~is_first)
        if scored:
            offsets, scores = flat_list(as_lists(table["scores"], pa.float32(), "scores"))
            is_first = _firsts(offsets)
            out["positive_scores"] = _chosen(offsets, scores, is_first)
            out["negative_scores"] = _chosen(offsets, scores, ~is_first)
        return pa.table(out)

    return lay_out


def _firsts(offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(offsets[-1], dtype=np.bool_)
    mask[offsets[:-1][np.diff(offsets) > 0]] = True
    return mask
