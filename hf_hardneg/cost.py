"""What a mining job is expected to take, worked out from short trials on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from datasets import Dataset
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.distributed import world
from hf_hardneg.errors import CostError
from hf_hardneg.plan import Plan
from hf_hardneg.queries import query_texts
from hf_hardneg.retrievers import RandomRetriever
from hf_hardneg.samplers import TopSampler
from hf_hardneg.strategy import Strategy
from hf_hardneg.workload import Phase, Workload, timed

__all__ = [
    "Estimate",
    "Option",
    "duration",
    "estimate_plan",
    "require",
    "worth_estimating",
]

HOUR = 3600.0
STATUS = Path("/proc/self/status")
TRIAL_ROWS = 1_000
LARGE = 500_000
"""Documents and rows; below, work without a model is done in minutes."""
TRIED_QUERIES = 256
POOL_BYTES = 21
"""Of a candidate in the pool: row, score, rank, source, and the offsets of the lists."""
WORTH_SAYING = 0.9
"""Another way is named if it takes less than this share of the time."""


@dataclass(frozen=True, slots=True)
class Option:
    """Another way to do the job.

    Attributes:
        text: what to do.
        seconds: what the whole job is expected to take then.
    """

    text: str
    seconds: float

    def __str__(self) -> str:
        """Return it as a person says it."""
        return f"{self.text}: about {duration(self.seconds)} in all"


@dataclass(frozen=True)
class Estimate:
    """What a job is expected to take.

    Attributes:
        strategy: the strategy string.
        rows: rows of queries.
        documents: size of the corpus.
        phases: of the job, in order.
        process_memory: the most bytes that the process has had in the trials, models included.
        free_memory: bytes that could be had beyond that.
        free_disk: bytes free where the cache is.
        notes: what the figures do not cover.
    """

    strategy: str
    rows: int
    documents: int
    phases: tuple[Phase, ...]
    process_memory: int
    free_memory: int
    free_disk: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Expected seconds in all."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def memory(self) -> int:
        """Expected peak memory in bytes."""
        return self.process_memory + max((phase.memory for phase in self.phases), default=0)

    @property
    def disk(self) -> int:
        """Expected bytes on disk that the job adds."""
        return sum(phase.disk for phase in self.phases)

    def options(self) -> list[Option]:
        """Return other ways to do the job that take less time, the quickest first.

        This may take some seconds: each is worked out, or tried, as the job itself was.
        """
        saved: dict[str, float] = {}
        for phase in self.phases:
            for advice in phase.advice:  # one way may help several phases
                less = phase.seconds - advice.seconds()
                saved[advice.text] = saved.get(advice.text, 0.0) + less
        found = [Option(text, self.seconds - less) for text, less in saved.items()]
        return sorted(
            (one for one in found if one.seconds < WORTH_SAYING * self.seconds),
            key=lambda one: one.seconds,
        )

    def problems(self, max_hours: float) -> list[str]:
        """Return why the job should not begin unasked; none if nothing is wrong with it."""
        found = []
        if self.seconds > max_hours * HOUR:
            found.append(f"it would take about {duration(self.seconds)}")
        if self.memory - self.process_memory > self.free_memory:
            found.append(
                f"it would need about {size(self.memory)} of memory, and "
                f"{size(self.process_memory + self.free_memory)} can be had"
            )
        if self.disk > self.free_disk:
            found.append(
                f"it would write about {size(self.disk)}, and {size(self.free_disk)} are free"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as plain values; sizes in bytes."""
        phases = [
            {name: value for name, value in asdict(replace(phase, advice=())).items()
             if name != "advice"}
            for phase in self.phases
        ]  # fmt: skip
        return {
            "strategy": self.strategy,
            "rows": self.rows,
            "documents": self.documents,
            "seconds": self.seconds,
            "memory": self.memory,
            "disk": self.disk,
            "free_memory": self.free_memory,
            "free_disk": self.free_disk,
            "phases": phases,
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return the estimate as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        """Return the table as text."""
        console = Console(file=StringIO(), width=100, color_system=None)
        console.print(self.__rich__())
        stream = console.file
        return stream.getvalue() if isinstance(stream, StringIO) else ""

    def __rich__(self) -> Group:
        """Return the table for a terminal."""
        title = f"Expected for {self.strategy}: {self.rows:,} rows, {self.documents:,} documents"
        table = Table()
        table.add_column("phase")
        for name in ("time", "disk"):
            table.add_column(name, justify="right")
        table.add_column("from")
        for phase in self.phases:
            disk = size(phase.disk) if phase.disk else ""
            table.add_row(phase.name, duration(phase.seconds), disk, phase.basis)
        table.add_section()
        table.add_row("in all", duration(self.seconds), size(self.disk), "")
        lines = [f"Memory: about {size(self.memory)} at most.", *self.notes]
        return Group(Text(title), table, *(Text(line) for line in lines))


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / HOUR:.1f} h"


def size(number: float) -> str:
    """Return a number of bytes as a person says it."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def estimate_plan(plan: Plan, rows: Dataset, cache: Path, budget: float) -> Estimate:
    """Try every part of a plan for a moment and return what all of it is expected to take.

    Args:
        plan: the job.
        rows: its queries and positives.
        cache: folder of the cache, which exists or will be made.
        budget: seconds for a single measurement; there are a few.
    """
    strategy = plan.strategy
    corpus = strategy.retriever.corpus
    work = _workload(plan, rows, budget)
    trial = strategy.retriever.trial(work)
    phases = [*trial.phases]
    for stage in strategy.asking:
        phases += stage.trial(work, trial.nearest, corpus)
    phases.append(_choosing(plan, rows))
    return Estimate(
        str(strategy),
        len(rows),
        len(corpus),
        tuple(phases),
        _peak_memory(),
        psutil.virtual_memory().available,
        shutil.disk_usage(_existing(cache)).free,
        (*trial.notes, *_silent_stages(plan, trial.nearest)),
    )


def _peak_memory() -> int:
    """Return the most bytes that this process has had at a time, trials included."""
    about = psutil.Process().memory_info()
    if hasattr(about, "peak_wset"):  # Windows
        return int(about.peak_wset)
    if STATUS.exists():
        # Not from resource: Linux hands that mark of a parent down to the child that it starts.
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(about.rss)


def _workload(plan: Plan, rows: Dataset, budget: float) -> Workload:
    sample = plan.reader.queries(_spread(rows, TRIED_QUERIES))
    known = {
        text: frozenset(sample.known_rows[start:end].tolist())
        for text, start, end in zip(
            sample.texts, sample.known_offsets[:-1], sample.known_offsets[1:], strict=True
        )
    }
    queries = query_texts(rows, plan.reader.columns)
    return Workload(queries, list(known), known, len(rows), plan.n, budget, world().size)


def _spread(rows: Dataset, number: int) -> pa.Table:
    """Return some rows from all over the data, the same ones each time."""
    places = np.linspace(0, len(rows) - 1, min(number, len(rows))).astype(np.int64)
    table: pa.Table = rows.select(np.unique(places)).with_format("arrow")[:]
    return table


def _silent_stages(plan: Plan, nearest: Sequence[Any]) -> list[str]:
    if nearest:
        return []
    return [f"{stage.name}: its time is not in these figures." for stage in plan.strategy.asking]


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _choosing(plan: Plan, rows: Dataset) -> Phase:
    """Return what reading, choosing and writing take, by doing it with random candidates."""
    retriever = plan.strategy.retriever
    random = RandomRetriever(retriever.corpus, top_k=retriever.top_k)
    # Without filters: they take little, and some cannot work without scores.
    simple = replace(plan, strategy=Strategy(random, (), (), TopSampler()), underfilled=None)
    sample = _spread(rows, TRIAL_ROWS)
    written: list[pa.Table] = []
    seconds = min(timed(lambda: written.append(simple.table(sample))) for _ in range(2))
    share = len(rows) / len(sample)
    pool = POOL_BYTES * retriever.top_k * len(rows)
    return Phase(
        "choose and write",
        seconds * share,
        0,
        pool + int(2 * written[0].nbytes * share),  # in the cache, and in the output
        f"{len(sample):,} of {len(rows):,} rows",
    )


def worth_estimating(strategy: Strategy, rows: int) -> bool:
    """Return whether the work may take long: there is a model, or very much of everything."""
    retriever = strategy.retriever
    size = len(retriever.corpus) + rows
    return bool(retriever.encodes_queries or strategy.asking or size > LARGE)


def require(estimate: Estimate, max_hours: float) -> None:
    """Refuse a job that takes more than it may.

    Raises:
        CostError: says what it would take and what could be done instead.
    """
    problems = estimate.problems(max_hours)
    if not problems:
        return
    instead = list(map(str, estimate.options()))
    phases = ", ".join(
        f"{phase.name} {duration(phase.seconds)}"
        for phase in estimate.phases
        if phase.seconds > 0.05 * estimate.seconds
    )
    advice = " Instead: " + "; ".join(instead) + "." if instead else ""
    raise CostError(
        f"not begun, because {' and '.join(problems)} on this machine ({phases}).{advice} To do it "
        f"all the same, add --yes; the limit is --max-hours {max_hours:g}."
    )
