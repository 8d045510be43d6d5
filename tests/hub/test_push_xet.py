"""A push by Xet, with the real ``hf_xet``: the same bytes as by LFS, and whole after faults."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset
from hub_processes import LOAD, spawn
from hub_server import LoopbackHub
from publications import NAME, contents, publication, push
from xet_client import TOKEN, XetClient

from hf_hardneg.hub.retries import TRIES

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hf_xet") is None, reason="hf-xet is not installed"
)
PASSING: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "dropped": {"drop": True},
}
WITHOUT_XET = "set HF_HUB_DISABLE_XET=1 and run the same again"
STORE = "/_store"
"""On the Hub itself, where nothing answers but faults."""


@pytest.fixture(scope="module")
def xet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XetClient]:
    client = XetClient(tmp_path_factory.mktemp("xet"))
    yield client
    client.close()


@pytest.fixture
def hub(tmp_path: Path, client: None) -> Iterator[LoopbackHub]:
    """One with Xet."""
    with LoopbackHub(tmp_path / "hub", multipart_over=1 << 20, xet=True) as server:
        yield server


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions of a set; the old one has a shard more."""
    folder = tmp_path_factory.mktemp("versions")
    old = publication(folder / "old", shards=2, note="old")
    return old, publication(folder / "new", note="new")


@pytest.fixture
def old(hub: LoopbackHub, versions: tuple[Path, Path]) -> dict[str, bytes]:
    """Let the repository have the old version, and return it."""
    hub.create(NAME)
    hub.put(NAME, contents(versions[0]))
    return contents(versions[0])


def sent_elsewhere(hub: LoopbackHub, address: str, times: int = 1_000) -> None:
    """Let so many requests for a token be answered with another address of the store."""
    assert hub.settings.xet is not None
    hub.settings.xet.elsewhere = [address] * times


def large_publication(folder: Path) -> Path:
    """A corpus whose one shard takes more than 2 MB: many chunks of Xet, three parts of LFS."""
    publication(folder, ["corpus"])
    draws = random.Random(7)
    values = {"id": [f"d{number}" for number in range(20_000)],
              "text": [f"{draws.getrandbits(480):x}" for _ in range(20_000)]}  # fmt: skip
    path = folder / "data" / "corpus" / "train-00000-of-00001.parquet"
    Dataset.from_dict(values).to_parquet(path)
    assert path.stat().st_size > 2 << 20
    return folder


def test_the_same_bytes_as_by_lfs(hub: LoopbackHub, xet: XetClient, tmp_path: Path) -> None:
    folder = large_publication(tmp_path / "set")
    done = xet.push(hub, folder)["done"]
    assert (done["tries"], done["unchanged"]) == (1, False)
    assert hub.requests("GET", "/xet-write-token/main")
    assert not hub.requests("PUT", "/_lfs/")
    for path in hub.store.folder.iterdir():  # else LFS would find it there
        if path.stat().st_size > 1 << 20:
            path.rename(tmp_path / "came by Xet")
    push(hub, folder, "alice/lfs")
    assert hub.requests("PUT", "/_lfs/part/")
    assert hub.files(NAME) == hub.files("alice/lfs") == contents(folder)
    assert xet.push(hub, folder)["done"]["unchanged"]


@pytest.mark.parametrize("by_xet", [True, False])
def test_loading_it_back(by_xet: bool, hub: LoopbackHub, xet: XetClient, tmp_path: Path) -> None:
    folder = large_publication(tmp_path / "set")
    xet.push(hub, folder)
    process = spawn(hub, tmp_path / "home", LOAD, NAME, "corpus", xet=by_xet)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert bool(hub.requests("GET", "/xet-read-token/")) is by_xet
    found: dict[str, Any] = json.loads(out)
    files = str(folder / "data" / "corpus" / "*.parquet")
    local = load_dataset("parquet", data_files=files, split="train",
                         cache_dir=str(tmp_path / "cache"))  # fmt: skip
    features, rows, streamed_features, streamed_rows = found["corpus"]
    assert features == streamed_features == local.features.to_dict()
    assert rows == local[:]
    assert streamed_rows == list(local)


def test_to_a_pull_request_and_to_a_branch(
    hub: LoopbackHub, xet: XetClient, old: dict[str, bytes], versions: tuple[Path, Path]
) -> None:
    """Bob may upload to his pull request only, and the token for Xet is asked for that."""
    done = xet.push(hub, versions[1], token="hf_bob", create_pr=True)["done"]
    assert done["revision"] == "refs/pr/1"
    assert len(hub.requests("GET", "/xet-write-token/refs%2Fpr%2F1")) == 1
    xet.push(hub, versions[1], revision="v/2")
    new = contents(versions[1])
    assert hub.files(NAME, "refs/pr/1") == hub.files(NAME, "refs/heads/v/2") == new
    assert hub.files(NAME) == old


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("place", ["token", "store"])
def test_a_failure_that_passes_is_got_over(
    place: str, kind: str, hub: LoopbackHub, xet: XetClient, old: dict[str, bytes],
    versions: tuple[Path, Path],
) -> None:  # fmt: skip
    if place == "token":
        fault = hub.fail("/xet-write-token/", times=4, **PASSING[kind])
    else:
        fault = hub.fail(STORE, times=1_000, **PASSING[kind])
        sent_elsewhere(hub, hub.url + STORE, 2)
    done = xet.push(hub, versions[1])["done"]
    assert fault.hits >= 4
    assert done["tries"] == 3
    commits = hub.history(NAME)
    assert len(commits) == 3
    assert hub.files_of(commits[1]) == old
    assert hub.files_of(commits[0]) == contents(versions[1])


@pytest.mark.parametrize("place", ["token", "store", "nowhere"])
def test_tries_are_bounded_and_the_way_out_is_told(
    place: str, hub: LoopbackHub, xet: XetClient, old: dict[str, bytes],
    versions: tuple[Path, Path],
) -> None:  # fmt: skip
    fault = hub.fail("/xet-write-token/" if place == "token" else STORE, times=1_000, status=503)
    if place != "token":
        sent_elsewhere(hub, "http://127.0.0.1:9" if place == "nowhere" else hub.url + STORE)
    told = xet.push(hub, versions[1])
    last = "ConnectionError: Network error" if place == "nowhere" else "status 503"
    assert f"{TRIES} tries are used up; the last: {last}" in told["error"]
    assert WITHOUT_XET in told["error"]
    assert sum("try " in line for line in told["said"]) == TRIES - 1
    assert hub.files(NAME) == old
    fault.times = 0
    sent_elsewhere(hub, "", 0)
    assert xet.push(hub, versions[1])["done"]["tries"] == 1
    assert hub.files(NAME) == contents(versions[1])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
@pytest.mark.parametrize("place", ["token", "store"])
def test_a_refusal_is_not_tried_again(
    place: str, status: int, hub: LoopbackHub, xet: XetClient, old: dict[str, bytes],
    versions: tuple[Path, Path],
) -> None:  # fmt: skip
    """``hf_xet`` raises a ConnectionError for these too."""
    hub.fail("/xet-write-token/" if place == "token" else STORE, times=1_000, status=status)
    if place == "store":
        sent_elsewhere(hub, hub.url + STORE)
    told = xet.push(hub, versions[1])
    assert "Sending large files of 'alice/set' failed: " in told["error"]
    assert f"({status} " in told["error"]
    assert WITHOUT_XET in told["error"]
    assert not any("try " in line for line in told["said"])
    assert hub.files(NAME) == old
    push(hub, versions[1])  # the way out
    assert hub.files(NAME) == contents(versions[1])


@pytest.mark.parametrize("address", ["local:///proc/nothing", "nonsense"])
def test_other_errors_of_xet_are_ours(
    address: str, hub: LoopbackHub, xet: XetClient, old: dict[str, bytes],
    versions: tuple[Path, Path],
) -> None:  # fmt: skip
    """An OSError and a RuntimeError."""
    sent_elsewhere(hub, address)
    told = xet.push(hub, versions[1])
    assert "Sending large files of 'alice/set' failed: " in told["error"]
    assert WITHOUT_XET in told["error"]
    assert hub.files(NAME) == old


@pytest.mark.parametrize(
    "values",
    [{"lost": True}, {"lost": True, "status": 504}, {"drop": True}, {"status": 503},
     {"interleave": True}],
    ids=["lost", "lost, 504", "dropped", "503", "412"],
)  # fmt: skip
def test_a_commit_that_fails_after_the_upload(
    values: dict[str, Any], hub: LoopbackHub, xet: XetClient, old: dict[str, bytes],
    versions: tuple[Path, Path],
) -> None:  # fmt: skip
    fault = hub.fail("/commit/", **values)
    done = xet.push(hub, versions[1])["done"]
    assert (fault.hits, done["tries"], done["unchanged"]) == (1, 2, False)
    ours = [commit for commit in hub.history(NAME) if commit.author != "mallory"]
    assert len(ours) == 3
    assert ours[0].sha == done["commit"]
    files = hub.files(NAME)
    assert ("foreign.txt" in files) is ("interleave" in values)
    files.pop("foreign.txt", None)
    assert files == contents(versions[1])
    assert len(hub.requests("GET", "/xet-write-token/")) == 1, "sent twice"


def test_the_token_is_shown_nowhere(
    hub: LoopbackHub, xet: XetClient, versions: tuple[Path, Path]
) -> None:
    """In nothing that the client has said since it was started, nor in the logs of Xet."""
    hub.fail("/xet-write-token/", times=1_000, status=403, text=f"no {TOKEN}")
    assert "error" in xet.push(hub, versions[1])
    assert TOKEN in hub.settings.tokens_seen
    everything = xet.everything()
    assert "HubError: Sending large files" in everything
    assert "xet-write-token" in everything
    assert TOKEN not in everything


def test_an_error_of_others_with_the_same_words() -> None:
    from hf_hardneg.hub.retries import status_of, transient

    error = ConnectionError("HTTP status client error (403 Forbidden)")
    assert status_of(error) is None
    assert transient(error)
