"""The result of a figure: every run, medians, ratios, targets; as JSON that is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine, package_versions

__all__ = ["Figure", "problems", "write"]

FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str, "about": str, "date": str, "machine": dict, "packages": dict, "data": dict,
    "settings": dict, "runs": list, "medians": dict, "ratios": dict, "targets": list,
    "checks": dict, "notes": list,
}  # fmt: skip
MACHINE = ("cores", "cpu", "memory_gib", "system", "python", "load_before")
TARGET = ("about", "value", "limit", "met")


@dataclass
class Figure:
    """A figure while it is taken.

    Attributes:
        name: of the benchmark.
        about: one sentence: what is compared with what.
        data: the collection and what identifies it.
        settings: whatever else decides the outcome.
        runs: the values of every process, with its ``side`` and ``repeat``.
        ratios: by name, the ratio within each repeat and their median.
        targets: what was to be reached.
        checks: what the compared sides must agree on; all are true, or there is no result.
        notes: what a reader should know.
    """

    name: str
    about: str
    data: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    ratios: dict[str, dict[str, Any]] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=describe_machine)

    def add(self, side: str, repeat: int, values: Mapping[str, Any]) -> None:
        """Keep the values of one process."""
        self.runs.append({"side": side, "repeat": repeat, **values})

    def of(self, side: str) -> list[dict[str, Any]]:
        """Return the runs of a side, by repeat."""
        found = [run for run in self.runs if run["side"] == side]
        return sorted(found, key=lambda run: int(run["repeat"]))

    def median(self, side: str, value: str) -> float:
        """Return the median of a value over the runs of a side."""
        return float(median(run[value] for run in self.of(side)))

    def ratio(self, name: str, ours: Sequence[float], other: Sequence[float], about: str) -> float:
        """Keep the ratio within each repeat; return the median."""
        each = [round(a / b, 4) for a, b in zip(ours, other, strict=True)]
        self.ratios[name] = {"about": about, "repeats": each, "median": round(median(each), 4)}
        return float(self.ratios[name]["median"])

    def target(self, about: str, value: float, limit: float) -> None:
        """Keep what was to be reached: a value of at most ``limit``."""
        self.targets.append({"about": about, "value": value, "limit": limit, "met": value <= limit})

    def check(self, about: str, holds: bool) -> None:
        """Keep that the sides agree.

        Raises:
            BenchmarkError: they do not; a comparison of different work is worth nothing.
        """
        if not holds:
            raise BenchmarkError(f"{self.name}: it does not hold that {about}.")
        self.checks[about] = True

    def values(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "name": self.name,
            "about": self.about,
            "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
            "machine": self.machine,
            "packages": package_versions(),
            "data": self.data,
            "settings": self.settings,
            "medians": _medians(self.runs),
            "ratios": self.ratios,
            "targets": self.targets,
            "checks": self.checks,
            "notes": self.notes,
            "runs": self.runs,
        }


def _medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return, by side, the median of every number."""
    sides: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        numbers = sides.setdefault(str(run["side"]), {})
        for name, value in run.items():
            if name != "repeat" and isinstance(value, int | float) and not isinstance(value, bool):
                numbers.setdefault(name, []).append(value)
    return {
        side: {name: round(median(values), 4) for name, values in numbers.items()}
        for side, numbers in sides.items()
    }


def problems(result: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a result, nothing if it is as it must be."""
    wrong = [
        f"{name} is missing or of the wrong type"
        for name, kind in FIELDS.items()
        if not isinstance(result.get(name), kind)
    ]
    wrong += [f"unknown field {name}" for name in result if name not in FIELDS]
    if wrong:
        return wrong
    wrong += [f"machine.{name} is missing" for name in MACHINE if name not in result["machine"]]
    wrong += [
        f"machine.{name} does not belong" for name in result["machine"] if name not in MACHINE
    ]
    if not result["runs"] or not (result["targets"] or result["checks"]):
        wrong.append("there are no runs, or neither targets nor checks")
    for run in result["runs"]:
        if not isinstance(run.get("side"), str) or not isinstance(run.get("repeat"), int):
            wrong.append(f"a run without side or repeat: {run}")
        elif run["side"] not in result["medians"]:
            wrong.append(f"no medians for {run['side']}")
    for name, ratio in result["ratios"].items():
        if ratio.get("median") != round(median(ratio.get("repeats") or [float("nan")]), 4):
            wrong.append(f"the median of {name} is not that of its repeats")
    for target in result["targets"]:
        if sorted(target) != sorted(TARGET) or target["met"] != (
            target["value"] <= target["limit"]
        ):
            wrong.append(f"a target that contradicts itself: {target}")
    wrong += [f"not so: {about}" for about, holds in result["checks"].items() if holds is not True]
    return wrong


def write(figure: Figure, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write the result as ``<name>.json``; return its path and its values.

    Raises:
        BenchmarkError: the result is not as it must be.
    """
    values = figure.values()
    if wrong := problems(values):
        raise BenchmarkError(f"{figure.name}: {'; '.join(wrong)}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{figure.name}.json"
    path.write_text(
        json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    return path, values
