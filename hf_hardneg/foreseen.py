"""What mining is expected to take, asked before it is begun."""

from __future__ import annotations

from collections.abc import Callable

from datasets import Dataset

from hf_hardneg.cost import duration, require
from hf_hardneg.distributed import world
from hf_hardneg.miner import OfflineMiner

__all__ = ["QUICK", "WORTH_SAYING", "ask_first"]

QUICK = 0.2
"""Seconds for a measurement before the work: enough to tell minutes from hours."""
WORTH_SAYING = 60.0


def ask_first(
    miner: OfflineMiner,
    rows: Dataset,
    max_hours: float | None,
    say: Callable[[str], object] | None = None,
) -> None:
    """Refuse mining that takes too much; say what it is expected to take if it is more than little.

    Args:
        miner: that is to mine.
        rows: what it is to mine.
        max_hours: that it may take; with ``None`` nothing is asked.
        say: is told what the work is expected to take, if that is more than a minute.

    Raises:
        CostError: it takes too much.
    """
    if max_hours is not None:  # one asks; its refusal holds for all
        world().from_main(lambda: _ask(miner, rows, max_hours, say))


def _ask(
    miner: OfflineMiner,
    rows: Dataset,
    max_hours: float,
    say: Callable[[str], object] | None,
) -> None:
    if not miner.may_take_long(len(rows)):
        return
    expected = miner.estimate(rows, budget=QUICK)
    require(expected, max_hours)
    if say is not None and expected.seconds > WORTH_SAYING:
        say(f"Mining is expected to take about {duration(expected.seconds)}.")
