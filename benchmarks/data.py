"""The collections, folders in BEIR layout, and what identifies them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.errors import BenchmarkError

__all__ = ["Collection", "find_collection"]

SPLITS = ("train", "dev", "test")


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


@dataclass(frozen=True)
class Collection:
    """A folder in BEIR layout."""

    folder: Path
    corpus: Path
    queries: Path
    judgements: tuple[Path, ...]

    def describe(self) -> dict[str, Any]:
        """Return name, sizes, and a hash of the content, however it is compressed."""
        digest = hashlib.sha256()
        lines = {}
        for path in (self.corpus, self.queries, *self.judgements):
            with _open(path) as stream:
                content = stream.read()
            name = path.relative_to(self.folder).as_posix().removesuffix(".gz")
            digest.update(f"{name} {len(content)}\n".encode())
            digest.update(content)
            lines[name] = sum(1 for line in content.splitlines() if line.strip())
        return {
            "name": self.folder.name,
            "documents": lines["corpus.jsonl"],
            "queries": lines["queries.jsonl"],
            "judgements": {path.stem: lines[f"qrels/{path.name}"] - 1 for path in self.judgements},
            "sha256": digest.hexdigest(),
        }

    def join_judgements(self, target: Path) -> Path:
        """Write the judgements of all splits into one file."""
        with target.open("wb") as joined:
            for number, path in enumerate(self.judgements):
                header, _, rest = path.read_bytes().partition(b"\n")
                joined.write((header + b"\n" if number == 0 else b"") + rest)
                if rest and not rest.endswith(b"\n"):
                    joined.write(b"\n")
        return target


def find_collection(data: Path, name: str) -> Collection:
    """Return the collection ``name`` of the folder ``data``.

    Raises:
        BenchmarkError: it is not there.
    """
    folder = data / name
    judgements = tuple(
        path for split in SPLITS if (path := folder / "qrels" / f"{split}.tsv").is_file()
    )
    corpus, queries = _either(folder / "corpus.jsonl"), _either(folder / "queries.jsonl")
    if corpus is None or queries is None or not judgements:
        raise BenchmarkError(
            f"there is no collection {name!r} in {data}: expected a folder in BEIR layout with "
            f"corpus.jsonl, queries.jsonl (or .gz) and qrels/*.tsv. Name the folder that holds "
            f"{name!r} with --data."
        )
    return Collection(folder, corpus, queries, judgements)


def _either(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return next((file for file in (path, packed) if file.is_file()), None)
