"""What calibration found: as an object, as JSON, as tables, and as a figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from hf_hardneg.errors import MissingExtraError
from hf_hardneg.evaluation.decisions import RISK, RISK_SERVED, Measured
from hf_hardneg.risk_model import RiskModel

__all__ = ["Calibration", "Choice", "Met", "Point"]

MODEL_FILE = "risk.json"
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Point:
    """A decision and its figures on held-out queries."""

    value: float
    text: str
    held_out: Measured

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"value": self.value, "stage": self.text, "held_out": self.held_out.to_dict()}


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision that meets a target.

    Attributes:
        family: its kind.
        value: its threshold.
        text: the stage of a strategy string; of ``risk`` without the model.
        seen: figures on the queries that fitted and calibrated.
        held_out: figures on the others.
        certified: whether learn then test lets it pass.
    """

    family: str
    value: float
    text: str
    seen: Measured
    held_out: Measured
    certified: bool

    def stage(self, model: str, cross_encoder: Mapping[str, Any] | None = None) -> str:
        """Return the stage of a strategy string.

        Args:
            model: the file of the model.
            cross_encoder: parameters of ``risk`` beside it, for a cross-encoder; default: none.
        """
        if self.family not in (RISK, RISK_SERVED):
            return self.text
        given = {"model": model, **(cross_encoder or {})}
        more = "".join(f", {name}={value!r}" for name, value in given.items())
        return f"{self.text[:-1]}{more})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "family": self.family, "value": self.value, "stage": self.text,
            "seen": self.seen.to_dict(), "held_out": self.held_out.to_dict(),
            "certified": self.certified,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Met:
    """What meets one target.

    Attributes:
        target: the share of false negatives.
        certified: the hardest decision that is certified; ``None`` where none is.
        estimate: the hardest whose rate on the seen queries is at most the target: no promise.
        risk_certified, risk_estimate: the same of the risk cuts alone.
        families: the same two of every family.
        average: the risk cut of conformal risk control, of false negatives a place asked for;
            ``None`` where there is none, or the labels are a sample.
        promise: what kind of promise a certified one is.
        queries_needed: fewest calibration queries that could certify the target at all.
        lowest: the lowest rate on the seen queries that any decision reaches which serves enough.
    """

    target: float
    certified: Choice | None
    estimate: Choice | None
    risk_certified: Choice | None
    risk_estimate: Choice | None
    families: Mapping[str, tuple[Choice | None, Choice | None]]
    average: Point | None
    promise: str
    queries_needed: int
    lowest: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""

        def of(choice: Choice | Point | None) -> dict[str, Any] | None:
            return None if choice is None else choice.to_dict()

        return {
            "target": self.target,
            "certified": of(self.certified),
            "estimate": of(self.estimate),
            "risk_certified": of(self.risk_certified),
            "risk_estimate": of(self.risk_estimate),
            "families": {
                name: {"certified": of(one), "estimate": of(other)}
                for name, (one, other) in self.families.items()
            },
            "on_average": of(self.average),
            "promise": self.promise,
            "queries_needed": self.queries_needed,
            "lowest_rate": self.lowest,
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """What calibration found.

    Attributes:
        retriever: the retriever part of the strategy string.
        num_negatives: negatives a row.
        delta: the chance that is taken of a promise that does not hold.
        min_served: share of the rows that a decision has to serve.
        origin: where the labels are from.
        complete: whether every candidate's relevance is known.
        queries: how many fit, calibrate, and are held out.
        model: the model of risk, with its cuts.
        met: by target.
        curves: every decision of every family, on held-out queries.
        notes: what a reader should know.
        saved: the file of the model, ``None`` where it was not saved.
        cross_encoder: parameters of ``risk`` that give it the cross-encoder of the signals; empty
            without one.
    """

    retriever: str
    num_negatives: int
    delta: float
    min_served: float
    origin: str
    complete: bool
    queries: Mapping[str, int]
    model: RiskModel
    met: tuple[Met, ...]
    curves: tuple[tuple[str, tuple[Point, ...]], ...]
    notes: tuple[str, ...] = field(default=())
    saved: str | None = None
    cross_encoder: Mapping[str, Any] = field(default_factory=dict)

    def strategy(self, choice: Choice) -> str:
        """Return the strategy string of a choice."""
        return f"{self.retriever}+{choice.stage(self.saved or MODEL_FILE, self.cross_encoder)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        met = []
        for one in self.met:
            values = one.to_dict()
            for name in ("certified", "estimate"):
                choice = getattr(one, name)
                if choice is not None:
                    values[name]["strategy"] = self.strategy(choice)
            met.append({**values, "says": self.verdict(one)})
        return {
            "retriever": self.retriever,
            "num_negatives": self.num_negatives,
            "delta": self.delta,
            "min_served": self.min_served,
            "origin": self.origin,
            "complete": self.complete,
            "queries": dict(self.queries),
            "targets": met,
            "curves": {name: [one.to_dict() for one in points] for name, points in self.curves},
            "model": self.model.to_dict(),
            "saved": self.saved,
            "cross_encoder": dict(self.cross_encoder) or None,
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return it as JSON; it never holds NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def verdict(self, one: Met) -> str:
        """Say in a sentence or two what is promised for a target, and what is not."""
        calibrated = self.queries["calibrate"]
        target = f"{one.target:.1%}"
        if one.certified is not None:
            how = "" if one.promise == "high probability" else (
                " by a normal approximation, since the labels are a sample"
            )  # fmt: skip
            counted = (
                " Only known positives count as false; what nobody has labelled is not seen."
                if self.origin == "hidden positives"
                else ""
            )
            return (
                f"At most {target} false negatives is promised with a chance of "
                f"{1 - self.delta:.0%} over {calibrated:,} calibration queries{how}.{counted}"
            )
        short = (
            f" {calibrated:,} calibration queries cannot certify it, whatever they show; "
            f"{one.queries_needed:,} could."
            if calibrated < one.queries_needed and self.complete
            else ""
        )
        if one.estimate is not None:
            return (
                f"{target} is not certified.{short} Best estimate, without a promise: the decision "
                "below."
            )
        lowest = (
            "" if one.lowest is None else f" The lowest rate that any reaches is {one.lowest:.1%}."
        )
        return (
            f"Nothing that serves {self.min_served:.0%} of the rows meets {target}, by the best "
            f"estimate either.{short}{lowest} Retrieve deeper (dense@300), with another retriever, "
            "or take a higher target."
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show it in a terminal."""
        yield from self._about()
        for one in self.met:
            yield Text()
            yield Text(f"Target {one.target:.1%}. {self.verdict(one)}", style="bold")
            if one.certified is not None:
                yield from self._shown("Promised", one.certified)
            if one.estimate is not None and not _same(one.certified, one.estimate):
                yield from self._shown("Best estimate, nothing promised", one.estimate)
            if one.certified is not None or one.estimate is not None:
                yield self._choices(one)
        yield Text()
        yield self._curve()
        for note in self.notes:
            yield Text(note)

    def _shown(self, what: str, choice: Choice) -> Iterator[Text]:
        """Say what a choice is expected to yield, and its strategy string on lines of its own."""
        held = choice.held_out
        yield Text(
            f"{what}: {held.served:.0%} of the rows get all {self.num_negatives} negatives, "
            f"{held.filled:.0%} of the places are filled."
        )
        yield Text(f"  {self.strategy(choice)}", overflow="fold")

    def _about(self) -> Iterator[Text]:
        counts = self.queries
        yield Text(
            f"{self.retriever}, {self.num_negatives} negatives a row. Labels: {self.origin}. "
            f"Queries: {counts['fit']:,} to fit, {counts['calibrate']:,} to calibrate, "
            f"{counts['held_out']:,} held out.",
            overflow="fold",
        )
        held = self.model.figures.get("held_out", {})
        if held.get("pairs"):
            yield Text(
                f"Model of risk: {self.model.labels:,} pairs, {self.model.relevant:.1%} relevant, "
                f"C = {self.model.penalty:g}. On held-out queries: Brier score "
                f"{held['brier']:.4f} (base rate alone: {held['brier_of_base_rate']:.4f}), "
                f"calibration error {held['error']:.3f}.",
                overflow="fold",
            )

    def _choices(self, one: Met) -> Table:
        """Return the hardest decision of each family: certified ones, and best estimates."""
        table = _table("decision")
        for name, choices in one.families.items():
            certified, estimate = choices
            if certified is None and estimate is None:
                table.add_row(Text(f"{name}: none meets it"))
            if certified is not None:
                table.add_row(Text(certified.text), *_cells(certified.held_out), Text("yes"))
            if estimate is not None and not _same(certified, estimate):
                word = "yes" if estimate.certified else "no"
                table.add_row(Text(estimate.text), *_cells(estimate.held_out), Text(word))
        table.title = "The hardest of each kind, on held-out queries"
        return table

    def _curve(self) -> Table:
        """Return the curve of the risk cut that serves every query."""
        table = _table("decision", certified=False)
        table.title = f"The curve of {RISK_SERVED}, on held-out queries"
        points = dict(self.curves).get(RISK_SERVED, ())
        step = max(len(points) / SHOWN, 1)
        places = sorted({min(int(number * step), len(points) - 1) for number in range(SHOWN + 1)})
        for place in places if points else ():
            table.add_row(Text(points[place].text), *_cells(points[place].held_out))
        return table

    def draw(self, path: Path) -> None:
        """Draw the rate of false negatives against mean rank and against rows served.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        try:
            import matplotlib
        except ImportError as error:
            raise MissingExtraError("matplotlib", "plots", "a figure") from error
        matplotlib.use("agg" if path.suffix == ".png" else "svg")
        from matplotlib import pyplot

        with matplotlib.rc_context({"svg.hashsalt": "calibration", "font.size": 10}):
            canvas, panels = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
            for name, points in self.curves:
                shown = [one.held_out for one in points if one.held_out.rate is not None]
                rates = [one.rate for one in shown]
                bold = 2.2 if name.startswith(RISK) else 1.0
                panels[0].plot([one.mean_rank for one in shown], rates, marker=".", lw=bold)
                panels[1].plot(
                    [one.served for one in shown], rates, marker=".", lw=bold, label=name
                )
            for one in self.met:
                for panel in panels:
                    panel.axhline(one.target, color="0.6", lw=0.8, ls=":")
            panels[0].set(xlabel="mean rank of the negatives", ylabel="false negatives, share")
            panels[1].set(xlabel="rows with all their negatives, share")
            panels[1].legend(frameon=False, fontsize=8)
            path.parent.mkdir(parents=True, exist_ok=True)
            canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
            pyplot.close(canvas)


def _same(one: Choice | None, other: Choice) -> bool:
    return one is not None and one.text == other.text


def _table(first: str, *, certified: bool = True) -> Table:
    table = Table(title_justify="left")
    table.add_column(first, overflow="fold")
    for name in ("false", "interval", "mean rank", "served", "filled"):
        table.add_column(name, justify="right")
    if certified:
        table.add_column("certified", justify="right")
    return table


def _cells(one: Measured) -> list[Text]:
    rate = "-" if one.rate is None else f"{one.rate:.1%}"
    between = "-" if one.low is None or one.high is None else f"{one.low:.1%} to {one.high:.1%}"
    rank = "-" if one.mean_rank is None else f"{one.mean_rank:.1f}"
    return [Text(cell) for cell in
            (rate, between, rank, f"{one.served:.1%}", f"{one.filled:.1%}")]  # fmt: skip
