"""The files of a comparison: whole or absent, escaped, the same bytes for the same table."""

from __future__ import annotations

import builtins
import html.parser
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hf_hardneg.errors import MissingExtraError, OutputError
from hf_hardneg.evaluation import compare_outputs
from hf_hardneg.evaluation.compare_figures import Diversity, HardnessFigures
from hf_hardneg.evaluation.compare_outputs import markdown, write_comparison
from hf_hardneg.evaluation.compare_page import page
from hf_hardneg.evaluation.compare_plot import draw, points_of
from hf_hardneg.evaluation.comparison import (
    ComparisonTable,
    Gain,
    Measured,
    StrategyFigures,
    Trained,
)
from hf_hardneg.rates import Rate

ODD = "bm25|<script>alert(1)</script>$x$ $y$"


def strategy(name: str, rate: float | None) -> StrategyFigures:
    if rate is None:
        judged = Rate("judged", None, None, None, 0, why="there are no judgements")
    else:
        judged = Rate("judged", rate, max(rate - 0.01, 0), rate + 0.01, 100)
    return StrategyFigures(
        strategy=name, canonical=name, pool="bm25@100", rows=100, rows_out=100, asked=100,
        negatives=90, rows_short=10, false_negatives={"judged": judged},
        hardness=HardnessFigures(0.8, 0.1, 3.0, 90), diversity=Diversity(90, 70, 4), calls=1234,
        seconds={"retrieve": 1.0, "choose": 0.5},
    )  # fmt: skip


def trained(name: str, gain: float | None) -> Trained:
    over = None if gain is None else Gain(gain, gain - 0.01, gain + 0.02, 0.03)
    mean = 0.7 + (gain or 0)
    own = Measured(mean, mean - 0.01, mean + 0.01, [mean, mean], over)
    return Trained(name, {"MRR@10": own, "nDCG@10": own}, 100, 10, 0, 5, {"train": 2.0})


def table(*names: str) -> ComparisonTable:
    settings = {"rows": 100, "num_negatives": 1, "seed": 0, "training": {
        "model": "m", "steps": 5, "batch_size": 4, "learning_rate": 0.1, "seeds": [0, 1],
        "held_out_queries": 10}}  # fmt: skip
    return ComparisonTable(
        [strategy(name, 0.02 * place) for place, name in enumerate(names)],
        [trained("untrained", -0.3), trained(names[0], None),
         *(trained(name, 0.01 * place) for place, name in enumerate(names[1:]))],
        settings, ["a <b>note</b>"],
    )  # fmt: skip


def test_all_files_are_written_and_say_the_same(tmp_path: Path) -> None:
    files = write_comparison(table("random", ODD, "dense"), tmp_path / "out")
    names = sorted(path.name for path in files)
    assert names == ["compare.html", "compare.json", "figure.svg", "table.md"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    values = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [one["strategy"] for one in values["strategies"]] == ["random", ODD, "dense"]
    assert values["strategies"][0]["yield"] == 0.9
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| random | 90.0% | 10 | 0.00% | 0.00% to 1.00% | 0.800 |" in text
    assert "| dense | 100 | 2 | 0.7100 ± 0.0100 | +0.0100 ± 0.0200 | 0.0300 |" in text


def test_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    own = table("random", ODD)
    lines = [line for line in markdown(own).splitlines() if "alert" in line]
    assert lines
    widths = {len(line.replace("\\|", "").split("|")) for line in lines if line.startswith("|")}
    assert len(widths) == 2  # of the two tables: the bar of the name makes no column
    assert "<script>" not in markdown(own).replace("\\<script\\>", "")
    shown = page(own, draw(own))
    assert "<script" not in shown
    assert "<b>note" not in shown
    assert "&lt;b&gt;note" in shown
    assert not re.search(r"(src|href)=.?(https?:|//)|url\(.?http|@import", shown)


def test_the_page_is_well_formed() -> None:
    left: list[str] = []

    class Stack(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "br"):
                left.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert left.pop() == tag

    parser = Stack()
    own = table("random", ODD)
    parser.feed(page(own, draw(own)))
    assert left == []


def test_the_drawing_is_xml_with_the_same_bytes() -> None:
    own = table("random", ODD, "dense")
    drawing = draw(own)
    assert drawing == draw(own)
    assert drawing is not None
    texts = [node.text for node in ElementTree.fromstring(drawing).iter() if node.text]
    assert {"random", "dense", ODD} <= set(texts)
    assert any("gain in MRR@10 over random" in text for text in texts)


def test_what_has_no_interval_is_shown_without_one() -> None:
    """No bar of no length and no ± 0, which would say that it is certain."""
    own = table("random", "bm25")
    alone = replace(own.trained[2], measures={
        name: Measured(0.8, None, None, [0.8], Gain(0.1, None, None, 0.5))
        for name in ("MRR@10", "nDCG@10")
    })  # fmt: skip
    rate = replace(
        own.strategies[1], false_negatives={"judged": Rate("judged", 0.1, None, None, 3)}
    )
    bare = ComparisonTable([own.strategies[0], rate], [*own.trained[:2], alone], {}, [])
    [_, point] = points_of(bare)
    assert (point.rate_ends, point.gain_ends) == (None, None)
    assert "| bm25 | 90.0% | 10 | 10.00% | - |" in markdown(bare)
    assert "| bm25 | 100 | 1 | 0.8000 | +0.1000 | 0.5000 |" in markdown(bare)
    bars = [str(draw(one)).count('id="LineCollection_') for one in (own, bare)]
    assert bars == [3, 1]  # the gain of the first is 0 by definition and never has one


def test_labels_do_not_cover_each_other() -> None:
    names = [f"a strategy with number {number}" for number in range(6)]
    own = ComparisonTable(
        [strategy(name, 0.02 + number * 1e-4) for number, name in enumerate(names)],
        [trained(names[0], None), *(trained(name, 0.001) for name in names[1:])], {}, [],
    )  # fmt: skip
    root = ElementTree.fromstring(draw(own) or "")
    places = [
        tuple(node.attrib.get("transform", "").split())
        for node in root.iter("{http://www.w3.org/2000/svg}text")
        if node.text in names
    ]
    assert len(places) == len(set(places)) == len(names)


def test_a_point_needs_a_rate_and_a_gain() -> None:
    own = table("random", "bm25", "dense")
    lost = ComparisonTable(
        [own.strategies[0], strategy("bm25", None), own.strategies[2]], own.trained, {}, []
    )
    assert [point.label for point in points_of(lost)] == ["random", "dense"]


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_comparison(table("random"), out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    write_comparison(table("random", "bm25"), out, overwrite=True)
    assert not (out / "mine.txt").exists()


def test_a_failure_while_writing_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_comparison(table("random", "bm25"), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def broken(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    written = Path.write_text

    def cut(self: Path, *rest: Any, **options: Any) -> int:
        if self.name == "compare.html":
            broken()
        return written(self, *rest, **options)

    monkeypatch.setattr(compare_outputs.Path, "write_text", cut)
    with pytest.raises(OSError, match=r"disk|space"):
        write_comparison(table("random", "dense"), out, overwrite=True)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"hf-hardneg\[plots\]"):
        draw(table("random", "bm25"))
