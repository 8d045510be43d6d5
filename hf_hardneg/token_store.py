"""Token vectors on disk, in parts that are written as they are made: a kill loses one part.

A text is encoded once and found by its content, whichever corpus or run it comes from. The vectors
of a part lie one after the other in a file that is memory-mapped.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets.utils import tqdm
from numpy.typing import NDArray

from hf_hardneg.arrow import save_array
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ModelError
from hf_hardneg.hashing import exact_keys
from hf_hardneg.text_parts import Keys, TextParts, not_whole, open_array
from hf_hardneg.token_vectors import TokenVectors

__all__ = ["STORAGES", "TextSource", "TokenTexts"]

STORAGES = ("float32", "float16")
ABOUT = "about.json"
VECTORS = "vectors.bin"
OPEN_PARTS = 64
ROWS_AT_ONCE = 4096
LAYOUT = 1

Encode = Callable[[list[str]], TokenVectors]


class TextSource:
    """Texts that can be had by their keys, read when they are asked for.

    Args:
        corpus: the documents, if some of the texts are documents.
        rows: which of them, in any order.
        texts: further texts.
    """

    def __init__(
        self,
        corpus: Corpus | None = None,
        rows: NDArray[np.int64] | None = None,
        texts: Iterable[str] = (),
    ) -> None:
        """Work out the keys."""
        self._corpus, self._rows = (
            corpus,
            np.unique(np.zeros(0, np.int64) if rows is None else rows),
        )
        self._row_keys = np.zeros(len(self._rows), np.uint64)
        for start in range(0, len(self._rows), ROWS_AT_ONCE):
            own = slice(start, start + ROWS_AT_ONCE)
            self._row_keys[own] = exact_keys(self._documents(self._rows[own]))
        given = list(texts)
        self._others = dict(zip(exact_keys(given).tolist(), given, strict=True))
        self._order = np.argsort(self._row_keys, kind="stable")

    def _documents(self, rows: NDArray[np.int64]) -> list[str]:
        return [] if self._corpus is None else self._corpus.texts(rows)

    @property
    def keys(self) -> Keys:
        """Keys of all texts; a text may stand in several rows."""
        others = np.fromiter(self._others, dtype=np.uint64, count=len(self._others))
        return np.concatenate([self._row_keys, others])

    def keys_of(self, rows: NDArray[np.int64]) -> Keys:
        """Return the keys of documents, each among the rows."""
        return self._row_keys[np.searchsorted(self._rows, rows)]

    def texts(self, keys: Keys) -> list[str]:
        """Return the texts of some of the keys."""
        ordered = self._row_keys[self._order]
        place = np.minimum(np.searchsorted(ordered, keys), max(len(ordered) - 1, 0))
        inside = ordered[place] == keys if len(ordered) else np.zeros(len(keys), np.bool_)
        found = iter(self._documents(self._rows[self._order[place[inside]]]))
        return [
            next(found) if here else self._others[int(key)]
            for here, key in zip(inside, keys, strict=True)
        ]


class TokenTexts(TextParts):
    """Token vectors of texts, each text encoded once and found by its content.

    Args:
        folder: of one encoder, role and storage.
        storage: ``float32`` or ``float16``.
    """

    per_part: ClassVar[int] = 2048

    def __init__(self, folder: Path, storage: str = "float32") -> None:
        """Open what is there."""
        self._dtype = np.dtype(storage)
        self._maps: OrderedDict[int, NDArray[Any]] = OrderedDict()
        super().__init__(folder)

    def refresh(self) -> None:
        """Look at parts that this or another process has written since.

        Raises:
            OutputError: a part is not as this library writes it.
        """
        super().refresh()
        self._maps.clear()
        self._about = [self._read_about(part) for part in self._parts]
        shapes = {(about["dimension"], about["similarity"]) for about in self._about}
        if len(shapes) > 1:
            raise not_whole(self._folder, f"its parts are of several kinds, {sorted(shapes)}")
        starts = [self._read_starts(part, about) for part, about in zip(
            self._parts, self._about, strict=True)]  # fmt: skip
        begins = np.concatenate([np.zeros(0, np.int64), *(own[:-1] for own in starts)])
        lengths = np.concatenate([np.zeros(0, np.int64), *(np.diff(own) for own in starts)])
        before = np.cumsum([0, *(len(own) - 1 for own in starts)])
        flat = before[self._owner] + self._row
        self._begins, self._lengths = begins[flat], lengths[flat]

    def _read_about(self, part: Path) -> dict[str, Any]:
        try:
            about: dict[str, Any] = json.loads((part / ABOUT).read_text())
            known = (about["layout"], about["storage"]) == (LAYOUT, self._dtype.name)
            int(about["dimension"]), str(about["similarity"]), int(about["too_long"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise not_whole(part, f"{ABOUT} cannot be read") from error
        if not known:
            raise not_whole(part, f"{ABOUT} says {about}")
        return about

    def _read_starts(self, part: Path, about: dict[str, Any]) -> NDArray[np.int64]:
        """Return where texts begin, if the vectors are all there."""
        starts = np.array(open_array(part, "starts"))
        size = (part / VECTORS).stat().st_size if (part / VECTORS).exists() else -1
        texts = len(open_array(part, "keys"))
        wanted = int(starts[-1]) * about["dimension"] * self._dtype.itemsize if len(starts) else 0
        if len(starts) != texts + 1 or starts[0] != 0 or (np.diff(starts) < 0).any():
            raise not_whole(part, f"it says where {len(starts) - 1} texts begin and holds {texts}")
        if size != wanted:
            raise not_whole(part, f"{VECTORS} has {size} bytes and should have {wanted}")
        return starts

    @property
    def similarity(self) -> str:
        """How the vectors are compared, as the model declares."""
        return str(self._about[0]["similarity"])

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        return int(self._about[0]["dimension"])

    @property
    def too_long(self) -> tuple[int, int]:
        """How many of the texts are longer than the model reads, and how many there are."""
        return sum(about["too_long"] for about in self._about), len(self._keys)

    # -- writing -----------------------------------------------------------------------------

    def keep(
        self,
        parts: Sequence[Keys],
        source: TextSource,
        encode: Encode,
        *,
        about: Callable[[list[str]], dict[str, Any]],
        at_once: int,
        title: str = "Encoding texts",
    ) -> None:
        """Encode and keep parts of :meth:`missing`.

        Args:
            parts: the keys of each part.
            source: has the texts.
            encode: list of texts to vectors.
            about: says of the texts of a part how many are ``too_long``, and the ``similarity``.
            at_once: texts in a call of ``encode``; the vectors of no more are in memory.
            title: of the progress bar.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
            ModelError: vectors that the storage has no room for.
        """
        total = sum(map(len, parts))
        hidden = len(parts) <= 1 or None
        with tqdm(total=total, desc=title, unit=" texts", disable=hidden) as bar:
            for keys in parts:

                def write(folder: Path, keys: Keys = keys) -> None:
                    texts = source.texts(keys)
                    # By length, so that a batch has little padding; equals stand by content.
                    order = np.argsort([-len(text) for text in texts], kind="stable")
                    ordered = [texts[place] for place in order]
                    dimension = self._write(folder, keys[order], ordered, encode, at_once)
                    said = {"layout": LAYOUT, "storage": self._dtype.name, "dimension": dimension}
                    (folder / ABOUT).write_text(json.dumps({**said, **about(texts)}) + "\n")

                self.publish(keys, write)
                bar.update(len(keys))
        if parts:
            self.refresh()

    def _write(
        self, folder: Path, keys: Keys, texts: list[str], encode: Encode, at_once: int
    ) -> int:
        """Write texts as they are encoded; return the dimension of their vectors."""
        lengths, dimension = [], 0
        with (folder / VECTORS).open("wb") as stream:
            for start in range(0, len(texts), at_once):
                found = encode(texts[start : start + at_once])
                with np.errstate(over="ignore"):
                    packed = found.vectors.astype(self._dtype)
                if not np.isfinite(packed).all():
                    raise ModelError(
                        f"the vectors hold values beyond {self._dtype.name}, up to "
                        f"{np.abs(found.vectors).max():g}. Use storage='float32'."
                    )
                stream.write(packed.tobytes())
                lengths.append(np.diff(found.starts))
                dimension = found.vectors.shape[1]
        save_array(folder / "keys.npy", keys)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
        save_array(folder / "starts.npy", starts)
        return dimension

    # -- reading -----------------------------------------------------------------------------

    def places(self, keys: Keys) -> NDArray[np.int64]:
        """Return where texts that are there stand, for :meth:`lengths` and :meth:`take`."""
        return self._places(keys)

    def lengths(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of tokens of texts."""
        lengths: NDArray[np.int64] = self._lengths[places]
        return lengths

    def take(self, places: NDArray[np.int64]) -> TokenVectors:
        """Return the vectors of texts, at least one, in the order of ``places``."""
        lengths = self._lengths[places]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        out = np.empty((int(starts[-1]), self.dimension), np.float32)
        # Part by part: of a part that is not open any more, everything is read at once.
        for place in np.argsort(self._owner[places], kind="stable"):
            begin, length = self._begins[places[place]], lengths[place]
            stored = self._vectors(int(self._owner[places[place]]))
            out[starts[place] : starts[place] + length] = stored[begin : begin + length]
        return TokenVectors(starts, out)

    def _vectors(self, part: int) -> NDArray[Any]:
        """Return the vectors of a part, memory-mapped; those last used stay open."""
        if part in self._maps:
            self._maps.move_to_end(part)
            return self._maps[part]
        path, shape = self._parts[part] / VECTORS, (-1, self.dimension)
        # An empty file cannot be mapped.
        empty = not path.stat().st_size
        stored = np.empty(0, self._dtype) if empty else np.memmap(path, self._dtype, "r")
        self._maps[part] = stored.reshape(shape)
        if len(self._maps) > OPEN_PARTS:  # each open file counts against a limit of the process
            self._maps.popitem(last=False)
        return self._maps[part]
