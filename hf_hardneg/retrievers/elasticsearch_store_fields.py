"""What an Elasticsearch index says of its fields, and what its scores of vectors mean.

Elasticsearch gives no negative score, so it turns each similarity into one that is not, as written
in its reference under "Dense vector field type". Here the similarity is got back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hf_hardneg.errors import CorpusError, listing

__all__ = ["NUMBERS", "VectorField", "common_fields", "need_field", "need_vector"]

LEXICAL = ("text", "annotated_text", "search_as_you_type")
"""Fields whose matches are scored; ``match_only_text``, for example, gives every match a 1."""
NUMBERS = ("long", "integer", "short", "byte", "unsigned_long")
ID_TYPES = ("keyword", *NUMBERS)
FLOATS = ("float", "bfloat16")
ALIKE = ("type", "dims", "similarity", "element_type", "index")
"""What must be the same in all indexes behind one name."""
LOWEST = "Math.max(0.0, {})"
"""Rounding can lead below the 0 that a score must not fall under."""


@dataclass(frozen=True)
class _Kind:
    """A similarity of Elasticsearch.

    Attributes:
        similarity: what it is called here.
        back: the similarity from the score.
        script: the score from a query's vector and a field, as the approximate search gives it.
    """

    similarity: str
    back: Callable[[float], float]
    script: str


def _distance(score: float) -> float:
    return -math.sqrt(max(1 / score - 1, 0.0))


def _product(score: float) -> float:
    return score - 1 if score >= 1 else 1 - 1 / score


def _twice(score: float) -> float:
    return 2 * score - 1


KINDS = {
    "cosine": _Kind(
        "cosine", _twice, LOWEST.format("(1.0 + cosineSimilarity(params.vector, {field})) / 2")
    ),
    # Of vectors of length one, and Elasticsearch takes no other.
    "dot_product": _Kind(
        "cosine", _twice, LOWEST.format("(1.0 + dotProduct(params.vector, {field})) / 2")
    ),
    "l2_norm": _Kind(
        "euclidean", _distance, "1 / (1 + Math.pow(l2norm(params.vector, {field}), 2))"
    ),
    "max_inner_product": _Kind(
        "dot",
        _product,
        "double dot = dotProduct(params.vector, {field}); return dot < 0 ? 1 / (1 - dot) : dot + 1",
    ),
}


@dataclass(frozen=True)
class VectorField:
    """A field of vectors that can be searched.

    Attributes:
        name: its name.
        dimension: of its vectors.
        kind: its similarity, as Elasticsearch calls it.
    """

    name: str
    dimension: int
    kind: str

    @property
    def similarity(self) -> str:
        """``cosine``, ``dot`` or ``euclidean``."""
        return KINDS[self.kind].similarity

    def back(self, score: float) -> float:
        """Return the similarity that has a score; of a distance, the negative one."""
        return KINDS[self.kind].back(score)

    @property
    def script(self) -> str:
        """The score of every document, for an exact search."""
        quoted = self.name.replace("\\", "\\\\").replace("'", "\\'")
        return KINDS[self.kind].script.replace("{field}", f"'{quoted}'")


def _leaves(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field by its full name, those inside of objects and beside of fields too."""
    for name, about in properties.items():
        full = prefix + name
        if "properties" in about:
            yield from _leaves(about["properties"], f"{full}.")
        else:
            yield full, about
            yield from _leaves(about.get("fields", {}), f"{full}.")


def common_fields(mappings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fields that all indexes behind a name have, with what the first says of them.

    Args:
        mappings: the answer to a request for the mapping: one index, or those of an alias.
    """
    first, *others = [_table(one["mappings"].get("properties", {})) for one in mappings.values()]
    found = {}
    for name, about in first.items():
        if all(name in other for other in others):
            same = all(other[name].get(key) == about.get(key) for other in others for key in ALIKE)
            found[name] = about if same else {"type": "of several types"}
    return found


def _table(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of one index by their full names; an alias is what it stands for."""
    table = dict(_leaves(properties))
    return {
        name: table.get(about["path"], about) if about.get("type") == "alias" else about
        for name, about in table.items()
    }


def need_field(
    fields: Mapping[str, Any], name: str, parameter: str, title: str, *, lexical: bool = False
) -> str:
    """Return the type of the field with the text, or with the ids.

    Raises:
        CorpusError: there is no such field, or it is of no use.
    """
    if name not in fields:
        raise CorpusError(
            f"{title} has no field {name!r}; its fields are: {listing(sorted(fields))}. Name the "
            f"right one with {parameter}=..."
        )
    kind = str(fields[name].get("type"))
    if lexical and kind not in LEXICAL:
        raise CorpusError(
            f"{title}: the field {name!r} is of type {kind!r}; expected one whose matches are "
            f"scored, of type {listing(LEXICAL)}. Name the right one with {parameter}=..., or give "
            "a model=... to search a field of vectors."
        )
    if parameter == "id_field" and kind not in ID_TYPES:
        raise CorpusError(
            f"{title}: the field {name!r} is of type {kind!r}; expected {listing(ID_TYPES)}. Name "
            f"another one with id_field=..., for example '{name}.keyword' where there is one."
        )
    return kind


def need_vector(fields: Mapping[str, Any], asked: str | None, title: str) -> VectorField:
    """Return the field with the vectors.

    Raises:
        CorpusError: there is none, more than one to choose from, or it cannot be searched.
    """
    found = [name for name, about in fields.items() if about.get("type") == "dense_vector"]
    name = found[0] if asked is None and len(found) == 1 else asked
    if name not in found:
        raise CorpusError(
            f"{title}: vector_field={asked!r}; expected one of its fields of type dense_vector: "
            f"{listing(map(repr, sorted(found)))}."
        )
    about = fields[name]
    kind, element = about.get("similarity", "cosine"), about.get("element_type", "float")
    if element not in FLOATS or kind not in KINDS:
        raise CorpusError(
            f"{title}: the field {name!r} holds vectors of {element} compared by {kind}; expected "
            f"{listing(FLOATS)}, and one of {listing(KINDS)}."
        )
    if about.get("index") is False or "dims" not in about:
        lacks = "no index" if about.get("index") is False else "no vector yet"
        raise CorpusError(
            f"{title}: the field {name!r} has {lacks}; expected a dense_vector field with "
            "'index': true, and documents in it."
        )
    return VectorField(name, int(about["dims"]), str(kind))
