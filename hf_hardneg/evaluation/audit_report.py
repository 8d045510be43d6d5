"""What an audit found: as an object, as JSON, as tables for a terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.evaluation.audit_remarks import remarks_on
from hf_hardneg.evaluation.finding import ERROR, WARNING, Example, Finding
from hf_hardneg.pages import percent, render, visible
from hf_hardneg.rates import Rate

__all__ = ["Audit"]

COLOURS = {ERROR: "bold red", WARNING: "yellow"}
SHOWN = 100
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        source: what was looked at.
        rows: of the set.
        positives, negatives: documents of all rows.
        findings: one for each check, also those that found nothing or could not look.
        notes: how the set was read.
        rates: of false negatives, one for each thing that was given to tell it by.
    """

    source: str
    rows: int
    positives: int
    negatives: int
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)

    def of(self, name: str) -> Finding:
        """Return the finding of a check, by its name.

        Raises:
            KeyError: there is no such check.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def found(self, severity: str) -> list[Finding]:
        """Return the findings of a severity that found anything."""
        return [one for one in self.findings if one.severity == severity and one.found]

    @property
    def errors(self) -> int:
        """How many checks of severity ``error`` found anything; what ``--strict`` goes by."""
        return len(self.found(ERROR))

    @property
    def unchecked(self) -> list[Finding]:
        """Return what could not be looked for."""
        return [one for one in self.findings if one.skipped]

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        warnings = len(self.found(WARNING))
        names = f"{_number(self.errors, 'error')} and {_number(warnings, 'warning')}"
        left = f"; {len(self.unchecked)} not checked" if self.unchecked else ""
        checked = len(self.findings) - len(self.unchecked)
        return f"{names} in {_number(checked, 'check')}{left}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "source": self.source,
            "rows": self.rows,
            "positives": self.positives,
            "negatives": self.negatives,
            "errors": self.errors,
            "warnings": len(self.found(WARNING)),
            "notes": list(self.notes),
            "rates": [rate.to_dict() for rate in self.rates],
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def to_json(self) -> str:
        """Return JSON; it never holds NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def to_html(self) -> str:
        """Return one HTML page that needs nothing else."""
        rates = [(rate, remarks_on(rate)) for rate in self.rates]
        return render("audit.html", audit=self, rates=rates)

    def __str__(self) -> str:
        """Return the tables as text."""
        stream = StringIO()
        Console(file=stream, width=WIDTH, color_system=None).print(self.__rich__())
        return stream.getvalue()

    def __rich__(self) -> Group:
        """Return the tables for a terminal."""
        parts: list[Any] = [_line(f"Audit of {self.source}"), _overview(self), _table(self)]
        for one in self.findings:
            if one.found and one.examples:
                parts += [_line(f"{one.title}: {one.about}"), _examples(one)]
        for finding in self.unchecked:
            parts.append(_line(f"Not checked: {finding.title.lower()}: {finding.skipped}."))
        for rate in self.rates:
            parts.append(Text(visible(f"False negatives: {rate}"), style="bold"))
            parts += [_line(f"  {remark}") for remark in remarks_on(rate)]
            parts += [_line(f"  Assumed: {assumed}") for assumed in rate.assumed]
        parts += [_line(f"Note: {note}") for note in self.notes]
        return Group(*parts, Text(self.verdict, style="bold"))


def _line(text: str) -> Text:
    return Text(visible(text))


def _number(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def _overview(audit: Audit) -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name in ("rows", "positives", "negatives"):
        table.add_row(name, f"{getattr(audit, name):,}")
    return table


def _table(audit: Audit) -> Table:
    table = Table()
    table.add_column("check")
    table.add_column("severity")
    for name in ("count", "of", "share", "rows"):
        table.add_column(name, justify="left" if name == "of" else "right")
    for one in audit.findings:
        if one.skipped:
            table.add_row(one.title, "not checked", "-", one.of, "-", "-", style="dim")
            continue
        style = COLOURS.get(one.severity, "") if one.found else ""
        severity = Text(one.severity if one.found else "ok", style=style)
        share = percent(one.share)
        table.add_row(one.title, severity, f"{one.count:,}", one.of, share, f"{one.rows:,}")
        for name, count in one.parts.items():
            table.add_row(f"  {name}", "", f"{count:,}", "", "", "", style="dim")
    return table


def _examples(finding: Finding) -> Table:
    table = Table()
    table.add_column("row", justify="right")
    for name in ("query", "positive", "negative"):
        table.add_column(name, overflow="fold")
    for one in finding.examples:
        table.add_row(f"{one.row:,}", _cell(one.query), _cell(one.positive), _negative(one))
    return table


def _negative(example: Example) -> Text:
    text = _cell(example.negative or "")
    if example.note:
        text.append(f" ({example.note})", style="italic")
    return text


def _cell(text: str) -> Text:
    """Return a text cut for a terminal, without what would move its cursor."""
    shown = visible(" ".join(text.split()))
    return Text(shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…")
