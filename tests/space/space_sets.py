"""Mined sets on disk for the tests of the app: of docstrings, and of texts that mean harm."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets import Dataset, Features
from inspected_cases import ROWS

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.outputs import report_sidecars, write_mined
from hf_hardneg.pool_files import pool_files
from hf_hardneg.stdlib_docs import StdlibCollection, stdlib_collection

DOCUMENTS, QUERIES, NEGATIVES = 500, 40, 4
LONG = 1_000
MARGIN, PLAIN = "bm25@30+margin(relative=0.1)", "bm25@30"

SCRIPT = "<script>alert(1)</script>"
IMAGE = '<img src=x onerror="alert(2)">'
HARM = (
    SCRIPT,
    IMAGE,
    "| a | b |\n|---|---|\n| [link](https://example.com/x) | ![i](https://example.com/i.png) |",
    "${alert(3)} {{value}} {{#each value}}{{this}}{{/each}} {{{value}}} `${alert(4)}`",
    "</textarea></div></article><svg onload=alert(5)> &lt;b&gt; &amp; \"quoted\" 'quoted'",
    "before \u202eright to left\u202c after \x1b[31mred\x00\x07 \u2400 \ufeff\u200bend",
    "z" + "\u0301\u0302\u0303" * 60 + " flood",
    "<a href='javascript:alert(6)'>a</a> <iframe src='https://example.com'></iframe>",
    "$x^2$ **bold** _it_ # head [a](javascript:alert(8)) <b>b</b>\n\n- list\n\n\tcode `code`",
    "",
    "   ",
)
"""Texts that do harm where they are run, or that draw over what stands beside them."""
LONGEST_TEXT = 100_000


@lru_cache(maxsize=1)
def docstrings() -> StdlibCollection:
    return stdlib_collection()


def _rows() -> Dataset:
    """Docstrings' summaries with the rest as positives; the first has a long one."""
    collection = docstrings()
    texts = dict(collection.documents[:DOCUMENTS])
    pairs = [pair for pair in collection.pairs if pair.positive_id in texts]
    first = next(pair for pair in pairs if len(texts[pair.positive_id]) > LONG)
    some = [pair for pair in pairs[:: len(pairs) // QUERIES] if pair != first][: QUERIES - 1]
    chosen = [first, *some]
    return Dataset.from_dict(
        {
            "query_id": [pair.query_id for pair in chosen],
            "query": [pair.query for pair in chosen],
            "positive": [texts[pair.positive_id] for pair in chosen],
            "positive_id": [pair.positive_id for pair in chosen],
        }
    )


def write_docstrings(folder: Path, strategy: str = MARGIN) -> Path:
    """Mine a few hundred docstrings into a folder, with the pool."""
    corpus = Corpus(dict(docstrings().documents[:DOCUMENTS]))
    rows = _rows()
    miner = OfflineMiner(strategy, corpus=corpus, num_negatives=NEGATIVES, seed=0).knowing(rows)
    pool = miner.retrieve(rows)
    mined = miner.select(pool)
    report = miner.report(mined)
    write_mined(
        mined,
        folder,
        sidecars=lambda written: report_sidecars(report.to_json(), miner.recipe()),
        beside=pool_files(miner, pool),
    )
    return folder


def hostile_rows() -> list[dict[str, Any]]:
    """A row for each harmful text: everything in it is that text."""
    rows = []
    for number, text in enumerate([*HARM, ("<b>long</b> word " * 9_000)[:LONGEST_TEXT]]):
        other = HARM[(number + 1) % len(HARM)]
        negatives = [f"{number} {text}", other, text]
        rows.append(
            {
                "query_id": f"{number}{text[:300]}",
                "query": text[:5_000],
                "positive": [text, f"{other} positive"],
                "positive_ids": [f"p{number}{text[:300]}", f"o{number}"],
                "hard_negatives": negatives,
                "hard_negative_ids": [f"n{number}-{place}{text[:300]}" for place in range(3)],
                "hard_negative_scores": [0.9, 0.5, None],
                "hard_negative_positive_scores": [0.8, 0.7],
            }
        )
    return rows


def write_hostile(folder: Path) -> Path:
    """A set of :func:`hostile_rows` with a pool whose sources and stages mean harm too."""
    from hf_hardneg.outcomes import OUTCOME_FEATURES

    rows = hostile_rows()
    pool = []
    for row in rows:
        names = row["hard_negative_ids"]
        pool.append(
            {
                "query_id": row["query_id"],
                "query": row["query"],
                "positive_ids": row["positive_ids"],
                "positive_scores": row["hard_negative_positive_scores"],
                "candidate_ids": [*names, f"{SCRIPT} rejected"],
                "candidate_scores": [0.9, 0.5, 0.4, 0.3],
                "candidate_ranks": [1, 2, 3, 4],
                "candidate_sources": [IMAGE, SCRIPT, "{{value}}", "${alert(7)}"],
                "candidate_outcomes": [*["chosen"] * 3, f"{IMAGE} stage"],
            }
        )
    folder.mkdir(parents=True)
    Dataset.from_list(rows, features=ROWS).to_parquet(folder / "rows.parquet")
    features = Features(OUTCOME_FEATURES)
    Dataset.from_list(pool, features=features).to_parquet(folder / "pool.parquet")
    return folder
