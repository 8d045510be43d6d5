"""Which mined set a label is of: a name made of what the set holds."""

from __future__ import annotations

import numpy as np

from hf_hardneg.cache import content_hash
from hf_hardneg.hashing import exact_keys, text_keys
from hf_hardneg.mined_set import MinedSet

__all__ = ["set_identity"]

LOOKED_AT = 100


def set_identity(mined: MinedSet) -> str:
    """Return a name for what a mined set holds, 16 hexadecimal digits.

    Made of the number of its rows, and of queries and negatives of a hundred of them spread over
    all (of a smaller set, of all rows). It is the same for a copy elsewhere and in another format,
    and another one for a set with other negatives. Two sets that differ only in rows that were not
    looked at have the same one.
    """
    places = np.unique(np.linspace(0, len(mined) - 1, LOOKED_AT).astype(np.int64))
    seen = []
    for place in places.tolist():
        row = mined.at(place)
        if row.has("negatives"):
            keys = row.keys("negatives")[1]
        else:
            keys = exact_keys(row.texts("negative_ids").flat)
        seen.append([int(text_keys(row.queries())[0]), *keys.tolist()])
    return content_hash("mined set", len(mined), seen)[:16]
