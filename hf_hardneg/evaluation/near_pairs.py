"""Which negatives of a row are nearly the text of one of its positives, worked out exactly."""

from __future__ import annotations

from collections.abc import Sequence

from hf_hardneg.near_texts import SHINGLE, THRESHOLDS, shingles

__all__ = ["NEAR", "nearest_positive"]

NEAR = THRESHOLDS["minhash"]
"""The Jaccard resemblance from which on two texts are near-duplicates."""


def nearest_positive(
    positives: Sequence[str | None], negatives: Sequence[str | None]
) -> list[float]:
    """Return for each negative its resemblance with the positive that it is most like.

    The resemblance is that of the two sets of shingles (three words each, of the normalised
    texts): the Jaccard coefficient that MinHash estimates (A. Broder, "On the resemblance and
    containment of documents", SEQUENCES 1997), worked out without an estimate.

    Args:
        positives: of the row; one that is missing or blank resembles nothing.
        negatives: of the row; likewise.

    Returns:
        Numbers from 0 to 1, exact from :data:`NEAR` on; 0 may stand for any lower one.
    """
    known = [shingles(text, SHINGLE) for text in positives if text and not text.isspace()]
    return [
        0.0 if not text or text.isspace() else max((_jaccard(a, text) for a in known), default=0.0)
        for text in negatives
    ]


def _jaccard(known: set[str], text: str) -> float:
    """Return the resemblance with a text, or 0 where its length alone rules the threshold out."""
    # |A and B| <= |B| <= words of B, and |A or B| >= |A|
    if text.count(" ") + 1 < NEAR * len(known) and text.isascii():
        words = len(text.split())
        if words < NEAR * len(known):
            return 0.0
    other = shingles(text, SHINGLE)
    both = len(known & other)
    return both / (len(known) + len(other) - both)
