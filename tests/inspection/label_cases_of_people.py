"""A mined set for people to label, and a process that labels until it is killed."""

from __future__ import annotations

import sys

from datasets import Dataset

from hf_hardneg.evaluation.labels import Label
from hf_hardneg.inspection.label_book import LabelBook, by_hand
from hf_hardneg.mined_set import MinedSet

QUERIES, EACH = 60, 5


def mined() -> MinedSet:
    """Query q has the positive q and five negatives of its own."""
    return MinedSet.of(
        Dataset.from_list(
            [
                {
                    "query": f"query {q}", "positive": f"positive {q}",
                    "negatives": [f"document {q} {n}" for n in range(EACH)],
                    "hard_negative_ranks": [1, 4, 8, 15, 60],
                }
                for q in range(QUERIES)
            ]
        )
    )  # fmt: skip


def pick(number: int, label: str | None = "false_negative") -> Label:
    return by_hand(label, query=f"query {number}", document=f"document {number} 0")


def main(folder: str, annotator: str, first: int, last: int) -> None:
    """Add labels, and say the number of each once it is kept."""
    book = LabelBook(folder, annotator, identity="set", set_name="a set")
    for number in range(first, last):
        book.add(pick(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
