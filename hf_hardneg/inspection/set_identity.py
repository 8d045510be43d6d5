"""Which mined set a label is of: a name made of what the set holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.cache import content_hash, explain_os_error, staging_folder
from hf_hardneg.hashing import EMPTY_TEXT_KEY, exact_keys, text_keys
from hf_hardneg.inspection.kept import kept_folder, set_key
from hf_hardneg.mined_set import MinedSet

__all__ = ["set_identity"]

LOOKED_AT = 100
AT_ONCE = 20_000
IDENTITY = re.compile(r"[0-9a-f]{16}")


def set_identity(mined: MinedSet) -> str:
    """Return a name for what a mined set holds, 16 hexadecimal digits.

    Made of the negatives of all rows, and of the queries of a hundred of them spread over all. It
    is the same for a copy elsewhere and in another format, and another one for a set with other
    negatives: a set that was mined anew, with a dozen false negatives kept out of a million rows,
    must never be given the labels, the sample and the rate of the one before.

    All rows are read the first time, without texts where the rows have ids: about two seconds for a
    million of these. Then the name is kept in the cache.

    Raises:
        OutputError: the cache cannot be written.
    """
    path = kept_folder(set_key(mined)) / "identity"
    found = path.read_text(encoding="ascii", errors="replace") if path.is_file() else ""
    if not IDENTITY.fullmatch(found):
        found = _identity(mined)
        _keep(path, found)
    return found


def _identity(mined: MinedSet) -> str:
    counts, negatives = xxhash.xxh3_128(), xxhash.xxh3_128()
    for offsets, keys in _negatives(mined):
        counts.update(np.diff(offsets).astype("<i4").tobytes())
        negatives.update(keys.astype("<u8").tobytes())
    places = np.unique(np.linspace(0, len(mined) - 1, LOOKED_AT).astype(np.int64))
    queries = [int(text_keys(mined.at(place).queries())[0]) for place in places.tolist()]
    digests = counts.hexdigest(), negatives.hexdigest()
    return content_hash("mined set", len(mined), queries, *digests)[:16]


def _negatives(mined: MinedSet) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Yield (offsets, keys) of the negatives: of their texts, of their ids where none are known."""
    rows = mined.by_id or mined.stored  # the texts of queries are of no use here
    texts, stored = mined.has("negatives"), rows.has("negatives")
    # The corpus knows the key of each of its texts.
    corpus = mined.corpus if texts and not stored else None
    name = "negatives" if stored else "negative_ids"
    for start in range(0, len(rows), AT_ONCE):
        table = rows.part(start, min(start + AT_ONCE, len(rows))).table
        offsets, values = flat_list(table[name])
        coded = values.fill_null("").dictionary_encode()
        own = coded.dictionary.to_pylist()
        if corpus is not None:
            places = corpus.rows_of_ids(own)
            known = corpus.document_keys[np.maximum(places, 0)]
            keys = np.where(places >= 0, known, EMPTY_TEXT_KEY)
        else:
            keys = text_keys(own) if texts else exact_keys(own)
        yield offsets, keys[coded.indices.to_numpy(zero_copy_only=False)]


def _keep(path: Path, identity: str) -> None:
    try:
        with staging_folder(path.parent, path.name) as staging:
            (staging / path.name).write_text(identity, encoding="ascii")
            (staging / path.name).replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
