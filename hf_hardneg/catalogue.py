"""What there is to choose from: presets and stages as tables, read from the classes themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from inspect import Parameter
from types import MappingProxyType
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.errors import HardNegError, StrategyError, did_you_mean, listing
from hf_hardneg.presets import PRESETS
from hf_hardneg.registry import ALIASES, kind_of, registered, selecting_name
from hf_hardneg.retrievers import RandomRetriever, Retriever
from hf_hardneg.stage import Stage
from hf_hardneg.strategy import parse

__all__ = ["Entry", "catalogue", "details", "entries_of", "markdown", "tables"]

NEED_NAMES = {
    "scores": "scores",
    "vectors": "document vectors",
    "unit vectors": "cosine scores",
}
ALL_ROWS = "all rows first"
MODEL = "a model"
HEADINGS = {
    "preset": "Presets",
    "retriever": "Retrievers",
    "joiner": "After several retrievers, or one",
    "row filter": "Row filters",
    "filter": "Filters",
    "veto": "Vetoes",
    "diversity": "Diversity",
    "sampler": "Samplers",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A preset or a stage.

    Attributes:
        name: as it stands in a strategy string.
        kind: ``preset``, or one of :data:`~hf_hardneg.registry.KINDS`.
        about: what it does, in a sentence.
        parameters: with their defaults; of a preset, its strategy string.
        needs: what it needs: a model, scores, vectors, all rows before the first.
        costs: what it costs, if that is more than a look at some arrays.
        source: the paper.
        num_negatives: of a preset, if its source takes a number of its own.
    """

    name: str
    kind: str
    about: str
    parameters: str
    needs: tuple[str, ...]
    costs: str
    source: str
    num_negatives: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain values for JSON."""
        return asdict(self)


def _needs(stage: type[Stage], arguments: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """Return what a stage needs that is called with these arguments."""
    needs = [MODEL] if "model" in stage.defaults() else []
    needs += [NEED_NAMES[need] for need in stage.needs]
    if issubclass(stage, Retriever) or "corpus" in stage.context():
        return needs
    try:
        made = stage(**arguments)
    except (HardNegError, TypeError):  # without parameters of its user it is nothing yet
        return needs
    return [*needs, ALL_ROWS] if made.needs_fit else needs


def _parameters(stage: type[Stage]) -> str:
    """Return the parameters as a strategy string takes them, with their defaults."""
    shown = []
    for name, default in stage.defaults().items():
        needed = default is Parameter.empty
        shown.append(name if needed else f"{name}={default!r}")
    return ", ".join(shown)


def _about(stage: type[Stage]) -> str:
    """Return the first paragraph of what the class says of itself."""
    first = inspect.cleandoc(stage.__doc__ or "").partition("\n\n")[0]
    return re.sub(r":\w+:`", "`", " ".join(first.split()))


def _entry(stage: type[Stage]) -> Entry:
    return Entry(
        stage.name,
        kind_of(stage),
        _about(stage),
        _parameters(stage),
        tuple(_needs(stage)),
        stage.costs,
        stage.source,
    )


def _preset(name: str) -> Entry:
    preset = PRESETS[name]
    parsed = parse(preset.strategy)
    stages = parsed.classes
    gives_scores = not issubclass(stages[0], RandomRetriever)
    calls = zip(stages, parsed.calls, strict=True)
    needs = [need for stage, call in calls for need in _needs(stage, call.arguments)]
    # Its own retrievers give the scores and vectors that its other stages need.
    own = set(NEED_NAMES.values()) if gives_scores else set()
    return Entry(
        name,
        "preset",
        preset.about,
        preset.strategy,
        tuple(dict.fromkeys(need for need in needs if need not in own)),
        "; ".join(dict.fromkeys(stage.costs for stage in stages if stage.costs)),
        preset.source,
        preset.num_negatives,
    )


def catalogue() -> list[Entry]:
    """Return all presets, then all stages by kind."""
    stages = [_entry(stage) for stage in registered().all]
    ordered = [entry for kind in HEADINGS for entry in stages if entry.kind == kind]
    return [*map(_preset, PRESETS), *ordered]


def entries_of(name: str) -> list[Entry]:
    """Return what stands under a name: a preset, a stage, or both.

    Raises:
        StrategyError: nothing does; names the nearest match.
    """
    entries = catalogue()
    wanted = {name, selecting_name(name)}
    found = [entry for entry in entries if entry.name in wanted]
    if not found:
        names = sorted({*(entry.name for entry in entries), *ALIASES})
        raise StrategyError(
            f"there is no preset and no stage {name!r}.{did_you_mean(name, names)} There are: "
            f"{listing(names, 60)}."
        )
    return found


def details(name: str) -> str:
    """Return all that is said of a stage or preset, its parameters among it.

    Raises:
        StrategyError: there is none of that name.
    """
    parts = []
    for entry in entries_of(name):
        head = f"{entry.name} ({entry.kind})"
        if entry.kind == "preset":
            number = f"\nNegatives: {entry.num_negatives}" if entry.num_negatives else ""
            parts.append(
                f"{head}\n{entry.about}\n\nStrategy: {entry.parameters}{number}\n"
                f"Source: {entry.source}"
            )
            continue
        stage = next(
            one for one in registered().all if one.name == entry.name and kind_of(one) == entry.kind
        )
        parts.append(f"{head}\n{inspect.cleandoc(stage.__doc__ or '')}")
    return "\n\n".join(parts)


def tables(entries: list[Entry]) -> Group:
    """Return entries for a terminal, a block for each kind."""
    parts: list[Any] = []
    for kind, heading in HEADINGS.items():
        own = [entry for entry in entries if entry.kind == kind]
        if not own:
            continue
        grid = Table.grid(padding=(0, 2), pad_edge=True)
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column()
        for entry in own:
            grid.add_row(entry.name, Text(_plain(entry.about)))
            if kind == "preset" and entry.parameters != entry.name:
                grid.add_row("", Text(entry.parameters, style="italic"))
            grid.add_row("", Text(_facts(entry), style="dim"))
        parts += [Text(heading, style="bold underline"), grid, Text()]
    return Group(*parts, Text("hf-hardneg strategies NAME tells all parameters of one."))


def _facts(entry: Entry) -> str:
    """Return needs, number, costs and source in a line."""
    needs = f"needs {', '.join(entry.needs)}" if entry.needs else ""
    number = f"{entry.num_negatives} negatives" if entry.num_negatives else ""
    return " | ".join(filter(None, (needs, number, entry.costs, entry.source)))


PAGE = """# Presets and stages

This page is made from the code by `make stages`. `hf-hardneg strategies` shows the same in a
terminal, and `hf-hardneg strategies NAME` all that there is to say about one. How stages are put
together is told in [Strategies](strategies.md).

"""


def markdown() -> str:
    """Return the page of the documentation: all tables as Markdown."""
    entries = catalogue()
    parts = [PAGE.rstrip("\n") + "\n"]
    for kind, heading in HEADINGS.items():
        own = [entry for entry in entries if entry.kind == kind]
        if own:
            parts.append(f"## {heading}\n\n{_presets(own) if kind == 'preset' else _stages(own)}")
    return "\n".join(parts)


def _presets(entries: list[Entry]) -> str:
    lines = ["| name | strategy | what it does | negatives | needs | costs | source |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for entry in entries:
        number = "" if entry.num_negatives is None else str(entry.num_negatives)
        lines.append(
            f"| `{entry.name}` | `{entry.parameters}` | {entry.about} | {number} "
            f"| {', '.join(entry.needs)} | {entry.costs} | {entry.source} |"
        )
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return _plain(text).replace("|", "\\|")


def _stages(entries: list[Entry]) -> str:
    lines = ["| name | what it does | parameters | needs | costs | source |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    names = {stage: alias for alias, stage in ALIASES.items()}
    for entry in entries:
        also = f", `{names[entry.name]}`" if entry.name in names else ""
        parameters = f"`{entry.parameters}`" if entry.parameters else ""
        lines.append(
            f"| `{entry.name}`{also} | {_cell(entry.about)} | {parameters} "
            f"| {', '.join(entry.needs)} | {entry.costs} | {entry.source} |"
        )
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return a sentence of a docstring as Markdown: one back tick for two."""
    return text.replace("``", "`")
