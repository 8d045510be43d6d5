"""The collection made of the standard library's docstrings."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path

import pytest

from hf_hardneg import stdlib_docs
from hf_hardneg.errors import CorpusError
from hf_hardneg.stdlib_docs import StdlibCollection, StdlibPair, stdlib_collection

FINGERPRINT = """
import hashlib
from hf_hardneg.stdlib_docs import stdlib_collection
c = stdlib_collection()
relevant = [(query, sorted(ids)) for query, ids in c.relevant.items()]
print(hashlib.sha256(ascii((c.documents, c.pairs, relevant)).encode()).hexdigest())
"""


def fingerprint(collection: StdlibCollection) -> str:
    """Return a hash of everything in the collection, in its order."""
    relevant = [(query, sorted(ids)) for query, ids in collection.relevant.items()]
    content = ascii((collection.documents, collection.pairs, relevant))
    return hashlib.sha256(content.encode()).hexdigest()


def normal(text: str) -> str:
    """Return the text as the rule of relevance compares it."""
    return " ".join(text.split()).casefold()


def write_library(folder: Path, count: int = stdlib_docs.MIN_PAIRS) -> Path:
    """Write a library of ``count`` different functions into the file ``zz_filler.py``."""
    text = "".join(
        f'def f{i}():\n    """Return the number {i}.\n\n    It is one more than {i - 1} is."""\n'
        for i in range(count)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zz_filler.py").write_text(text, encoding="utf-8")
    return folder


def pair_of(collection: StdlibCollection, doc_id: str) -> StdlibPair:
    """Return the pair whose known positive is ``doc_id``."""
    (pair,) = (pair for pair in collection.pairs if pair.positive_id == doc_id)
    return pair


@pytest.fixture(scope="module")
def real() -> StdlibCollection:
    """Return the collection of the Python that runs the tests."""
    if not Path(sysconfig.get_paths()["stdlib"], "argparse.py").is_file():
        pytest.skip("this Python has no sources of its standard library")
    return stdlib_collection()


def test_ids_are_unique_and_pairs_follow_documents(real: StdlibCollection) -> None:
    ids = [doc_id for doc_id, _ in real.documents]
    assert len(set(ids)) == len(ids) >= 1000
    assert [pair.positive_id for pair in real.pairs] == ids
    assert len({pair.query_id for pair in real.pairs}) == len(ids)


def test_texts_have_enough_words(real: StdlibCollection) -> None:
    for _, text in real.documents:
        assert text == text.strip()
        assert len(text) > 2 * stdlib_docs.MIN_BODY_WORDS - 2
        text.encode("utf-8")
    for pair in real.pairs:
        assert pair.query == " ".join(pair.query.split())
        assert "\n" not in pair.query
        assert len(pair.query) > 2 * stdlib_docs.MIN_SUMMARY_WORDS - 2


def test_left_out_folders_stay_out(real: StdlibCollection) -> None:
    folders = {part for doc_id, _ in real.documents for part in doc_id.split(".")[:1]}
    assert not folders & {"test", "idlelib", "lib2to3", "encodings", "turtledemo", "pytest"}
    assert {"asyncio", "email", "argparse"} <= folders


def test_relevance_is_complete_and_closed(real: StdlibCollection) -> None:
    texts = dict(real.documents)
    by_text: defaultdict[str, set[str]] = defaultdict(set)
    by_query: defaultdict[str, set[str]] = defaultdict(set)
    for doc_id, text in real.documents:
        by_text[normal(text)].add(doc_id)
    for pair in real.pairs:
        by_query[normal(pair.query)].add(pair.positive_id)
        assert pair.positive_id in real.relevant[pair.query]
    assert set(real.relevant) == {pair.query for pair in real.pairs}
    for query, ids in real.relevant.items():
        assert ids <= texts.keys()
        assert by_query[normal(query)] <= ids
        expected = {copy for doc in by_query[normal(query)] for copy in by_text[normal(texts[doc])]}
        assert ids == expected
        assert all(by_text[normal(texts[doc])] <= ids for doc in ids)


def test_there_are_known_false_negatives(real: StdlibCollection) -> None:
    several = sum(len(real.relevant[pair.query]) > 1 for pair in real.pairs)
    assert several > len(real.pairs) / 50
    assert several < len(real.pairs) / 2


def test_second_call_gives_the_same(real: StdlibCollection) -> None:
    assert fingerprint(stdlib_collection()) == fingerprint(real)


def test_hash_seed_and_locale_do_not_matter(real: StdlibCollection) -> None:
    root = str(Path(stdlib_docs.__file__).parents[1])
    settings = {"PYTHONHASHSEED": "4321", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == fingerprint(real)


@pytest.mark.parametrize("exists", [True, False])
def test_no_sources_is_an_error(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(CorpusError, match="0 usable docstrings in 0 readable") as caught:
        stdlib_collection(folder)
    assert repr(str(folder)) in str(caught.value)
    assert "folder=" in str(caught.value)


def test_too_few_docstrings_is_an_error(tmp_path: Path) -> None:
    folder = write_library(tmp_path, stdlib_docs.MIN_PAIRS - 1)
    with pytest.raises(CorpusError, match="199 usable docstrings in 1 readable"):
        stdlib_collection(folder)


def test_unreadable_files_are_counted(tmp_path: Path) -> None:
    write_library(tmp_path)
    (tmp_path / "broken.py").write_text("def (", encoding="utf-8")
    (tmp_path / "latin.py").write_bytes(b'"""Three \xe9 words.\n\nOne two three four five."""\n')
    (tmp_path / "zero.py").write_bytes(b"x = 1\0")
    declared = b'# coding: latin-1\n"""Three \xe9 words.\n\nOne two three four five."""\n'
    (tmp_path / "declared.py").write_bytes(declared)
    collection = stdlib_collection(tmp_path)
    assert (collection.files, collection.unreadable_files) == (2, 3)
    assert pair_of(collection, "declared").query == "Three \xe9 words."


def test_skipped_folders_are_not_read(tmp_path: Path) -> None:
    write_library(tmp_path)
    for name in ("test", "site-packages", "config-3.11-x86_64-linux-gnu", "pkg/tests"):
        write_library(tmp_path / name)
    collection = stdlib_collection(tmp_path)
    assert (collection.files, len(collection.documents)) == (1, stdlib_docs.MIN_PAIRS)


NAMES = '''
if True:
    def twice():
        """Do it once again.

        One two three four five."""
else:
    def twice():
        """Do it in another way.

        Five four three two one."""

class Outer:
    """Hold three things together.

        An indented body of five words."""

    async def method(self):
        """Wait for three things.

        ONE two  three four five."""
        def inner():
            """Do it once again.

            Words that no other docstring has."""

def short():
    """Too short.

    One two three four five."""
'''


def test_ids_and_relevance_of_a_small_library(tmp_path: Path) -> None:
    write_library(tmp_path)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(NAMES, encoding="utf-8")
    collection = stdlib_collection(tmp_path)
    texts = dict(collection.documents[:5])
    method, inner = "pkg.Outer.method", "pkg.Outer.method.inner"
    assert list(texts) == ["pkg.twice", "pkg.twice#2", "pkg.Outer", method, inner]
    assert texts["pkg.Outer"] == "An indented body of five words."
    # Same text under another summary, and the same summary above another text.
    assert collection.relevant["Do it once again."] == {"pkg.twice", method, inner}
    assert collection.relevant["Wait for three things."] == {"pkg.twice", method}
    assert collection.relevant["Do it in another way."] == {"pkg.twice#2"}


LONG = "A first sentence, e.g. this one, ends\nhere. " + "More words " * 20 + "end."


@pytest.mark.parametrize(
    ("docstring", "query", "text"),
    [
        (LONG, "A first sentence, e.g. this one, ends here.", ("More words " * 20) + "end."),
        ("one two three\n" + "word " * 50, "one two three", ("word " * 50).strip()),
        ("Two lines\nof summary.\n \nA b c d e.", "Two lines of summary.", "A b c d e."),
        ("Said it twice.\n\nsaid it  twice.\nA b c d e.", "Said it twice.", "A b c d e."),
        ("Said it twice.\n\nSaid it twice. A b c d e.", "Said it twice.", "A b c d e."),
        ("Said it twice\n\nSaid it twice over, on.", "Said it twice", "Said it twice over, on."),
    ],
)
def test_split_of_a_docstring(tmp_path: Path, docstring: str, query: str, text: str) -> None:
    write_library(tmp_path)
    (tmp_path / "one.py").write_text(f'"""{docstring}"""\n', encoding="utf-8")
    collection = stdlib_collection(tmp_path)
    assert collection.documents[0] == ("one", text)
    assert pair_of(collection, "one").query == query


@pytest.mark.parametrize(
    "docstring", ["No body at all here.", "a.b.c\n\nA b c d e.", r"A lone \ud800.\n\nA b c d e."]
)
def test_unusable_docstrings_are_left_out(tmp_path: Path, docstring: str) -> None:
    write_library(tmp_path)
    (tmp_path / "one.py").write_text(f'"""{docstring}"""\n', encoding="utf-8")
    assert len(stdlib_collection(tmp_path).documents) == stdlib_docs.MIN_PAIRS
