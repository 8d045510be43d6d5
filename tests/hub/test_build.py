"""A recipe from raw data to the folder that is published, and made again from that."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset
from rich.console import Console
from tiny_models import save_bi_encoder

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import HardNegError, HubError, OutputError, QueryError, RecipeError
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hub import card_sources, configs
from hf_hardneg.hub.build import Built, build
from hf_hardneg.hub.configs import queries_of
from hf_hardneg.hub.dry_run import plan_of
from hf_hardneg.hub.publish import publish
from hf_hardneg.hub.recipe import load_recipe
from hf_hardneg.hub.recipe_facts import command_of
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.reproduce import reproduce
from hf_hardneg.query_sources import load_queries

RECIPES = Path(__file__).parents[2] / "hub_recipes"
CONFIGS = ("n-tuple", "ids", "corpus", "queries", "pool")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of one's own with the small recipe and its data."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    shutil.copytree(RECIPES / "example-data", folder / "example-data")
    shutil.copy(RECIPES / "beir-folder.yaml", folder)
    return folder


def recipe_of(home: Path, **changes: Any) -> Recipe:
    return load_recipe(home / "beir-folder.yaml", changes)


def built(home: Path, out: Path, *, cache: str = "cache", **changes: Any) -> Built:
    return build(recipe_of(home, **changes), out, cache_dir=home.parent / cache)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_holds_what_the_miner_mines(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = built(home, out)
    data = home / "example-data"
    rows = load_queries(data, split="train").rows
    miner = OfflineMiner("bm25", corpus=data, num_negatives=3, underfilled="fill")
    for name in CONFIGS:
        found = load_dataset(str(out), name, split="train", cache_dir=str(tmp_path / "hf"))
        if name in ("n-tuple", "ids"):
            assert found.to_list() == miner.mine(rows, name, keep_columns=False).to_list()
        elif name == "pool":
            knowing = miner.knowing(rows)
            assert found.to_list() == knowing.outcomes(knowing.retrieve(rows)).to_list()
        else:
            source = data / f"{name}.jsonl"
            known = [json.loads(line) for line in source.read_text().splitlines()]
            key = "id" if name == "corpus" else "query_id"
            assert {row[key] for row in found} <= {row["_id"] for row in known}
    assert made.folder == out
    assert made.audit_errors == 0
    assert [one.what for one in made.facts.ranking] == ["BM25"]
    assert 0 < made.facts.ranking[0].measures["MRR@10"][0] <= 1


def test_the_card_says_why_a_measure_of_ranking_has_no_interval(home: Path, tmp_path: Path) -> None:
    """All four held-out queries have the same value; and four are few."""
    out = tmp_path / "out"
    [ranked] = built(home, out).facts.ranking
    assert ranked.measures["MRR@10"] == (1.0, None, None)
    card = (out / "README.md").read_text()
    for why in ("all 4 queries have the same value", "too narrow, as there are only 4 queries"):
        assert f"\n- BM25: {next(note for note in ranked.notes if why in note)}\n" in card
    told = json.loads((out / "hardneg" / "report.json").read_text())["ranking"]
    assert [one["notes"] for one in told] == [list(ranked.notes)]


def test_it_is_the_same_bytes_again_and_names_no_place_of_this_machine(
    home: Path, tmp_path: Path
) -> None:
    built(home, tmp_path / "one")
    shutil.copytree(home, tmp_path / "elsewhere")
    recipe = load_recipe(tmp_path / "elsewhere" / "beir-folder.yaml")
    build(recipe, tmp_path / "two", cache_dir=tmp_path / "other", num_proc=2)
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert one == two
    assert all(str(tmp_path).encode() not in content for content in one.values())


def test_an_output_that_is_there_is_kept(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        built(home, out)
    assert files_of(out) == {"mine.txt": b"mine"}


def test_a_plan_mines_nothing(home: Path, tmp_path: Path) -> None:
    plan = plan_of(recipe_of(home), cache_dir=tmp_path / "cache")
    rows = load_queries(home / "example-data", split="train").rows
    assert plan.rows == len(rows)
    assert plan.held_out == len(load_queries(home / "example-data", split="test").rows)
    assert json.loads(json.dumps(plan.to_dict()))["strategy"].startswith("bm25")


def test_training_on_the_held_out_queries_is_not_published(home: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "evaluation.held_out.split": "train", "publish.repository": "alice/set"
    }  # fmt: skip
    made = built(home, tmp_path / "out", **changes)
    assert made.audit_errors
    with pytest.raises(HubError, match="nothing was published"):
        publish(made)
    # A later push of the folder may be forced; the card does not change then.
    assert "that was forced" in (tmp_path / "out" / "README.md").read_text()
    recipe = recipe_of(home, **changes)
    forced = build(recipe, tmp_path / "forced", forced=True, cache_dir=tmp_path / "cache")
    assert forced.facts.forced
    card = (tmp_path / "forced" / "README.md").read_text()
    assert "all the same" in card or "although" in card


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("evaluation.held_out.split", "tset", r"evaluation\.held_out\.split: .* 'test'\?"),
        ("data.split", "trian", r"data\.split: .* Did you mean 'train'\?"),
    ],
)
def test_a_split_that_is_not_there_is_told_before_the_work(
    home: Path, tmp_path: Path, key: str, value: str, said: str
) -> None:
    with pytest.raises(HardNegError, match=f"^--set {key}: {said}"):
        built(home, tmp_path / "out", **{key: value})
    assert not (tmp_path / "cache" / "maps").exists()


def test_labels_that_cannot_be_read_are_told_before_the_work(home: Path, tmp_path: Path) -> None:
    (home / "labels.jsonl").write_text('{"query": "a"}\n', encoding="utf-8")
    with pytest.raises(HardNegError, match=r"evaluation\.labels: .*line 1: no field 'label'"):
        built(home, tmp_path / "out", **{"evaluation.labels": "labels.jsonl"})
    assert not (tmp_path / "cache" / "maps").exists()


def test_a_recipe_without_a_repository_is_not_published(home: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"publish\.repository"):
        publish(built(home, tmp_path / "out"))


def test_two_queries_of_one_id_are_refused() -> None:
    from datasets import Dataset

    rows = Dataset.from_dict(
        {"query_id": ["1", "1"], "query": ["a", "b"], "positive_ids": [["x"], ["y"]]}
    )
    corpus = {name: f"text {name}" for name in "wxyz"}
    miner = OfflineMiner("random@4", corpus=corpus, num_negatives=1).knowing(rows)
    with pytest.raises(QueryError, match="'1' is that of two queries"):
        queries_of(rows, miner)
    same = rows.select([0, 0])
    assert queries_of(same, miner).to_list() == [{"query_id": "1", "query": "a"}]


def test_reproduced_to_the_byte(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(home, out)
    again = reproduce(str(out), data=home, cache_dir=tmp_path / "another")
    assert again.identical, again.to_dict()
    assert again.files == len(CONFIGS)
    assert not again.versions


def test_what_is_not_the_same_is_named_with_its_row(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(home, out)
    path = next((out / "data" / "ids").iterdir())
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[2]["negative_ids"] = rows[2]["negative_ids"][::-1]
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    files = json.loads((out / "hardneg" / "files.json").read_text())
    own = str(path.relative_to(out))
    files[own]["sha256"] = "0" * 64
    files["data/old/train-00000-of-00001.parquet"] = {"sha256": "1" * 64, "rows": 4}
    files["versions"]["pyarrow"] = "1.0"
    (out / "hardneg" / "files.json").write_text(json.dumps(files))
    again = reproduce(str(out), data=home, cache_dir=tmp_path / "another")
    found = {one.path: one for one in again.differences}
    assert found[own].what == "differs"
    assert found[own].first_row == 2
    assert found["data/old/train-00000-of-00001.parquet"].what == "missing"
    assert len(found) == 2
    assert again.versions["pyarrow"][0] == "1.0"


def test_nothing_to_reproduce(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"has no README\.md"):
        reproduce(str(tmp_path))


def test_a_file_that_was_changed_in_the_set_is_not_identical(home: Path, tmp_path: Path) -> None:
    """What is compared is the file, not what the list beside it says of it."""
    out = tmp_path / "out"
    built(home, out)
    path = next((out / "data" / "ids").iterdir())
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[3]["negative_ids"] = rows[3]["negative_ids"][::-1]
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    next((out / "data" / "queries").iterdir()).unlink()
    found = reproduce(str(out), data=home, cache_dir=tmp_path / "cache").differences
    assert [(one.path.split("/")[1], one.what, one.first_row) for one in found] == [
        ("ids", "differs", 3),
        ("queries", "new", None),
    ]


@pytest.mark.parametrize("place", [20, 200, -20, -6, -1])
def test_a_wrong_byte_is_a_difference_whatever_it_breaks(
    place: int, home: Path, tmp_path: Path
) -> None:
    """The file may be unreadable with it: the answer is which file, and not an error of Arrow."""
    out = tmp_path / "out"
    built(home, out)
    path = next((out / "data" / "ids").iterdir())
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    [found] = reproduce(str(out), data=home, cache_dir=tmp_path / "cache").differences
    assert (found.path, found.what) == (path.relative_to(out).as_posix(), "differs")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"data/ids/a.parquet": 3}', '{"versions": 3}', '{"a": {}}']
)
def test_a_damaged_list_of_files_is_said_to_be(text: str, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(home, out)
    (out / "hardneg" / "files.json").write_text(text)
    with pytest.raises(HubError, match=r"files\.json of .* is damaged"):
        reproduce(str(out), data=home, cache_dir=tmp_path / "cache")


def test_a_shard_that_the_recipe_has_not_made_is_named(home: Path, tmp_path: Path) -> None:
    """Whoever loads the config gets its rows too."""
    out = tmp_path / "out"
    built(home, out)
    own = next((out / "data" / "ids").iterdir())
    shutil.copy(own, own.with_name("train-00000-of-00009.parquet"))
    own.with_name("notes.txt").write_text("is not loaded")
    again = reproduce(str(out), data=home, cache_dir=tmp_path / "cache")
    assert [(one.path, one.what) for one in again.differences] == [
        ("data/ids/train-00000-of-00009.parquet", "extra")
    ]
    assert again.files == len(CONFIGS) + 1
    shown = Console(record=True, width=200, file=io.StringIO())
    shown.print(again)
    assert "there, not made by the recipe" in shown.export_text()


def test_a_config_of_another_set_is_not_compared(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(home, out)
    card = out / "README.md"
    text = card.read_text().replace("hf-hardneg: n-tuple,ids", "hf-hardneg: n-tuple")
    card.write_text(text + "\n<!-- hf-hardneg: ids -->\nAnother.\n<!-- /hf-hardneg -->\n")
    next((out / "data" / "ids").iterdir()).write_bytes(b"another set's")
    again = reproduce(str(out), config="n-tuple", data=home, cache_dir=tmp_path / "cache")
    assert again.identical
    assert again.files == len(CONFIGS) - 1


def test_reproducing_asks_for_the_files_and_not_for_the_evaluation(
    home: Path, tmp_path: Path
) -> None:
    compared = {"name": "bm25(a='/home/me/secret/x')", "measures": {"MRR@10": MEASURED}}
    (home / "compare.json").write_text(
        json.dumps({"settings": {"corpus": "/home/me/secret/c"}, "trained": [compared]})
    )
    out = tmp_path / "out"
    built(home, out, **{"evaluation.compare": "./compare.json"})
    for name in ("README.md", "hardneg/report.json"):
        text = (out / name).read_text()
        assert "bm25(a='x')" in text
        assert "/home/me" not in text
    (home / "compare.json").unlink()
    with pytest.raises(RecipeError, match="--data FOLDER"):
        reproduce(str(out), cache_dir=tmp_path / "cache")
    assert reproduce(str(out), data=home, cache_dir=tmp_path / "cache").identical


MEASURED = {"seeds": [0.5, 0.6], "mean": 0.55, "low": 0.5, "high": 0.6, "gain": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ('{"trained": [{"measures": {}, "name": NaN}]}', "NaN is no number"),
        ("[]", "is no compare.json"),
        ('{"trained": [{"name": "bm25", "measures": {"MRR@10": {}}}]}', "is no compare.json"),
        ('{"trained": []}', "tells of no training"),
    ],
)
def test_a_comparison_that_cannot_be_shown_is_refused_before_the_work(
    home: Path, tmp_path: Path, text: str, said: str
) -> None:
    (home / "compare.json").write_text(text)
    with pytest.raises(RecipeError, match=said):
        built(home, tmp_path / "out", **{"evaluation.compare": "./compare.json"})
    assert not (tmp_path / "cache").exists()


def test_labels_of_a_recipe_tell_the_rate_on_its_card(home: Path, tmp_path: Path) -> None:
    built(home, tmp_path / "plain")
    mined = Dataset.from_parquet(
        sorted(map(str, (tmp_path / "plain" / "data" / "ids").glob("*.parquet")))
    )
    said = [
        Label(query_id=row["query_id"], document_id=row["negative_ids"][0], weight=2.0,
              label=["false_negative", "true_negative"][n % 2])
        for n, row in enumerate(mined)
    ]  # fmt: skip
    Labels(said).write(home / "labels.jsonl")
    out = tmp_path / "out"
    made = built(home, out, **{"evaluation.labels": "./labels.jsonl"})
    [rate] = [one for one in made.facts.report.false_negatives if one.method == "labels"]
    assert rate.rate == label_rate(Labels(said)).rate
    card = (out / "README.md").read_text()
    assert "; labels)" in card
    assert "read by nobody" not in card
    assert "only those that were labelled have been read" in card
    assert "labels: labels.jsonl" in (out / "hardneg" / "recipe.yaml").read_text()
    for path in out.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path
    (home / "labels.jsonl").write_text('{"label": 7}\n')
    broken = recipe_of(home, **{"evaluation.labels": "./labels.jsonl"})
    with pytest.raises(HardNegError, match="line 1: label is 7"):
        build(broken, tmp_path / "other", cache_dir=tmp_path / "cache")
    with pytest.raises(HardNegError, match="line 1: label is 7"):
        plan_of(broken, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "other").exists()
    absent = recipe_of(home, **{"evaluation.labels": "./absent.jsonl"})
    with pytest.raises(RecipeError, match=r"evaluation\.labels"):
        plan_of(absent, cache_dir=tmp_path / "cache")


def test_a_model_in_the_recipe_s_folder_is_named_from_there(home: Path, tmp_path: Path) -> None:
    save_bi_encoder(home / "models")
    out = tmp_path / "out"
    changes: dict[str, Any] = {
        "mining.strategy": "dense", "mining.settings": {"model": "./models/model"}
    }  # fmt: skip
    made = built(home, out, **changes)
    assert [one.what for one in made.facts.ranking] == ["BM25", "./models/model"]
    assert [one.name for one in made.facts.sources][-1] == "./models/model"
    for path in out.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path


def test_the_command_of_the_card_says_what_it_needs(home: Path) -> None:
    assert command_of(recipe_of(home)).splitlines()[-1] == "hf-hardneg reproduce FOLDER --data DATA"
    named = recipe_of(home, **{"publish.repository": "alice/set"})
    assert command_of(named).endswith("hf-hardneg reproduce alice/set --config n-tuple --data DATA")
    made = load_recipe(RECIPES / "stdlib-docstrings.yaml", {"publish.repository": "alice/set"})
    assert command_of(made) == "hf-hardneg reproduce alice/set --config n-tuple"


def test_samples_have_the_texts_of_their_positives(home: Path, tmp_path: Path) -> None:
    lines = (home / "example-data/corpus.jsonl").read_text().splitlines()
    titles = {json.loads(line)["title"] for line in lines}
    for sample in built(home, tmp_path / "out").facts.samples:
        for text in (*sample["positives"], *sample["negatives"]):
            assert any(text.startswith(title) for title in titles), text


def test_a_query_of_one_letter_is_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has one object for such a text, wherever it was read."""
    from datasets import Dataset

    monkeypatch.setattr(configs, "READ_BATCH", 1)
    rows = Dataset.from_dict(
        {"query_id": ["1", "1"], "query": ["a", "a"], "positive_ids": [["x"], ["y"]]}
    )
    corpus = {name: f"text {name}" for name in "wxyz"}
    miner = OfflineMiner("random@4", corpus=corpus, num_negatives=1).knowing(rows)
    assert queries_of(rows, miner).to_list() == [{"query_id": "1", "query": "a"}]


def test_a_model_s_revision_stands_on_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_sources, "model_commit", lambda name, revision: None)
    corpus = {name: f"text {name}" for name in "wxyz"}
    miner = OfflineMiner("dense", corpus=corpus, num_negatives=1, model="org/model", revision="v1")
    monkeypatch.setattr(
        OfflineMiner, "recipe", lambda self: {"models": {"dense": {"model": "org/model"}}}
    )
    recipe = load_recipe(RECIPES / "stdlib-docstrings.yaml")
    model = card_sources.sources_of(recipe, miner)[-1]
    assert (model.name, model.revision) == ("org/model", "v1")


def test_a_search_that_is_too_shallow_to_rank_is_told_of(home: Path, tmp_path: Path) -> None:
    made = built(home, tmp_path / "out", **{"mining.strategy": "bm25@4"})
    assert [one.what for one in made.facts.ranking] == ["BM25"]  # one of its own, ten deep
    assert "too few for MRR@10: that of BM25 is of" in (tmp_path / "out" / "README.md").read_text()


def roles(made: Recipe, miner: OfflineMiner | None = None) -> list[tuple[str, str]]:
    own = miner or OfflineMiner("bm25", corpus=["a b", "c d"], num_negatives=1)
    return [(one.role, one.name) for one in card_sources.sources_of(made, own)]


def test_each_role_of_a_source_is_listed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe_of(home)
    name = "example-data"
    assert roles(made) == [("queries", name), ("corpus", name), ("judgements", name)]
    (home / "pairs.jsonl").write_text('{"query": "a", "positive": "b"}\n')
    pairs = recipe_of(home, data={"queries": "./pairs.jsonl"})
    assert roles(pairs) == [("queries", "pairs.jsonl"), ("corpus (the positives)", "pairs.jsonl")]
    monkeypatch.setattr(card_sources, "brings_corpus", lambda _: True)
    assert roles(pairs)[1] == ("corpus", "the texts in the index of bm25")


def test_one_source_is_one_line_of_the_card(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(home, out)
    text = (out / "README.md").read_text()
    assert "| queries, corpus, judgements | example-data |" in text
    told = json.loads((out / "hardneg/report.json").read_text())["sources"]
    assert [one["role"] for one in told] == ["queries", "corpus", "judgements"]


def test_a_cross_encoder_s_revision_stands_on_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_sources, "model_commit", lambda name, revision: None)
    strategy = "bm25+risk(cross_encoder='org/ce', revision='v2')"
    miner = OfflineMiner(strategy, corpus=["a b", "c d"], num_negatives=1)
    monkeypatch.setattr(
        OfflineMiner, "recipe", lambda self: {"models": {"risk": {"model": "org/ce"}}}
    )
    model = card_sources.sources_of(load_recipe(RECIPES / "stdlib-docstrings.yaml"), miner)[-1]
    assert (model.name, model.revision) == ("org/ce", "v2")
