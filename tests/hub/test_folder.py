"""The folder that is published: what it holds, and that it is read back as it was."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from card_cases import RECIPE, Case, repeated
from datasets import Dataset, Features, List, Value, load_dataset
from mining import assert_same_rows
from small_collection import snapshot

from hf_hardneg.errors import FormatError, OutputError
from hf_hardneg.hub import folder as folder_module
from hf_hardneg.hub.folder import write_publication


@pytest.fixture(scope="module")
def published(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case.write(tmp_path_factory.mktemp("published") / "set")


def test_what_is_in_it(case: Case, published: Path) -> None:
    names = {name: f"data/{name}/train-00000-of-00001.parquet" for name in case.configs}
    beside = {"README.md", "hardneg/recipe.yaml", "hardneg/report.json", "hardneg/files.json",
              "hardneg/plots/scores.png"}  # fmt: skip
    files = snapshot(published)
    assert set(files) == {*names.values(), *beside}
    assert files["hardneg/recipe.yaml"].decode() == RECIPE
    listed = json.loads(files["hardneg/files.json"])
    assert set(listed.pop("versions")) == {"datasets", "hf-hardneg", "pyarrow"}
    for name, path in names.items():
        digest = hashlib.sha256(files[path]).hexdigest()
        assert listed.pop(path) == {"sha256": digest, "rows": len(case.configs[name])}
    assert listed == {}
    report = json.loads(files["hardneg/report.json"])
    assert report["report"]["slots_chosen"] == case.facts.report.slots_chosen
    assert {one["name"] for one in report["configs"]} == set(case.configs)


@pytest.mark.parametrize("streaming", [False, True])
def test_it_is_loaded_as_it_was(
    case: Case, published: Path, tmp_path: Path, streaming: bool
) -> None:
    for name, rows in case.configs.items():
        loaded = load_dataset(
            str(published), name, split="train", streaming=streaming, cache_dir=str(tmp_path)
        )
        assert loaded.features == rows.features, name
        if streaming:
            assert list(loaded) == list(rows)
        else:
            assert_same_rows(loaded, rows)


def test_the_first_config_that_trains_is_the_default(published: Path, tmp_path: Path) -> None:
    loaded = load_dataset(str(published), split="train", cache_dir=str(tmp_path))
    assert loaded.column_names == ["anchor", "positive", "negative_1", "negative_2"]


def test_the_same_rows_give_the_same_bytes(case: Case, published: Path, tmp_path: Path) -> None:
    def shuffled_about(rows: Dataset) -> Dataset:
        order = list(range(len(rows)))
        return rows.select(order[::-1]).select(order[::-1])

    other = {name: shuffled_about(rows) for name, rows in case.configs.items()}
    write_publication(tmp_path / "set", other, case.facts, RECIPE)
    assert snapshot(tmp_path / "set") == snapshot(published)


def test_shards(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "GROUP_ROWS", 256)
    rows = repeated(case.configs["triplet"], 150)
    configs = {"triplet": rows}
    place = write_publication(tmp_path / "set", configs, case.facts, "", max_shard_bytes=150_000)
    shards = sorted((place / "data" / "triplet").iterdir())
    assert len(shards) > 2
    assert [one.name for one in shards] == [
        f"train-{number:05d}-of-{len(shards):05d}.parquet" for number in range(len(shards))
    ]
    read = load_dataset(str(place), "triplet", split="train", cache_dir=str(tmp_path / "c"))
    assert_same_rows(read, rows)
    listed = json.loads((place / "hardneg/files.json").read_text())
    assert sum(one["rows"] for name, one in listed.items() if name != "versions") == len(rows)
    groups = [pq.ParquetFile(one).metadata.row_group(0).num_rows for one in shards]
    assert max(groups) <= 2 * 256
    other = write_publication(
        tmp_path / "again", {"triplet": rows.flatten_indices()}, case.facts, "",
        max_shard_bytes=150_000,
    )  # fmt: skip
    assert snapshot(other) == snapshot(place)


def test_kinds_of_columns(case: Case, tmp_path: Path) -> None:
    features = Features(
        {"a": Value("string"), "b": List(Value("float32")), "c": List({"d": Value("int64")}),
         "e": Value("bool"), "f": Value("large_string")}
    )  # fmt: skip
    rows = Dataset.from_list(
        [{"a": "x", "b": [1.5, None], "c": [{"d": 1}], "e": True, "f": "y"},
         {"a": None, "b": [], "c": None, "e": None, "f": None}],
        features=features,
    )  # fmt: skip
    place = write_publication(tmp_path / "set", {"pool": rows}, case.facts, "")
    assert not (place / "hardneg/recipe.yaml").exists()
    loaded = load_dataset(str(place), "pool", split="train", cache_dir=str(tmp_path / "c"))
    assert loaded.features == features
    assert list(loaded) == list(rows)


def test_nothing_is_written_where_something_is_wrong(case: Case, tmp_path: Path) -> None:
    place = tmp_path / "set"
    with pytest.raises(FormatError, match="no name of a config"):
        write_publication(place, {"../x": case.configs["ids"]}, case.facts, "")
    with pytest.raises(FormatError, match="at least one"):
        write_publication(place, {}, case.facts, "")
    with pytest.raises(FormatError, match="no rows"):
        write_publication(place, {"ids": case.configs["ids"].select([])}, case.facts, "")
    english = replace(case.facts, language=("english",))
    with pytest.raises(FormatError, match="language"):
        write_publication(place, case.configs, english, "")
    told = write_publication(tmp_path / "other", {"ids": case.configs["ids"]}, case.facts, "")
    with pytest.raises(OutputError, match="not empty"):
        write_publication(told, case.configs, case.facts, "")
    assert not place.exists()


def test_what_is_told_must_be_there(case: Case, tmp_path: Path) -> None:
    from hf_hardneg.hub.facts import config_facts

    facts = replace(case.facts, configs=config_facts({"ids": case.configs["ids"]}))
    short = {"ids": case.configs["ids"].select([0])}
    with pytest.raises(FormatError, match=re.escape("ids (9 rows)")):
        write_publication(tmp_path / "set", short, facts, "")
