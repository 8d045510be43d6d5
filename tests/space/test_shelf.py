"""The shelf of open sets: what may be opened, and how many are kept."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

pytest.importorskip("gradio")
from hub_server import LoopbackHub

from hf_hardneg.errors import FormatError, HardNegError
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.inspection.wanted import Wanted
from hf_hardneg.space import shelf as module
from hf_hardneg.space.settings import SpaceSettings
from hf_hardneg.space.shelf import Shelf, Wish

OFFERED = ("query", "positive", "negative")
READ = """
import json, os, sys
from hf_hardneg.errors import HardNegError
from hf_hardneg.space.settings import SpaceSettings
from hf_hardneg.space.shelf import Shelf, Wish

os.chdir(sys.argv[1])
shelf, answers = Shelf(SpaceSettings(local=False)), []
for name in json.loads(sys.argv[2]):
    try:
        row = shelf.get(Wish(name)).inspected.row(0)
        answers.append(row.query)
    except HardNegError as error:
        answers.append({"said": str(error), "type": type(error).__name__})
print(json.dumps(answers))
"""


def write(folder: Path, name: str) -> str:
    path = folder / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(zip(OFFERED, (name, "p", "n"), strict=True))) + "\n")
    return str(path)


def count_openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    real = module.open_inspected

    def counted(data: Any, **options: Any) -> Any:
        opened.append(str(data))
        return real(data, **options)

    monkeypatch.setattr(module, "open_inspected", counted)
    return opened


def test_the_least_used_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_openings(monkeypatch)
    names = [write(tmp_path, name) for name in ("one", "two", "three")]
    shelf = Shelf(SpaceSettings(names[0], opened_at_most=2, labels=tmp_path / "labels"))
    first, second = shelf.get(Wish()), shelf.get(Wish(names[1]))
    assert first.own
    assert not second.own
    assert shelf.get(Wish(names[0])) is first  # by its name, and used again
    shelf.get(Wish(names[2]))
    assert shelf.get(Wish()) is first
    assert opened == names
    assert shelf.get(Wish(names[1])) is not second
    assert opened == [*names, names[1]]


def test_whoever_uses_a_set_that_is_closed_goes_on(tmp_path: Path) -> None:
    names = [write(tmp_path, f"row {number}") for number in range(3)]
    shelf = Shelf(SpaceSettings(names[0], opened_at_most=1, labels=tmp_path / "labels"))
    used = shelf.get(Wish(names[1]))
    finder = weakref.ref(used.finder)
    shelf.get(Wish(names[2]))
    assert used.finder.find(Wanted(search="row")).rows.tolist() == [0]
    assert used.inspected.row(0).query == "row 1"
    del used
    gc.collect()
    assert finder() is None


def test_a_set_is_opened_once_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_openings(monkeypatch)
    name, many = write(tmp_path, "one"), 10
    together = threading.Barrier(many)
    shelf = Shelf(SpaceSettings(labels=tmp_path / "labels"))

    def ask(_: int) -> object:
        together.wait()
        return shelf.get(Wish(name))

    with ThreadPoolExecutor(many) as threads:
        found = list(threads.map(ask, range(many)))
    assert len({id(one) for one in found}) == 1
    assert opened == [name]
    assert not shelf._opening


def test_what_cannot_be_opened_is_not_remembered(tmp_path: Path) -> None:
    shelf = Shelf(SpaceSettings(labels=tmp_path / "labels"))
    path = tmp_path / "later.jsonl"
    for _ in range(2):
        with pytest.raises(FormatError, match="cannot be opened"):
            shelf.get(Wish(str(path)))
    assert not shelf._opening
    write(tmp_path, "later")
    assert shelf.get(Wish(str(path))).inspected.row(0).query == "later"


def test_a_comparison_is_of_the_sets_that_are_open(tmp_path: Path) -> None:
    names = [write(tmp_path / folder, "same") for folder in ("a", "b")]
    shelf = Shelf(SpaceSettings(labels=tmp_path / "labels", opened_at_most=2))
    one, two = map(Wish, names)
    first = shelf.comparison(one, two)
    assert shelf.comparison(one, two) is first
    shelf.get(Wish(write(tmp_path, "third")))
    again = shelf.comparison(one, two)
    assert again.pair.a is shelf.get(one).inspected
    assert again.pair.b is shelf.get(two).inspected
    assert not shelf._comparing


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../x", "..", "~", "~/x", "~root/x", "file:///etc/passwd", "file:/x",
        "C:\\x", "C:/x", "a\\b/c", "./a/b", "-a/b", "hf://datasets/a/b", "https://example.com/a",
        "a/b/c", "a/../b", "a", "a/b?x=1", "a/b\n", "a /b", "rows.jsonl", "//host/share",
    ],
)  # fmt: skip
def test_a_space_opens_no_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "rows")
    monkeypatch.chdir(tmp_path)
    shelf = Shelf(SpaceSettings(local=False, labels=tmp_path / "labels"))
    asked: list[str] = []
    monkeypatch.setattr(module, "open_from_hub", lambda *values, **_: asked.append(values[0]))
    if name.strip() != name:  # what stands around a name is no part of it
        name = f"{name}x y"
    with pytest.raises(FormatError, match="cannot be opened: expected the name of a data set"):
        shelf.get(Wish(name))
    assert not asked


def test_samples_of_two_sizes_are_never_one(docs: Path, tmp_path: Path) -> None:
    """The overview's rate is that of the sample that most was said of, by its own weights."""
    labels = tmp_path / "labels"
    opened = Shelf(SpaceSettings(str(docs), labels=labels)).get(Wish())
    assert opened.sample_labels(labels) is None
    ann = LabelBook(labels, "ann", identity=opened.identity)
    small, large = opened.task(labels, 20), opened.task(labels, 90)
    for task, words in ((small, ("false_negative",)), (large, ("true_negative", "unsure"))):
        for number in range(18 if task is large else 6):
            task.label(ann, number, words[number % len(words)])
        found = opened.sample_labels(labels)
        assert found is not None
        assert label_rate(found) == label_rate(task.labels(ann))
    assert opened.overview(labels).rates.rates[-1] == label_rate(large.labels(ann))


def test_an_app_that_others_reach_opens_its_own_set_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(
        module, "open_from_hub", lambda *_, public_only, **__: asked.append(public_only)
    )
    own, other = (write(tmp_path / folder, "same") for folder in ("own", "other"))
    labels = tmp_path / "labels"
    shelf = Shelf(SpaceSettings(own, labels=labels, alone=False))
    assert len(shelf.get(Wish()).inspected) == len(shelf.get(Wish(own)).inspected) > 0
    with pytest.raises(FormatError, match="cannot be opened: expected the name of a data set"):
        shelf.get(Wish(other))
    assert Shelf(SpaceSettings(own, labels=labels)).get(Wish(other))
    with pytest.raises(AttributeError):  # nothing was opened
        shelf.get(Wish("org/name"))
    assert asked == [True]


@pytest.mark.parametrize(("host", "alone"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_who_can_reach_the_app_is_known_by_where_it_listens(
    host: str, alone: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hf_hardneg.space import app

    made: list[SpaceSettings] = []

    def built(settings: SpaceSettings, shelf: Shelf) -> Any:
        made.append(settings)
        raise HardNegError("seen")

    monkeypatch.setattr(app, "build_app", built)
    settings = SpaceSettings(write(tmp_path, "rows"), labels=tmp_path / "labels")
    with pytest.raises(HardNegError, match="seen"):
        app.launch(settings, host=host)
    assert made[0].alone is alone


def test_a_config_may_stand_after_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def opened(name: str, config: str | None, **options: Any) -> Any:
        asked.append((name, config, options["public_only"]))
        raise HardNegError("seen")

    monkeypatch.setattr(module, "open_from_hub", opened)
    shelf = Shelf(SpaceSettings(local=False))
    for wish in (Wish("org/name:ids"), Wish("org/name", "ids"), Wish("org/name")):
        with pytest.raises(HardNegError, match="seen"):
            shelf.get(wish)
    assert asked == [("org/name", "ids", True), ("org/name", "ids", True), ("org/name", None, True)]


@pytest.fixture
def served(tmp_path: Path) -> Any:
    """A Hub with a public set and a private one of alice, whose token this machine has."""
    with LoopbackHub(tmp_path / "hub") as hub:
        table = tmp_path / "rows.parquet"
        for name, private in (("set", False), ("secret", True), ("labels", False)):
            Dataset.from_dict(
                {"query": [f"{name} on the Hub"], "positive": ["p"], "negative": ["n"]}
            ).to_parquet(table)
            hub.create(f"alice/{name}", private=private)
            path = "data/train.parquet" if name == "labels" else "data/triplet/train.parquet"
            hub.put(f"alice/{name}", {path: table.read_bytes()})
        yield hub


def test_a_space_takes_neither_the_token_nor_the_folders_of_its_machine(
    served: LoopbackHub, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    for name in ("set", "labels", "only-here"):
        write(here / "alice" / name, "of the machine")
    home = tmp_path / "home"
    home.mkdir()
    names = ["alice/set", "alice/secret", "alice/labels", "alice/only-here"]
    done = subprocess.run(
        [sys.executable, "-c", READ, str(here), json.dumps(names)],
        env={
            **os.environ, "HF_ENDPOINT": served.url, "HF_TOKEN": "hf_alice", "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
            "HF_HARDNEG_CACHE": str(home / "cache"),
        },
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    public, secret, labels, only = json.loads(done.stdout.splitlines()[-1])
    assert public == "set on the Hub"
    assert labels == "labels on the Hub" or "a folder of that name" in labels["said"]
    for refused in (secret, only):
        assert refused["type"] == "HubError"
    assert served.settings.log
    assert not served.settings.tokens_seen
