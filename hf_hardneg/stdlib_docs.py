"""A retrieval collection that any machine has: the docstrings of Python's standard library.

A query is the summary of a docstring; its one known positive is the rest of that docstring. The
library repeats itself: ``bz2`` and ``lzma`` describe the same methods, and so do many other pairs.
The copies stay in the collection as separate documents. A miner that is told of one positive
takes the others for negatives, and here these false negatives are known by rule.

CPython 3.10 to 3.13 give about 3000 documents, each with one query. 410 to 440 queries have more
than one relevant document, and 220 to 250 documents have a text that occurs more than once.
"""

from __future__ import annotations

import ast
import os
import re
import sysconfig
import textwrap
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hf_hardneg.errors import CorpusError

__all__ = ["StdlibCollection", "StdlibPair", "stdlib_collection"]

MIN_PAIRS = 200
MIN_BODY_WORDS = 5
MIN_SUMMARY_WORDS = 3
MAX_SUMMARY_CHARS = 200

# Tests, tables, demonstrations and vendored packages.
_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "turtledemo", "encodings", "_bundled", "__pycache__"}
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Where a statement holds statements. Most of a tree is expressions, which hold no docstring.
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


class StdlibPair(NamedTuple):
    """A query with one known positive.

    Attributes:
        query_id: ``q:`` and the id of the positive.
        query: summary of a docstring, on one line.
        positive_id: id of the rest of that docstring.
    """

    query_id: str
    query: str
    positive_id: str


class StdlibCollection(NamedTuple):
    """Documents, queries and complete relevance, see :func:`stdlib_collection`.

    Attributes:
        documents: ``(id, text)``, in the order of the source files and of the lines in them.
        pairs: one for each document, in the same order. Two pairs can have the same query.
        relevant: the text of a query -> the ids of all the documents that answer it.
        files: number of source files that were read.
        unreadable_files: number of source files that could not be opened, decoded or parsed.
    """

    documents: list[tuple[str, str]]
    pairs: list[StdlibPair]
    relevant: dict[str, frozenset[str]]
    files: int
    unreadable_files: int


def stdlib_collection(folder: Path | None = None) -> StdlibCollection:
    """Read the standard library's sources and return its docstrings as a collection.

    Nothing is imported, so no code of the library runs. A document is relevant to a query if
    its own docstring has the same summary, or if its text equals that of such a document; both
    are compared without regard to case and whitespace. That is the whole rule. A paraphrase
    under another summary does not count, even if a reader would accept it as an answer. The
    result depends only on the files in ``folder``.

    Args:
        folder: where the sources lie; by default the library of the running Python.

    Raises:
        CorpusError: fewer than 200 usable docstrings, as when the library is zipped or stripped.
    """
    root = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    entries, files, unreadable = _read(root)
    if len(entries) < MIN_PAIRS:
        raise CorpusError(
            f"{len(entries)} usable docstrings in {files} readable and {unreadable} unreadable "
            f"source files (.py) under {str(root)!r}, expected at least {MIN_PAIRS}. Use a Python "
            "whose library is not zipped or stripped, or pass the library's folder as folder=."
        )
    documents = [(doc_id, body) for doc_id, _, body in entries]
    pairs = [StdlibPair(f"q:{doc_id}", summary, doc_id) for doc_id, summary, _ in entries]
    return StdlibCollection(documents, pairs, _relevance(entries), files, unreadable)


def _read(root: Path) -> tuple[list[tuple[str, str, str]], int, int]:
    """Return (id, summary, body) of all docstrings, and the readable and unreadable file counts."""
    entries: list[tuple[str, str, str]] = []
    seen: Counter[str] = Counter()
    paths = _source_files(root)
    unreadable = 0
    for path in paths:
        tree = _parse(path)
        unreadable += tree is None
        for name, docstring in _docstrings(tree, _module_name(path.relative_to(root))):
            parts = _summary_and_body(docstring)
            if parts is not None:
                # One name can be defined twice: for two platforms, or as a getter and a setter.
                seen[name] += 1
                entries.append((name if seen[name] == 1 else f"{name}#{seen[name]}", *parts))
    return entries, len(paths) - unreadable, unreadable


def _source_files(root: Path) -> list[Path]:
    """Return the library's source files, sorted by their path below ``root``."""
    found: list[Path] = []
    for current, folders, names in os.walk(root):
        # Prune early: site-packages, which is no identifier (nor lib-dynload), can be huge.
        folders[:] = [f for f in folders if f.isidentifier() and f not in _SKIPPED_FOLDERS]
        found += [Path(current, name) for name in names if name.endswith(".py")]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _module_name(relative: Path) -> str:
    """Return the dotted name of the module at ``relative``, a path below the library's folder."""
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def _parse(path: Path) -> ast.Module | None:
    """Return the syntax tree of a file, or None if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Old escapes in the sources are no news to the caller.
            # Bytes, so that the file's own declaration decides on the encoding, not the locale.
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _docstrings(node: ast.AST | None, name: str) -> Iterator[tuple[str, str]]:
    """Yield dotted name and docstring of ``node`` and all definitions in it; nothing for None."""
    if isinstance(node, _DOCUMENTED):
        docstring = ast.get_docstring(node, clean=True)
        # A lone surrogate can be written as an escape, but no file or tokenizer takes it.
        if docstring and not re.search("[\ud800-\udfff]", docstring):
            yield name, docstring
    for block in _BLOCKS:
        children = getattr(node, block, None)
        # In a lambda or a conditional expression the field is one node, not a list.
        for child in children if isinstance(children, list) else ():
            named = isinstance(child, _DOCUMENTED[1:])
            yield from _docstrings(child, f"{name}.{child.name}" if named else name)


def _summary_and_body(docstring: str) -> tuple[str, str] | None:
    """Split a clean docstring in two, or return None if one part has too few words.

    The summary is the first paragraph. If that is longer than 200 characters, it is the first
    sentence of it, and if that is too long as well, its first line.
    """
    paragraph, rest = [*re.split(r"\n[ \t]*\n", docstring, maxsplit=1), ""][:2]
    if len(" ".join(paragraph.split())) > MAX_SUMMARY_CHARS:
        # A capital must follow, because the full stop of "e.g." does not end a sentence.
        sentence = re.match(r".{1,199}?[.!?](?=\s+[A-Z])", paragraph, re.DOTALL)
        end = sentence.end() if sentence else len(paragraph.partition("\n")[0])
        paragraph, rest = docstring[:end], docstring[end:]
    words = paragraph.split()
    # Some bodies begin with the summary once more, which would make the search trivial.
    again = r"\A\s*" + r"\s+".join(map(re.escape, words)) + r"(?:[ \t]*(?:\n|\Z)|(?<=[.!?])\s)"
    body = textwrap.dedent(re.sub(again, "", rest, flags=re.IGNORECASE)).strip()
    summary = " ".join(words)
    # A rule like "-----" is no word, and "distutils.command.build" is one.
    counts = [len(re.findall(r"\w\S*", text)) for text in (summary, body)]
    enough = counts[0] >= MIN_SUMMARY_WORDS and counts[1] >= MIN_BODY_WORDS
    return (summary, body) if enough else None


def _normal(text: str) -> str:
    """Return ``text`` in lower case and with single spaces."""
    return " ".join(text.split()).casefold()


def _relevance(entries: list[tuple[str, str, str]]) -> dict[str, frozenset[str]]:
    """Return all the relevant ids for each query, from (id, summary, body) of all docstrings."""
    same_body: defaultdict[str, list[str]] = defaultdict(list)
    for doc_id, _, body in entries:
        same_body[_normal(body)].append(doc_id)
    relevant: defaultdict[str, set[str]] = defaultdict(set)
    for _, summary, body in entries:
        relevant[_normal(summary)].update(same_body[_normal(body)])
    return {summary: frozenset(relevant[_normal(summary)]) for _, summary, _ in entries}
