"""Labels are never lost: by a reload, a crash, or two people at once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import label_cases_of_people
import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from label_cases_of_people import mined, pick
from small_collection import succeed

import hf_hardneg
from hf_hardneg import Corpus, label_lines
from hf_hardneg.errors import FormatError, OutputError, ParameterError
from hf_hardneg.evaluation.labels import LABELS, Label, Labels
from hf_hardneg.inspection import label_files, label_folder
from hf_hardneg.inspection import set_identity as set_identities
from hf_hardneg.inspection.label_book import LabelBook, by_hand
from hf_hardneg.inspection.label_files import LabelFile, file_name
from hf_hardneg.inspection.label_folder import LabelFolder
from hf_hardneg.inspection.set_identity import set_identity
from hf_hardneg.mined_set import MinedSet

DRAWN = Label(query_id="q", document_id="d", label="true_negative", weight=2.0, stratum="1-5")


def book(folder: Path, who: str = "ann", identity: str = "set") -> LabelBook:
    return LabelBook(folder, who, identity=identity, set_name=f"name of {identity}")


def words(rows: list[Label]) -> list[tuple[str, object]]:
    return [(row.annotator, row.label) for row in rows]


@contextmanager
def writing(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that adds labels."""
    home = Path(hf_hardneg.__file__).parents[1]
    command = [sys.executable, label_cases_of_people.__file__, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(home)}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_is_kept_is_there_after_a_reload(tmp_path: Path) -> None:
    first = book(tmp_path)
    assert (first.labels(), first.mine(), first.undo()) == ([], [], None)
    kept = first.add(pick(1))
    assert (kept.annotator, kept.stratum, kept.weight) == ("ann", "hand-picked", None)
    assert kept.further["set"] == "set"
    assert kept.further["at"].endswith("+00:00")
    first.add(replace(pick(1, "unsure"), note="ünï\u2028\n"))
    book(tmp_path, "bob").add(pick(1, "true_negative"))
    again = book(tmp_path)
    assert words(again.labels()) == [("ann", "unsure"), ("bob", "true_negative")]
    assert [row.note for row in again.mine()] == ["ünï\u2028\n"]
    # As it was said, nothing was overwritten.
    assert [len(path.read_bytes().splitlines()) for path in sorted(tmp_path.glob("*.jsonl"))] == [
        2, 1,
    ]  # fmt: skip


def test_a_file_that_audit_reads(tmp_path: Path) -> None:
    own, other = book(tmp_path / "labels"), book(tmp_path / "labels", "bob")
    for one in (own, other):
        one.add(pick(1))
    own.add(pick(1, "true_negative"))
    other.undo()
    path = own.export(tmp_path / "all.jsonl")
    assert words(list(Labels.read(path))) == [("ann", "true_negative")]
    with pytest.raises(OutputError, match="holds 1 labels"):
        own.export(path)
    data = tmp_path / "mined.jsonl"
    mined().rows.to_json(data)
    shown = " ".join(succeed("audit", data, "--labels", path).stdout.split())
    assert "1 were picked by hand, 0 of which are called false" in shown
    # The files themselves say the same, what was taken back included.
    raw = Labels.read_all(sorted((tmp_path / "labels").glob("*.jsonl")))
    assert len(raw) == 4
    with pytest.raises(FormatError, match="nobody has labelled"):
        book(tmp_path / "none").export(tmp_path / "none.jsonl")


def test_a_killed_process_loses_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    with writing(tmp_path, "ann", 0, 100_000) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(25)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split()]
    queries = {row.query for row in book(tmp_path).mine()}
    assert {f"query {number}" for number in told} <= queries
    assert len(queries) - len(told) in (0, 1)
    assert book(tmp_path).add(pick(7, "true_negative")).label == "true_negative"
    assert len(book(tmp_path).mine()) == len(queries)


def test_two_people_and_one_twice_at_once(tmp_path: Path) -> None:
    runs = [("ann", 0, 40), ("ann", 40, 80), ("bob", 0, 40)]
    with (
        writing(tmp_path, *runs[0]) as one,
        writing(tmp_path, *runs[1]) as two,
        writing(tmp_path, *runs[2]) as three,
    ):
        for process in (one, two, three):
            assert process.stdout is not None
            assert len(process.stdout.read().split()) == 40
    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    assert len(book(tmp_path).mine()) == 80
    assert len(book(tmp_path, "bob").mine()) == 40
    assert len(book(tmp_path).labels()) == 120


def test_threads_of_one_process_share_a_file(tmp_path: Path) -> None:
    books = [book(tmp_path) for _ in range(4)]  # as many windows of one person

    def add(place: int) -> None:
        for number in range(15):
            books[place].add(pick(100 * place + number))

    threads = [threading.Thread(target=add, args=[place]) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [path] = tmp_path.glob("*.jsonl")
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 60
    assert len(book(tmp_path).mine()) == 60


@pytest.mark.parametrize("torn", [b'{"label": "fal', b"x" * 200_000, b"\xff\x00"])
def test_half_a_line_is_no_line_and_spoils_none_after_it(tmp_path: Path, torn: bytes) -> None:
    own = book(tmp_path)
    own.add(pick(1))
    with own.path.open("ab") as file:
        file.write(torn)
    assert len(own.labels()) == len(book(tmp_path).labels()) == 1
    own.add(pick(2))
    assert len(own.labels()) == len(book(tmp_path).labels()) == 2
    assert torn not in own.path.read_bytes()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = book(tmp_path)
    own.add(pick(1))
    before = own.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="full"):
            own.add(pick(2))
    assert own.path.read_bytes() == before
    own.add(pick(3))
    assert len(own.labels()) == 2


def test_a_line_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "labels-x.jsonl").write_text('{"label": null}\n')
    with pytest.raises(FormatError, match=r"labels-x.jsonl, line 1: no query or no document"):
        book(tmp_path).labels()
    for text, said in (("[]", "list; expected"), ("{", "no JSON")):
        (tmp_path / "labels-x.jsonl").write_text(f"\n{text}\n")
        with pytest.raises(FormatError, match=f"line 2: {said}"):
            book(tmp_path).labels()


def test_undo_goes_back_step_by_step(tmp_path: Path) -> None:
    own, other = book(tmp_path), book(tmp_path, "bob")
    own.add(pick(1, "unsure"))
    own.add(pick(2, "true_negative"))
    own.add(pick(1, "false_negative"))
    other.add(pick(1, "bad_query"))

    def said() -> dict[str, object]:
        return {row.query: row.label for row in book(tmp_path).mine()}

    assert said() == {"query 1": "false_negative", "query 2": "true_negative"}
    taken = own.undo()
    assert taken is not None
    assert (taken.query, taken.label) == ("query 1", "false_negative")
    assert said() == {"query 1": "unsure", "query 2": "true_negative"}
    book(tmp_path).undo()  # after a reload too
    assert said() == {"query 1": "unsure"}
    own.add(pick(3))
    own.undo()
    own.undo()
    assert said() == {}
    assert own.undo() is None
    own.add(pick(2, "unsure"))
    assert said() == {"query 2": "unsure"}
    assert words(other.mine()) == [("bob", "bad_query")]
    exported = Labels.read(own.export(tmp_path / "all.jsonl"))
    assert words(list(exported)) == [("bob", "bad_query"), ("ann", "unsure")]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "unsure", "true_negative"])),
                max_size=12))  # fmt: skip
def test_undo_is_the_state_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str | None]]
) -> None:
    """A step is a label, or with None an undo; against a plain list."""
    own, done = book(tmp_path_factory.mktemp("labels")), []
    for number, label in steps:
        if label is None:
            own.undo()
            done = done[:-1]
        else:
            own.add(pick(number, label))
            done.append((f"query {number}", label))
    assert {row.query: row.label for row in own.mine()} == dict(done)


def test_labels_of_another_set_are_never_mixed_in(tmp_path: Path) -> None:
    one, two = book(tmp_path), book(tmp_path, identity="other")
    one.add(pick(1))
    two.add(pick(1, "true_negative"))
    assert words(one.labels()) == [("ann", "false_negative")]
    assert words(two.labels()) == [("ann", "true_negative")]
    assert one.others() == {"name of other": 1}
    two.undo()
    assert (len(one.labels()), two.labels()) == (1, [])
    assert len(LabelBook(tmp_path, "ann").labels()) == 1  # of all sets


@pytest.mark.parametrize(
    "name", ["../../etc", "ann/bob", "Ann", "ann", "名前" * 60, ". .", "a" * 200]
)
def test_a_name_is_a_safe_name_of_a_file(tmp_path: Path, name: str) -> None:
    own = book(tmp_path, name)
    own.add(pick(1))
    [path] = [path for path in tmp_path.rglob("*") if path.suffix == ".jsonl"]
    assert path == own.path
    assert path.parent == tmp_path
    assert path.name.isascii()
    assert len(path.name) < 100
    assert [row.annotator for row in book(tmp_path, name).mine()] == [name]


def test_names_that_differ_in_case_alone_have_files_of_their_own() -> None:
    assert len({file_name(name).casefold() for name in ("Ann", "ann", "ANN", "a-nn")}) == 4


@pytest.mark.parametrize("name", ["", " ", "a" * 201, None])
def test_a_name_is_needed(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="expected the name of whoever labels"):
        book(tmp_path, name)


def test_what_a_book_refuses(tmp_path: Path) -> None:
    own = book(tmp_path)
    with pytest.raises(ParameterError, match="needs the weight of the draw"):
        own.add(replace(DRAWN, weight=None))
    with pytest.raises(FormatError, match="have a weight"):
        own.add(replace(pick(1), weight=1.0))
    with pytest.raises(FormatError, match="surrogate"):
        own.add(replace(pick(1), note="\ud800"))
    assert not list(tmp_path.glob("*.jsonl"))
    own.add(DRAWN)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        book(tmp_path / "file").add(pick(1))


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    own = book(tmp_path)
    kept = own.add(pick(1))
    future = {**kept.to_dict(), "label": "unsure", "at": "2999-01-01T00:00:00.000000+00:00"}
    LabelFile(own.path).append(future)
    own.add(pick(1, "true_negative"))
    assert words(own.mine()) == [("ann", "true_negative")]


def test_a_fork_has_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_name("ann")
    assert file_name("ann") == before
    monkeypatch.setattr(label_files.os, "getpid", lambda: 0)
    assert file_name("ann") != before


def test_a_pair_without_ids_is_the_one_that_a_sample_names() -> None:
    from hf_hardneg.evaluation.sampling import draw_pairs, frame_of

    line = draw_pairs(frame_of(mined()), size=10).labels[0]
    assert by_hand("unsure", query=line.query, document=line.document).pair == line.pair


def test_what_a_set_is_called_by_what_it_holds() -> None:
    own = mined()
    name = set_identity(own)
    assert len(name) == 16
    assert set_identity(mined()) == name
    rows = own.rows.to_list()
    rows[0]["negatives"][0] = "another document"
    assert set_identity(type(own).of(own.rows.from_list(rows))) != name
    assert set_identity(type(own).of(own.rows.select(range(59)))) != name


def test_one_other_negative_anywhere_is_another_set() -> None:
    rows = [{"query": f"q {n}", "positive": "p", "negatives": [f"d {n}"]} for n in range(1_000)]
    name = set_identity(MinedSet.of(Dataset.from_list(rows)))
    # As after mining anew with the stage "labelled": a row in a thousand has another negative.
    rows[555]["negatives"] = ["another document"]
    assert set_identity(MinedSet.of(Dataset.from_list(rows))) != name
    rows[555]["negatives"] = []
    assert set_identity(MinedSet.of(Dataset.from_list(rows))) != name


def test_a_set_by_ids_with_its_corpus_is_the_set_by_texts() -> None:
    documents = {f"d{n}": f"Text  number {n}" for n in range(40)}
    ids = [[f"d{n}", f"d{(n * 7) % 40}"] for n in range(20)]
    queries = [f"q {n}" for n in range(20)]
    texts = [[documents[one] for one in own] for own in ids]
    by_text = MinedSet.of(Dataset.from_dict({"query": queries, "negatives": texts}))
    by_id = MinedSet.of(Dataset.from_dict({"query": queries, "negative_ids": ids}))
    name = set_identity(by_text)
    assert set_identity(by_id.joined(Corpus(documents))) == name
    assert set_identity(by_text.joined(Corpus(documents))) == name
    assert set_identity(by_id) != name


def test_what_a_set_is_called_is_looked_up_the_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = mined()
    name = set_identity(own)
    monkeypatch.setattr(set_identities, "_identity", None)
    assert set_identity(own) == name


def test_a_line_is_read_once_however_many_books_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def label_of(line: bytes, where: str) -> Label:
        read.append(where)
        return label_lines.label_of(line, where)

    monkeypatch.setattr(label_folder, "label_of", label_of)
    for number in range(5):
        book(tmp_path, "ann").add(pick(number))
        book(tmp_path, "bob", "another set").add(pick(number))
        assert len(book(tmp_path, "carl").labels()) == number + 1
    assert len(read) == 10


def test_what_is_known_already_and_what_is_new_are_as_all_read_at_once(tmp_path: Path) -> None:
    """Lines come in any order of their moments, from several processes and of several sets."""
    rng = np.random.default_rng(0)
    own = book(tmp_path)
    names = [f"labels-{who}-0.jsonl" for who in ("ann", "bob")]
    for moment in rng.permutation(200).tolist():
        who, number, words = ("ann", "bob")[moment % 2], moment % 7, (*LABELS, None)
        said = pick(number, words[moment % len(words)])
        further = {
            "at": f"2026-01-01T00:00:00.{moment:06}+00:00",
            "set": ("set", "x")[moment % 3 > 1],
        }
        if said.label is None:
            further["withdrawn"] = True
        line = json.dumps({**said.to_dict(), "annotator": who, **further}) + "\n"
        with (tmp_path / names[moment % 2]).open("a") as file:
            file.write(line)
        assert own.labels() == LabelFolder(tmp_path).latest("set")


def test_a_file_that_is_mended_or_moved_away_is_read_anew(tmp_path: Path) -> None:
    own = book(tmp_path)
    kept = own.add(pick(1))
    whole = own.path.read_bytes()
    with own.path.open("ab") as file:
        file.write(b"{\n")
    for _ in range(2):  # the second time says the same line
        with pytest.raises(FormatError, match="line 2: no JSON"):
            own.labels()
    own.path.write_bytes(whole)
    assert own.labels() == [kept]
    own.path.unlink()
    assert own.labels() == []
    larger = json.dumps({**kept.to_dict(), "note": "a longer one" * 9})
    (tmp_path / "other").write_text(f"{larger}\n{larger}\n")
    own.path.write_bytes(whole)
    assert own.labels() == [kept]
    (tmp_path / "other").replace(own.path)  # another file of the same name, and larger
    assert [row.note for row in own.labels()] == ["a longer one" * 9]


def test_fields_of_other_kinds_spoil_nothing(tmp_path: Path) -> None:
    own = book(tmp_path)
    kept = own.add(pick(1))
    odd = {**pick(2).to_dict(), "annotator": "ann", "set": ["set"], "undoes": [1], "at": {}}
    with own.path.open("a") as file:
        file.write(json.dumps(odd) + "\n" + json.dumps({**odd, "set": "set"}) + "\n")
    assert kept in own.labels()
    assert len(LabelFolder(tmp_path).latest()) == 3
    assert own.undo() == kept
