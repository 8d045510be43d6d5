"""A push: what is in the repository afterwards, and what is refused before anything is sent."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from datasets import Dataset
from hub_server import LoopbackHub
from publications import NAME, card, contents, publication, push

from hf_hardneg.errors import HubError


def test_one_commit_has_everything(hub: LoopbackHub, tmp_path: Path) -> None:
    said: list[str] = []
    folder = publication(tmp_path / "set")
    done = push(hub, folder, say=said.append, message="The first\nversion")
    assert hub.files(NAME) == contents(folder)
    made, initial = hub.history(NAME)
    assert (made.sha, made.title, made.author) == (done.commit, "The first version", "alice")
    assert initial.title == "initial commit"
    assert (done.tries, done.unchanged, done.pull_request) == (1, False, None)
    assert done.url == f"{hub.url}/datasets/{NAME}"
    assert done.revision == "main"
    assert f"{NAME}: created" in said
    assert done.commit in said[-1]
    assert not hub.repo(NAME).private


def test_the_same_again_makes_no_commit(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = publication(tmp_path / "set")
    first = push(hub, folder)
    said: list[str] = []
    again = push(hub, folder, say=said.append)
    assert again.unchanged
    assert again.commit == first.commit
    assert len(hub.history(NAME)) == 2
    assert "nothing differs" in said[-1]
    assert len(hub.requests("POST", "/commit/")) == 1


def test_a_new_version_replaces_its_configs_and_nothing_else(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    push(hub, publication(tmp_path / "old", shards=2, note="old"))
    push(hub, publication(tmp_path / "third", ["triplet"]), append=True)
    hub.add(NAME, {"notes/mine.md": "kept", "data.txt": "kept"})
    new = publication(tmp_path / "new", ["n-tuple", "ids"], note="new")
    done = push(hub, new)
    files = hub.files(NAME)
    merged = files.pop("README.md").decode()
    assert "# A set with triplet" in merged
    expected = contents(new)
    expected.pop("README.md")
    others = {path for path in files if path not in expected}
    assert {path: files[path] for path in expected} == expected
    assert others == {
        "notes/mine.md", "data.txt", "data/triplet/train-00000-of-00001.parquet",
        "hardneg/triplet/recipe.yaml", "hardneg/triplet/report.json",
        "hardneg/triplet/plots/scores.png",
    }  # fmt: skip
    assert "\nnew\n" in merged
    assert "\nold\n" not in merged
    assert done.commit == hub.history(NAME)[0].sha
    assert push(hub, new).unchanged


def test_beside_a_card_of_somebody_else(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(NAME)
    theirs = (
        "---\nlicense: cc-by-4.0\nconfigs:\n- config_name: raw\n  data_files: raw/*.parquet\n"
        "- config_name: more\n  data_files: raw/*.csv\n---\n"
    )
    body = "# Theirs\n\nWith a text of their own.\n"
    rows = io.BytesIO()
    Dataset.from_dict({"x": [1]}).to_parquet(rows)
    hub.add(NAME, {"README.md": theirs + body, "raw/a.csv": "x,y\n1,2\n"})
    hub.put(NAME, {"raw/a.parquet": rows.getvalue()})
    folder = publication(tmp_path / "set")
    before = hub.history(NAME)
    with pytest.raises(HubError, match=r"did not write.*append"):
        push(hub, folder)
    assert hub.history(NAME) == before
    assert not hub.requests("PUT", "/_lfs/")
    push(hub, folder, append=True)
    files = hub.files(NAME)
    merged = files["README.md"].decode()
    assert body in merged
    assert merged.index("config_name: raw") < merged.index("config_name: n-tuple")
    assert files["raw/a.csv"] == b"x,y\n1,2\n"
    assert push(hub, folder, append=True).unchanged


def test_a_fresh_repository_made_by_hand(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(NAME)
    folder = publication(tmp_path / "set")
    push(hub, folder)
    assert hub.files(NAME) == contents(folder)


ONE = "---\nconfigs:\n- config_name:"
KIND = "The first config of the card in the repository, 'a', is not of Parquet files"


@pytest.mark.parametrize(
    ("files", "append", "message"),
    [
        ({"data.csv": "x\n"}, False, "files and no card of ours: data.csv"),
        ({"data.csv": "x\n"}, True, "names in no config: data.csv"),
        ({"README.md": "# x", "a.jsonl": "{}"}, True, "names in no config: a.jsonl"),
        ({"README.md": "---\nconfigs: raw\n---\n"}, True, "'configs' in the YAML"),
        ({"README.md": "---\na: [\n---\n"}, True, "cannot be read"),
        ({"README.md": "---\n- a\n---\n"}, True, "is list; expected names with"),
        ({"README.md": "<!-- hf-hardneg: n-tuple -->"}, True, "is not closed"),
        ({"README.md": "x <!-- /hf-hardneg -->"}, True, "has no other half"),
        (
            {"README.md": f"{ONE} ids\n  data_files: a/*.parquet\n---\n", "a/x.parquet": "x"},
            True,
            "has ids among its configs, which hf-hardneg did not write",
        ),
        ({"README.md": f"{ONE} a\n  data_files: a/*\n---\n", "a/x.csv": "x"}, True, KIND),
        ({"README.md": f"{ONE} a\n  data_files: ./*.csv\n---\n", "x.csv": "x"}, True, KIND),
        ({"README.md": f"{ONE} a\n  data_files: a/**/*.csv\n---\n", "a/x.csv": "x"}, True, KIND),
        (
            {"README.md": f"{ONE} a\n  data_dir: b\n---\n", "b/x.jsonl": "{}", "a.parquet": "x"},
            True,
            KIND,
        ),
        ({"README.md": f"{ONE} a\n  data_files: 3\n---\n"}, True, "data_files of the config 'a'"),
        (
            {"README.md": f"{ONE} a\n---\n", "data/ids/mine.md": "x"},
            True,
            "data/ids/ in the repository holds files that are not ours: data/ids/mine.md",
        ),
    ],
)
def test_what_cannot_be_put_beside(
    files: dict[str, str], append: bool, message: str, hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.create(NAME)
    hub.add(NAME, files)
    before = hub.history(NAME)
    with pytest.raises(HubError, match=message):
        push(hub, publication(tmp_path / "set"), append=append)
    assert hub.history(NAME) == before
    assert not hub.requests("POST", "/preupload/")


def test_private_and_organisation(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = publication(tmp_path / "set")
    push(hub, folder, "acme/set", private=True)
    assert hub.repo("acme/set").private
    assert push(hub, folder, "acme/set").unchanged
    assert push(hub, folder, "acme/set", private=True).unchanged
    with pytest.raises(HubError, match="is private; public was asked for"):
        push(hub, folder, "acme/set", private=False)
    hub.repo("acme/set").private = False
    with pytest.raises(HubError, match=r"is public; private was asked for. Nothing was sent"):
        push(hub, folder, "acme/set", private=True)


def test_a_branch_is_created_from_main(hub: LoopbackHub, tmp_path: Path) -> None:
    push(hub, publication(tmp_path / "old", note="old"))
    new = publication(tmp_path / "new", note="new")
    hub.fail("/branch/", lost=True)
    done = push(hub, new, revision="v2")
    assert (done.revision, done.url) == ("v2", f"{hub.url}/datasets/{NAME}/tree/v2")
    assert hub.files(NAME, "refs/heads/v2") == contents(new)
    assert hub.files(NAME) == contents(tmp_path / "old")
    assert len(hub.history(NAME, "refs/heads/v2")) == 3
    assert push(hub, new, revision="v2").unchanged


def test_a_file_that_the_repository_ignores_is_told_of(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(NAME)
    hub.add(NAME, {".gitignore": "*.png"})
    with pytest.raises(HubError, match=r"lacks hardneg/plots/scores.png of 1 files.*gitignore"):
        push(hub, publication(tmp_path / "set"))


def test_the_check_of_cards_comes_first(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = publication(tmp_path / "set")
    with pytest.raises(HubError, match=r"would refuse README.md: no; never. Mend"):
        push(hub, folder, check=lambda text: ["no", "never"])
    assert not hub.settings.log
    seen: list[str] = []
    push(hub, folder, check=lambda text: seen.append(text) or [])  # type: ignore[func-returns-value]
    assert set(seen) == {(folder / "README.md").read_text()}


def test_a_card_that_the_hub_refuses(hub: LoopbackHub, tmp_path: Path) -> None:
    text = card(["n-tuple"], licence="mine")
    folder = publication(tmp_path / "set", ["n-tuple"], text=text)
    with pytest.raises(HubError, match=r"Invalid metadata in README.md.*'mine'"):
        push(hub, folder, check=lambda text: [])
    assert not hub.requests("PUT", "/_lfs/")
    assert len(hub.history(NAME)) == 1
