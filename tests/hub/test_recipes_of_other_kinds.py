"""Recipes with a calibrated risk, and with what a search engine holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_models import WORDS, save_bi_encoder

from hf_hardneg.errors import RecipeError
from hf_hardneg.hub.build import build
from hf_hardneg.hub.recipe import check_files, load_recipe
from hf_hardneg.hub.reproduce import reproduce
from hf_hardneg.risk_fit import Pairs, fit_risk
from hf_hardneg.risk_model import Cut

RECIPE = """\
version: 1
name: other
data: {queries: ./beir, split: train}
mining:
  strategy: dense@20+risk
  settings: {dense.model: ./model, risk.max: 0.9}
  num_negatives: 2
  underfilled: keep
outputs: [ids, pool]
evaluation:
  false_negatives: [judged]
  judgements: ./beir/qrels/deep.tsv
"""
SIGNALS = ("score/positive", "score", "positive-score", "log-rank", "document-similarity",
           "document-similarity/query")  # fmt: skip
QUERIES, EACH = 30, 4
SHALLOW = 2
"""Documents of each query that the judgements for the mining name; the deeper ones name all."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A recipe with a folder in BEIR layout: each query has four documents of its words."""
    folder = tmp_path / "home"
    (folder / "beir" / "qrels").mkdir(parents=True)
    words = list(WORDS)
    texts = [" ".join(words[(n + step) % len(words)] for step in (0, 3, 7)) for n in range(QUERIES)]
    queries = [{"_id": f"q{n}", "text": f"{text} {n}"} for n, text in enumerate(texts)]
    documents = [
        {"_id": f"d{n}-{k}", "text": f"{text} {words[(n * k) % len(words)]} {n} {k}"}
        for n, text in enumerate(texts)
        for k in range(EACH)
    ]
    for name, rows in (("queries", queries), ("corpus", documents)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "beir" / f"{name}.jsonl").write_text(lines)
    for name, deep in (("train", SHALLOW), ("deep", EACH)):
        rows = (f"q{n}\td{n}-{k}\t1\n" for n in range(QUERIES) for k in range(deep))
        path = folder / "beir" / "qrels" / f"{name}.tsv"
        path.write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    save_bi_encoder(folder)
    (folder / "r.yaml").write_text(RECIPE)
    return folder


def put_risk(home: Path) -> dict[str, object]:
    """Put a calibrated model of risk beside the recipe; return what a recipe says of it."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, len(SIGNALS)))
    labels = (rng.random(300) < 1 / (1 + np.exp(-values[:, 0]))).astype(np.float64)
    groups = rng.integers(0, 20, 300).astype(np.uint64)
    pairs = Pairs(SIGNALS, values, labels, np.ones(300), groups)
    cut = Cut(0.05, 0.9, 0, "high probability", 0.1, 90, 2)
    model = fit_risk(pairs, "judgements").model.with_(cuts=(cut,))
    (home / "risk.json").write_text(model.to_json())
    settings = {"dense.model": "./model", "risk.model": "./risk.json", "risk.target": 0.05,
                "risk.max": None}  # fmt: skip
    return {"mining.settings": settings}


def test_risk_that_is_fitted_to_the_data(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built = build(load_recipe(home / "r.yaml"), out, cache_dir=tmp_path / "cache")
    (rate,) = built.report.false_negatives
    assert rate.method == "judged"
    assert rate.rate is not None
    assert reproduce(str(out), data=home, cache_dir=tmp_path / "other").identical


def test_risk_that_was_calibrated_before(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file lies beside the recipe, wherever that is run from; its text is what counts."""
    given = put_risk(home)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    build(load_recipe(home / "r.yaml", given), out, cache_dir=tmp_path / "cache")
    for path in out.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path
    with pytest.raises(RecipeError, match="--data FOLDER"):
        reproduce(str(out), cache_dir=tmp_path / "other")
    assert reproduce(str(out), data=home, cache_dir=tmp_path / "other").identical
    (home / "risk.json").unlink()
    with pytest.raises(RecipeError, match=r"risk\.model is '\./risk\.json', and there is no such"):
        check_files(load_recipe(home / "r.yaml", given))


def test_a_target_that_was_not_calibrated_is_said_with_its_line(home: Path) -> None:
    put_risk(home)
    text = RECIPE.replace("risk.max: 0.9", "risk.model: ./risk.json, risk.target: 0.2")
    (home / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"line 6: .*no certified cut for target=0\.2"):
        load_recipe(home / "r.yaml")


def test_a_file_of_a_setting_is_written_as_a_path(home: Path) -> None:
    """Else it would start in the folder that the recipe is run from."""
    put_risk(home)
    settings = {"dense.model": "./model", "risk.model": "risk.json", "risk.max": 0.5}
    with pytest.raises(RecipeError, match=r"Write \./risk\.json for the path"):
        load_recipe(home / "r.yaml", {"mining.settings": settings})


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("qdrant://localhost:6333/articles", "strategy: qdrant, .* so leave data.corpus out"),
        ("faiss:///x.faiss?corpus=docs.jsonl", "strategy: faiss, .* as data.corpus"),
        ("https://example.org/docs.jsonl", "Save it as a file there"),
    ],
)
def test_an_address_is_no_source_and_what_to_do_is_said(
    home: Path, address: str, said: str
) -> None:
    with pytest.raises(RecipeError, match=f"data.corpus is '{re.escape(address)}'.*{said}"):
        load_recipe(home / "r.yaml", {"data.corpus": address})
