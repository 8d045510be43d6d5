"""Labels in a repository of one's own, on a Hub on loopback."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub_handler import wait_until
from hub_oauth import App, Grant, OAuthProvider
from hub_server import LoopbackHub

from hf_hardneg.errors import HubError, ParameterError
from hf_hardneg.hub import caller, label_commits, retries
from hf_hardneg.hub.caller import caller_of
from hf_hardneg.hub.label_commits import LabelCommits
from hf_hardneg.inspection.label_book import LabelBook, by_hand
from hf_hardneg.label_lines import file_stem, pattern_of

NAME = "alice/my-labels"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "default_wait", lambda _: 0.0)


@contextmanager
def commits(
    hub: LoopbackHub, folder: Path, name: str = NAME, token: str = "hf_alice", **options: Any
) -> Iterator[LabelCommits]:
    found = LabelCommits(name, folder, token, endpoint=hub.url, **options)
    try:
        yield found
    finally:
        found._scheduler.stop()


def book(own: LabelCommits, who: str = "alice") -> LabelBook:
    return LabelBook(own.folder, who, identity="set", set_name="a set", lock=own.lock)


def pick(number: int) -> Any:
    return by_hand("false_negative", query=f"query {number}", document="document")


def labels_on(hub: LoopbackHub, name: str = NAME) -> dict[str, bytes]:
    return {path: own for path, own in hub.files(name).items() if path.startswith("labels/")}


def test_a_repository_that_is_not_there_is_made_private(hub: LoopbackHub, tmp_path: Path) -> None:
    with commits(hub, tmp_path) as own:
        assert hub.repo(NAME).private
        labels = book(own)
        labels.add(pick(1))
        own.push()
        [path] = labels_on(hub)
        assert path == f"labels/{labels.path.name}"
        assert labels_on(hub)[path] == labels.path.read_bytes()
        labels.add(pick(2))
        own.stop()
    assert labels_on(hub)[path].count(b"\n") == 2
    assert own.problem == ""


def test_a_repository_that_is_there_keeps_what_it_has(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(NAME)
    hub.add(NAME, {"README.md": "mine", "labels/notes.txt": "mine too"}, "alice")
    with commits(hub, tmp_path) as own:
        book(own).add(pick(1))
        own.stop()
    files = hub.files(NAME)
    assert (files["README.md"], files["labels/notes.txt"]) == (b"mine", b"mine too")
    assert len(files) == 3
    assert not hub.repo(NAME).private  # it is as its owner made it


def test_a_space_that_was_built_anew_knows_its_labels(hub: LoopbackHub, tmp_path: Path) -> None:
    with commits(hub, tmp_path / "one") as own:
        book(own).add(pick(1))
        own.stop()
    with commits(hub, tmp_path / "two") as again:
        assert again.fetched == 1
        labels = book(again)
        assert [row.query for row in labels.mine()] == ["query 1"]
        again.stop()
    with commits(hub, tmp_path / "two") as same:
        assert same.fetched == 0


def test_every_so_often_by_itself(hub: LoopbackHub, tmp_path: Path) -> None:
    with commits(hub, tmp_path, every=0.001) as own:
        book(own).add(pick(1))
        wait_until(lambda: labels_on(hub))


def test_two_people_in_one_repository(hub: LoopbackHub, tmp_path: Path) -> None:
    name = "acme/labels"
    hub.create(name, private=True)
    with (
        commits(hub, tmp_path / "one", name) as one,
        commits(hub, tmp_path / "two", name) as two,
    ):
        books = [book(one, "ann"), book(two, "bob")]

        def label(place: int) -> None:
            for number in range(5):
                books[place].add(pick(number))
                (one, two)[place].push()

        threads = [threading.Thread(target=label, args=[place]) for place in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(content.count(b"\n") for content in labels_on(hub, name).values()) == [5, 5]
    with commits(hub, tmp_path / "three", name) as three:
        assert len(book(three).labels()) == 10


def test_of_a_shared_folder_only_what_is_ones_own(hub: LoopbackHub, tmp_path: Path) -> None:
    LabelBook(tmp_path, "bob").add(pick(1))
    with commits(hub, tmp_path, pattern=pattern_of("alice")) as own:
        book(own).add(pick(2))
        own.stop()
    [path] = labels_on(hub)
    assert "alice" in path
    assert b"bob" not in labels_on(hub)[path]


def test_a_hub_that_is_away_loses_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    with commits(hub, tmp_path) as own:
        labels = book(own)
        labels.add(pick(1))
        hub.fail("/commit/", status=503, times=1)
        own.push()  # tried again
        labels.add(pick(2))
        fault = hub.fail("/commit/", status=403, times=9, text="no more for hf_alice")
        with pytest.raises(HubError, match=r"may not write .* nothing is lost") as caught:
            own.push()
        assert "hf_alice" not in str(caught.value)
        assert len(labels.mine()) == 2
        fault.times = 0
        own.stop()
    assert next(iter(labels_on(hub).values())).count(b"\n") == 2


def test_what_failed_in_the_background_is_told(
    hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with commits(hub, tmp_path, every=0.001) as own:
        hub.fail("/commit/", status=403, times=1_000, text="no, hf_alice")
        book(own).add(pick(1))
        wait_until(lambda: own.problem)
        assert "may not write" in own.problem
        assert "hf_alice" not in own.problem
        wait_until(lambda: "Error while pushing" in caplog.text)
    pushing = [one.getMessage() for one in caplog.records if "pushing" in one.getMessage()]
    assert not [text for text in pushing if "hf_alice" in text]


@pytest.mark.parametrize(
    ("name", "token", "said"),
    [
        ("no-name", "hf_alice", "no name of a repository"),
        ("a/b/c", "hf_alice", "no name of a repository"),
        ("bob/labels", "hf_alice", "namespace 'bob'"),
        (NAME, "hf_alice_read", "may only read"),
        (NAME, "hf_nobody", "does not know this access token"),
        (NAME, "", "No access token"),
        (NAME, "hf alice", "not shown here"),
        ("alice/model", "hf_alice", "is a model"),
        ("alice/space", "hf_alice", "is a Space"),
        ("readers/labels", "hf_alice", "may only read in the organisation"),
    ],
)
def test_where_nobody_may_write(
    hub: LoopbackHub, tmp_path: Path, name: str, token: str, said: str
) -> None:
    hub.create("alice/model", "models")
    hub.create("alice/space", "spaces")
    with pytest.raises(HubError, match=said) as caught:
        LabelCommits(name, tmp_path, token, endpoint=hub.url)
    assert not token or token not in str(caught.value)
    assert ("datasets", name) not in hub.store.repos
    with pytest.raises(ParameterError, match="every"):
        LabelCommits(NAME, tmp_path, "hf_alice", 0, endpoint=hub.url)


def test_labels_in_the_repository_that_are_none(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(NAME)
    hub.add(NAME, {"labels/labels-x.jsonl": '{"label": 7}\n'}, "alice")
    with pytest.raises(HubError, match=r"labels-x.jsonl, line 1: label is 7.* Mend it") as caught:
        LabelCommits(NAME, tmp_path, "hf_alice", endpoint=hub.url)
    assert str(tmp_path) not in str(caught.value)
    assert not list(tmp_path.glob("*.jsonl"))


def test_nobody_speaks_for_another_in_a_shared_folder(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(NAME)
    forged = json.dumps({**pick(1).to_dict(), "annotator": "bob", "set": "set"})
    name = f"labels/{file_stem('alice')}-0123.jsonl"
    hub.add(NAME, {name: forged}, "alice")
    with pytest.raises(HubError, match="labels of 'bob'"):
        LabelCommits(NAME, tmp_path, "hf_alice", endpoint=hub.url, pattern=pattern_of("alice"))
    assert not list(tmp_path.glob("*.jsonl"))
    hub.add(NAME, {name: forged.replace('"bob"', '"alice"')}, "alice")
    with commits(hub, tmp_path, pattern=pattern_of("alice")) as own:
        # The file has no end of its line, and its label counts all the same.
        assert [row.query for row in book(own).mine()] == ["query 1"]


def test_more_labels_than_fit_are_not_fetched(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create(NAME)
    line = json.dumps(pick(1).to_dict()) + "\n"
    hub.add(NAME, {f"labels/labels-{n}.jsonl": line for n in range(3)}, "alice")
    monkeypatch.setattr(label_commits, "LARGEST", 2 * len(line))
    with pytest.raises(HubError, match="MB of labels"):
        LabelCommits(NAME, tmp_path, "hf_alice", endpoint=hub.url)
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_line_of_endless_brackets_is_no_label(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(NAME)
    hub.add(NAME, {"labels/labels-x.jsonl": '{"label": ' + "[" * 200_000 + "\n"}, "alice")
    with pytest.raises(HubError, match="line 1: no JSON"):
        LabelCommits(NAME, tmp_path, "hf_alice", endpoint=hub.url)


# -- with what signing in gives ------------------------------------------------------------------


def signed_in(hub: LoopbackHub, *scopes: str) -> OAuthProvider:
    provider = hub.settings.oauth = OAuthProvider(hub.url)
    provider.apps["app"] = App("secret", ())
    provider.tokens["hf_oauth_alice"] = Grant("alice", "app", scopes, 1e12)
    return provider


def test_the_narrowest_scope_is_enough(hub: LoopbackHub, tmp_path: Path) -> None:
    signed_in(hub, "openid", "profile", "contribute-repos")
    hub.create("alice/secret", private=True)
    with commits(hub, tmp_path, token="hf_oauth_alice") as own:
        book(own).add(pick(1))
        own.stop()
    assert len(labels_on(hub)) == 1
    with commits(hub, tmp_path, token="hf_oauth_alice"):
        pass  # again, later
    with pytest.raises(HubError, match=r"exists, and this sign-in may not use it"):
        LabelCommits("alice/secret", tmp_path, "hf_oauth_alice", endpoint=hub.url)
    hub.create("alice/public")
    with commits(hub, tmp_path, "alice/public", token="hf_oauth_alice") as own:
        book(own).add(pick(2))
        with pytest.raises(HubError, match="may not write"):
            own.push()


def test_a_sign_in_that_may_not_write(hub: LoopbackHub, tmp_path: Path) -> None:
    signed_in(hub, "openid", "profile")
    with pytest.raises(HubError, match="may not write"):
        LabelCommits(NAME, tmp_path, "hf_oauth_alice", endpoint=hub.url)


# -- whose token it is ---------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "_known", caller._Known())


def test_whose_token_it_is(hub: LoopbackHub, asked: None) -> None:
    signed_in(hub, "openid", "profile")
    assert caller_of("hf_bob", endpoint=hub.url) == "bob"
    assert caller_of(" hf_oauth_alice ", endpoint=hub.url) == "alice"
    assert caller_of("hf_bob", endpoint=hub.url) == "bob"
    assert len(hub.requests("GET", "whoami")) == 2  # the Hub bears few of them


def test_the_address_of_the_hub_is_that_of_the_environment(
    hub: LoopbackHub, asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    assert caller_of("hf_bob") == "bob"


@pytest.mark.parametrize("token", ["", "hf_nobody", "two words", "hf_\n"])
def test_a_token_that_is_nobodys(hub: LoopbackHub, asked: None, token: str) -> None:
    for _ in range(2):  # nor is a refusal remembered as a name
        with pytest.raises(HubError) as caught:
            caller_of(token, endpoint=hub.url)
        assert not token.strip() or token.strip() not in str(caught.value)


def test_a_hub_that_does_not_answer(hub: LoopbackHub, asked: None) -> None:
    hub.fail("whoami", status=503, times=1)
    assert caller_of("hf_bob", endpoint=hub.url) == "bob"
    hub.fail("whoami", status=503, times=20)
    with pytest.raises(HubError, match="3 tries are used up"):
        caller_of("hf_alice", endpoint=hub.url)


def test_few_names_are_kept_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "MOST", 2)
    known, now = caller._Known(), [0.0]
    monkeypatch.setattr(caller.time, "monotonic", lambda: now[0])
    for name in "abc":
        known.put(name, name)
    assert [known.get(name) for name in "abc"] == [None, "b", "c"]
    now[0] = caller.KNOWN_FOR
    assert known.get("c") is None
