"""The demonstration on the standard library of the Python that runs the tests."""

from __future__ import annotations

import json
import shlex
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from datasets import Dataset, load_from_disk
from rich.console import Console
from small_collection import fail, invoke, snapshot, succeed

from hf_hardneg import BM25Retriever, Corpus, demo
from hf_hardneg.demo import DemoResult, FalseNegatives, run_demo, show_demo
from hf_hardneg.errors import OutputError
from hf_hardneg.stdlib_docs import StdlibCollection, StdlibPair, stdlib_collection
from hf_hardneg.testing import make_queries

TOPICS = ("alpha", "beta", "gamma", "delta", "omega", "sigma", "kappa", "theta")


@pytest.fixture(scope="session")
def library() -> StdlibCollection:
    """The collection, read once more than the demonstration reads it."""
    if not Path(sysconfig.get_paths()["stdlib"], "argparse.py").is_file():
        pytest.skip("this Python has no sources of its standard library")
    return stdlib_collection()


@pytest.fixture(scope="session")
def real(
    library: StdlibCollection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoResult]:
    """One demonstration for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HARDNEG_CACHE", str(tmp_path_factory.mktemp("demo cache")))
        yield run_demo(tmp_path_factory.mktemp("demo") / "out")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> StdlibCollection:
    """A collection as small as it can be: two of its documents answer the same query."""
    documents = [(f"m.f{n}", f"common text on {word}") for n, word in enumerate(TOPICS)]
    documents.append(("m.copy", "common alpha in other words"))
    queries = [f"Return the common {word}." for word in (*TOPICS, "alpha")]
    collection = StdlibCollection(
        documents=documents,
        pairs=[
            StdlibPair(f"q:{name}", query, name)
            for (name, _), query in zip(documents, queries, strict=True)
        ],
        relevant={query: frozenset({f"m.f{n}"}) for n, query in enumerate(queries[:-1])}
        | {queries[0]: frozenset({"m.f0", "m.copy"})},
        files=1,
        unreadable_files=0,
    )
    monkeypatch.setattr(demo, "stdlib_collection", lambda: collection)
    return collection


def shown(result: DemoResult, width: int = 80) -> str:
    stream = StringIO()
    show_demo(result, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_false_negatives_counted_again_from_the_folder(
    real: DemoResult, library: StdlibCollection
) -> None:
    relevant = library.relevant
    rows = load_from_disk(str(real.folder)).to_list()
    assert len(rows) >= 1_000
    false = sum(name in relevant[row["query"]] for row in rows for name in row["hard_negative_ids"])
    negatives = sum(len(row["hard_negative_ids"]) for row in rows)
    assert false == real.after.false == 0
    assert negatives == real.after.negatives > 4 * len(rows)
    assert real.after.rate == 0


def test_false_negatives_before_counted_again(real: DemoResult, library: StdlibCollection) -> None:
    corpus = Corpus(dict(library.documents))
    queries = make_queries(
        corpus, [pair.query for pair in library.pairs], [[] for _ in library.pairs]
    )
    found = BM25Retriever(corpus, top_k=6).retrieve(queries)
    false = negatives = 0
    for pair, rows in zip(library.pairs, found.rows, strict=True):
        names = [name for name in corpus.ids(rows[rows >= 0]) if name != pair.positive_id][:5]
        negatives += len(names)
        false += sum(name in library.relevant[pair.query] for name in names)
    assert (real.before.false, real.before.negatives) == (false, negatives)
    assert 0 < real.before.rate == false / negatives < 0.5


def test_what_was_caught_was_wrong_and_is_gone(real: DemoResult, library: StdlibCollection) -> None:
    relevant = library.relevant
    assert len(real.caught) == real.before.false
    for row, name in real.caught:
        data = real.mined[row]
        assert name in relevant[data["query"]]
        assert name != data["positive_id"]
        assert name not in data["hard_negative_ids"]


def test_the_folder_is_whole(real: DemoResult, library: StdlibCollection) -> None:
    files = snapshot(real.folder)
    recipe = json.loads(files["hardneg/recipe.json"])
    assert (recipe["strategy"], recipe["num_negatives"]) == ("bm25@100", 5)
    assert json.loads(files["hardneg/report.json"]) == real.report.to_dict()
    opened = load_from_disk(str(real.folder))
    assert opened.to_list() == real.mined.to_list()
    texts = dict(library.documents)
    for row in opened.select(range(50)).to_list():
        assert row["positive"] == texts[row["positive_id"]]
        assert row["hard_negatives"] == [texts[name] for name in row["hard_negative_ids"]]


@pytest.mark.parametrize("width", [80, 120])
def test_what_a_person_sees(real: DemoResult, width: int) -> None:
    text = shown(real, width)
    assert max(map(len, text.splitlines())) <= max(width, len(str(real.folder)) + 40)
    assert text.count("│ query ") == 3
    assert text.count("as relevant as the positive") >= 3
    assert f"{real.before.rate:.2%}" in text
    assert "0.00%" in text
    assert f"  load_from_disk({str(real.folder)!r})" in text.splitlines()  # to be copied
    row = real.mined[real.caught[0][0]]
    assert row["query"].split()[0] in text


@pytest.mark.parametrize("markup", [True, False])
def test_texts_are_shown_as_they_are(markup: bool, small: StdlibCollection, tmp_path: Path) -> None:
    odd = "a [red] word [/] and [/b] :smile: [link=x]y[/link]"
    result = run_demo(tmp_path / "out")
    rows = result.mined.to_list()
    for row in rows:
        row.update(query=odd, positive=odd, positive_id="m.[bold]f", hard_negatives=[odd] * 5)
    crafted = replace(
        result,
        mined=Dataset.from_list(rows),
        caught=[(0, "m.[/red]g")],
        folder=tmp_path / "[red]" / ":smile:",
    )
    stream = StringIO()
    show_demo(crafted, Console(file=stream, width=200, markup=markup, emoji=markup))
    lines = stream.getvalue().splitlines()
    assert sum(odd in line for line in lines) == 7
    assert any("m.[bold]f" in line for line in lines)
    assert any("m.[/red]g: as relevant as the positive" in line for line in lines)
    assert f"  load_from_disk({str(crafted.folder)!r})" in lines
    assert f"  hf-hardneg inspect {shlex.quote(str(crafted.folder))}" in lines


def test_a_set_without_anything_caught_is_shown(small: StdlibCollection, tmp_path: Path) -> None:
    result = replace(run_demo(tmp_path / "out"), caught=[], before=FalseNegatives(0, 0))
    text = shown(result)
    assert text.count("│ query ") == 3
    assert "kept out" not in text
    assert result.before.rate == 0


def test_long_texts_are_cut_and_short_ones_are_not(small: StdlibCollection, tmp_path: Path) -> None:
    result = run_demo(tmp_path / "out")
    rows = result.mined.to_list()
    rows[0] = {**rows[0], "positive": "x" * 220, "hard_negatives": ["y" * 221] * 5}
    text = shown(replace(result, mined=Dataset.from_list(rows), caught=[(0, "m.copy")]), 400)
    assert "x" * 220 in text
    assert "y" * 219 + "…" in text
    assert "y" * 220 not in text


def test_json_is_one_document(small: StdlibCollection, tmp_path: Path) -> None:
    result = succeed("demo", "--output", tmp_path / "out", "--format", "json")
    values = json.loads(result.stdout)
    assert values["rows_in"] == len(small.pairs)
    assert 0 < values["false_negative_rate_before"] < 1
    assert values["false_negative_rate_after"] == 0


def test_people_see_it_at_the_command_line(small: StdlibCollection, tmp_path: Path) -> None:
    result = succeed("demo", "--output", tmp_path / "out")
    assert "False negatives, counted exactly" in result.stdout
    assert load_from_disk(str(tmp_path / "out")).num_rows == len(small.pairs)


def test_an_earlier_demonstration_is_replaced_and_nothing_else(
    small: StdlibCollection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        run_demo(out)
    with pytest.raises(OutputError, match="is not empty"):
        run_demo(out, overwrite=False)
    other = tmp_path / "other"
    (other / "hardneg").mkdir(parents=True)
    (other / "hardneg" / "recipe.json").write_text('{"strategy": "bm25"}')
    before = snapshot(tmp_path)
    for place in (other, tmp_path):
        assert "holds something else" in fail("demo", "--output", place)
    assert "is a file" in fail("demo", "--output", other / "hardneg" / "recipe.json")
    assert snapshot(tmp_path) == before


def test_interrupted(
    small: StdlibCollection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*values: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "write_mined", interrupt)
    result = invoke("demo", "--output", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.strip() == "interrupted; nothing was written."
    assert not (tmp_path / "out").exists()
