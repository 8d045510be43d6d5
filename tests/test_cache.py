"""Folders that are whole or absent: real processes, real signals, a real limit on file size."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_hardneg import Corpus
from hf_hardneg.cache import (
    cache_root,
    content_hash,
    explain_os_error,
    publish,
    published_folder,
    staging_folder,
)
from hf_hardneg.errors import CorpusError, OutputError
from hf_hardneg.positives import KnownPositives

FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and limits file sizes")


def wait_for(path: Path) -> None:
    for _ in range(12_000):
        if path.exists():
            return
        time.sleep(0.005)
    pytest.fail(f"{path.name} never came")


def run_forked(work: Callable[..., None], *args: Any) -> Any:
    process = FORK.Process(target=work, args=args)
    process.start()
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def whole(folder: Path) -> bool:
    return [(folder / name).read_text() for name in ("first", "second")] == ["one", "two"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    assert cache_root(tmp_path / "x") == tmp_path / "x"
    assert cache_root() == cache
    monkeypatch.delenv("HF_HARDNEG_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert cache_root() == tmp_path / "hf" / "hardneg"
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "huggingface" / "hardneg"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "huggingface" / "hardneg"
    assert cache_root("~/mine") == tmp_path / "mine"
    monkeypatch.chdir(tmp_path)
    assert cache_root("relative") == tmp_path / "relative"


def test_hash_of_values_is_the_same_everywhere() -> None:
    assert content_hash("a", 1, {"b": [None, 2.5], "a": True}) == "3ce954747e8708353c3e5f1ce48a9248"
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    different = [("a", "b"), ("ab",), (["a", "b"],), ("b", "a"), (1,), ("1",), (None,), ()]
    assert len({content_hash(*parts) for parts in different}) == len(different)


def test_a_folder_is_built_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "first").write_text("one")

    final = tmp_path / "deep" / "down" / "index"
    assert published_folder(final, build) == final
    assert published_folder(final, build) == final
    assert len(built) == 1
    assert not built[0].exists()
    assert (final / "first").read_text() == "one"


def slow_build(home: Path, mark: str) -> None:
    """Build in two steps, the second when the file ``go`` is there."""

    def build(folder: Path) -> None:
        with (home / "builds").open("a") as log:
            log.write(f"{mark}\n")
        (folder / "first").write_text("one")
        (home / "started").touch()
        wait_for(home / "go")
        (folder / "second").write_text("two")

    (home / f"here-{mark}").touch()
    published_folder(home / "cache" / "index", build)
    assert whole(home / "cache" / "index")


def test_two_processes_at_once_build_one_folder(tmp_path: Path) -> None:
    first = run_forked(slow_build, tmp_path, "a")
    wait_for(tmp_path / "started")
    second = run_forked(slow_build, tmp_path, "b")
    wait_for(tmp_path / "here-b")
    assert not (tmp_path / "cache" / "index").exists()
    (tmp_path / "go").touch()
    first.join()
    second.join()
    assert [first.exitcode, second.exitcode] == [0, 0]
    assert (tmp_path / "builds").read_text() == "a\n"
    assert names(tmp_path / "cache") == ["index", "index.lock"]


def test_a_killed_builder_leaves_nothing_that_is_taken_for_a_result(tmp_path: Path) -> None:
    home = tmp_path / "cache"
    for _ in range(2):
        killed = run_forked(slow_build, tmp_path, "killed")
        wait_for(tmp_path / "started")
        os.kill(killed.pid, signal.SIGKILL)
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        assert not (home / "index").exists()
        (tmp_path / "started").unlink()
    (tmp_path / "go").touch()
    slow_build(tmp_path, "again")
    # The half of the killed ones is gone too, or each kill would cost the size of an index.
    assert names(home) == ["index", "index.lock"]
    assert (tmp_path / "builds").read_text().split() == ["killed", "killed", "again"]


def test_what_another_builder_is_writing_is_left_alone(tmp_path: Path) -> None:
    with staging_folder(tmp_path, "index-2") as other, staging_folder(tmp_path, "corpus") as free:
        published_folder(tmp_path / "index", lambda folder: (folder / "first").touch())
        assert other.exists()
        assert free.exists()


def test_a_folder_without_the_mark_of_a_result_is_replaced(tmp_path: Path) -> None:
    final = tmp_path / "index"
    final.mkdir()
    (final / "half").touch()
    published_folder(final, lambda folder: (folder / "first").write_text("one"))
    assert names(final) == ["complete.json", "first"]


def test_the_result_that_was_first_stands(tmp_path: Path) -> None:
    for text in ("one", "another"):
        with staging_folder(tmp_path) as staging:
            (staging / "first").write_text(text)
            publish(staging, tmp_path / "index")
    assert (tmp_path / "index" / "first").read_text() == "one"
    assert names(tmp_path) == ["index"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), CorpusError("y")])
def test_a_failed_build_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def build(folder: Path) -> None:
        (folder / "first").touch()
        raise error

    with pytest.raises(type(error)) as caught:
        published_folder(tmp_path / "index", build)
    assert caught.value is error
    assert names(tmp_path) == ["index.lock"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EFBIG, "free some space"),
        (errno.EACCES, "--cache-dir"),
        (errno.EROFS, "--cache-dir"),
        (errno.EIO, "Nothing that was there before has been changed"),
    ],
)
def test_errors_say_what_to_do(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(OutputError, match=advice) as caught, staging_folder(tmp_path, "index"):
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in str(caught.value)
    assert str(tmp_path / "index") in str(caught.value)
    assert names(tmp_path) == []
    again = explain_os_error(OSError(number, os.strerror(number)), tmp_path)
    with pytest.raises(OutputError) as same, staging_folder(tmp_path):
        raise again
    assert same.value is again


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        Corpus(["a"], cache_dir=tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write"):
        published_folder(tmp_path / "file" / "index", lambda folder: None)


def many_words(folder: Path) -> None:
    Corpus([f"document {number} " + "word " * 500 for number in range(200)], cache_dir=folder)


def many_documents(folder: Path) -> None:
    Corpus([str(number) for number in range(20_000)], cache_dir=folder)


def many_positives(folder: Path) -> None:
    numbers = np.arange(50_000)
    keys = numbers.astype(np.uint64)
    KnownPositives.build(keys, numbers, keys, folder / "corpora")


def under_a_limit(work: Callable[[Path], None], folder: Path, note: Path) -> None:
    """Do ``work`` where no file may grow beyond a size, as on a full disk."""
    note.write_text("{}")
    size = 300_000 if work is many_documents else 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        work(folder)
    except BaseException as error:
        note.write_text(json.dumps({"type": type(error).__name__, "message": str(error)}))


@pytest.mark.parametrize("work", [many_words, many_documents, many_positives])
def test_a_full_disk(tmp_path: Path, cache: Path, work: Callable[[Path], None]) -> None:
    kept = Corpus({"a": "old"})
    before = names(cache / "corpora")
    process = run_forked(under_a_limit, work, cache, tmp_path / "note")
    process.join()
    assert process.exitcode == 0
    said = json.loads((tmp_path / "note").read_text())
    assert said["type"] == "OutputError"
    assert "is full: free some space or choose another folder" in said["message"]
    left = names(cache / "corpora")
    assert [name for name in left if not name.endswith(".lock")] == before
    assert kept.texts([0]) == ["old"]
    work(cache)
