"""Mined sets on a Hub on loopback, opened to be looked at."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hub_server import LoopbackHub

from hf_hardneg.errors import FormatError, HubError
from hf_hardneg.inspection import remote
from hf_hardneg.inspection.places import parts_of
from hf_hardneg.inspection.remote import open_from_hub

NAME = "alice/mined"
ROWS = {"anchor": ["a", "b"], "positive": ["p", "q"], "negative": ["n", "m"]}


@pytest.fixture(autouse=True)
def here(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def parquet(rows: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    Dataset.from_dict(rows).to_parquet(stream)
    return stream.getvalue()


def publish(hub: LoopbackHub, files: dict[str, bytes], **options: Any) -> None:
    hub.create(NAME, **options)
    hub.put(NAME, files)


OURS = {
    "data/triplet/train-00000-of-00001.parquet": parquet(ROWS),
    "data/n-tuple/train-00000-of-00001.parquet": parquet({**ROWS, "negative_2": ["x", "y"]}),
    "hardneg/files.json": b"{}",
}


def test_the_configs_of_a_set_that_was_published(hub: LoopbackHub) -> None:
    publish(hub, OURS)
    opened = open_from_hub(NAME)
    assert (opened.name, opened.config, len(opened)) == (NAME, "n-tuple", 2)
    assert [one.text for one in opened.row(1).negatives] == ["m", "y"]
    assert [one.text for one in open_from_hub(NAME, "triplet").row(1).negatives] == ["m"]
    with pytest.raises(FormatError, match=r"no config 'triple' .*triplet"):
        open_from_hub(NAME, "triple")
    with pytest.raises(HubError, match="GB to fetch"):
        open_from_hub(NAME, largest=10)


def test_what_is_private_is_not_shown_to_others(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, OURS, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert len(open_from_hub(NAME)) == 2
    with pytest.raises(HubError) as caught:  # also when this machine has fetched it already
        open_from_hub(NAME, public_only=True)
    assert "hf_alice" not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError):
        open_from_hub(NAME)


def test_splits_of_what_others_published_are_not_mixed(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {
        "data/en/train-00000-of-00001.parquet": parquet(ROWS),
        "data/en/test-00000-of-00001.parquet": parquet(ROWS),
    }
    publish(hub, others)
    asked: list[object] = []

    def hub_rows(name: str, split: str | None, **options: Any) -> Dataset:
        asked.extend((name, split, options["public_only"]))
        return Dataset.from_dict(ROWS)

    monkeypatch.setattr(remote, "hub_rows", hub_rows)
    opened = open_from_hub(NAME, "en", split="test", public_only=True)
    assert (asked, len(opened)) == ([f"{NAME}:en", "test", True], 2)
    for path, content in others.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    with pytest.raises(FormatError, match="has the splits test, train"):
        parts_of(tmp_path)
