"""Finding the rows that somebody wants to see: by what is suspicious, by words, by a document."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.row_search import RowSearch
from hf_hardneg.inspection.suspicion import MARKED, REASONS, Suspicion
from hf_hardneg.inspection.wanted import PAGE, Found, Wanted

__all__ = ["RowFinder", "find_rows"]

PATIENCE = 1.0
KEPT_ROWS = 4_000_000
"""Rows of kept results together, 32 MB."""
KEPT_SEARCHES = 32
FRESH = 10.0
"""Seconds for which a result stands while more becomes known, so that its pages do not shift."""
THREADS = 2


@dataclass(slots=True)
class _Kept:
    found: Found
    version: tuple[int, ...]
    at: float


class RowFinder:
    """Finds rows of one set, for everybody who looks at it.

    What needs no text is known at once. Words and documents are looked for in threads of their
    own: whoever asks gets what was found within his patience, and more when he asks again. The
    last results are kept.

    Args:
        inspected: the set.
        suspicion: of the same set.
    """

    def __init__(self, inspected: InspectedSet, suspicion: Suspicion) -> None:
        """Begin with nothing."""
        self.inspected, self.suspicion = inspected, suspicion
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="row-search")
        self._searches: OrderedDict[tuple[object, ...], RowSearch] = OrderedDict()
        self._asked: dict[str, tuple[object, ...]] = {}
        self._results: OrderedDict[Wanted, _Kept] = OrderedDict()

    def close(self) -> None:
        """End all searches."""
        with self._lock:
            for search in self._searches.values():
                search.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __del__(self) -> None:
        """End the searches of a finder that nobody uses any more, without waiting for them."""
        for search in self._searches.values():
            search.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def find(
        self,
        wanted: Wanted,
        *,
        session: str = "",
        patience: float = PATIENCE,
        enough: int = 10 * PAGE,
    ) -> Found:
        """Return the rows that are wanted, as far as they are known by now.

        Args:
            wanted: which.
            session: who asks; an earlier search of the same session that nobody else waits for is
                given up. Empty for nobody in particular.
            patience: seconds to wait for a search.
            enough: rows in the order of their numbers for which a search is not waited for longer.

        Raises:
            HardNegError: a row that cannot be read.
        """
        searched = bool(wanted.search.strip() or wanted.document)
        if not searched:
            self._give_up(session, None)
            return self._at_once(wanted)
        search = self._search(wanted, session)
        search.wait(patience, enough if wanted.order == "row" else len(self.inspected) + 1)
        rows, looked_at = search.rows()
        notes = self._notes(wanted)
        if not search.complete:
            notes.insert(0, self._so_far(search, looked_at))
        complete = search.complete and search.known == len(self.inspected)
        if wanted.order == "suspicious":
            rows = self.suspicion.order(rows).astype(np.int64)
        looked_at = min(looked_at, search.known)
        return Found(rows, looked_at, len(self.inspected), complete, " ".join(notes))

    # -- without texts ---------------------------------------------------------------------------

    def _at_once(self, wanted: Wanted) -> Found:
        version = self.suspicion.version
        with self._lock:
            kept = self._results.get(wanted)
            if kept is not None and self._stands(kept, wanted, version):
                self._results.move_to_end(wanted)
                return kept.found
        known = self._known(wanted)
        rows = np.flatnonzero(self._allowed(wanted))
        if wanted.order == "suspicious":
            rows = self.suspicion.order(rows).astype(np.int64)
        complete = known == len(self.inspected)
        note = " ".join(self._notes(wanted))
        found = Found(rows, known, len(self.inspected), complete, note)
        with self._lock:
            self._results[wanted] = _Kept(found, version, time.monotonic())
            self._results.move_to_end(wanted)
            while len(self._results) > 1 and _rows_of(self._results) > KEPT_ROWS:
                self._results.popitem(last=False)
        return found

    def _stands(self, kept: _Kept, wanted: Wanted, version: tuple[int, ...]) -> bool:
        if kept.version == version:
            return True
        marked = MARKED in wanted.reasons and kept.version[-1] != version[-1]
        return not marked and time.monotonic() - kept.at < FRESH

    def _allowed(self, wanted: Wanted) -> NDArray[np.bool_]:
        """Return the rows that fit all but words and document."""
        allowed = np.ones(len(self.inspected), np.bool_)
        if wanted.reasons:
            allowed = self.suspicion.rows_with(sorted(wanted.reasons))
        if wanted.short:
            counts, counted = self.suspicion.negatives_a_row()
            short = counts < self.asked_for()
            short[counted:] = False
            allowed &= short
        return allowed

    def asked_for(self) -> int:
        """Return how many negatives a row should have: what was asked for, else what most have."""
        if self.inspected.asked is not None:
            return self.inspected.asked
        counts, counted = self.suspicion.negatives_a_row()
        if not counted:
            return 0
        often = np.bincount(counts[:counted])
        return int(len(often) - 1 - np.argmax(often[::-1]))

    def _known(self, wanted: Wanted) -> int:
        """Return how many rows, from the first on, are known for what is wanted."""
        known = [len(self.inspected)]
        for reason in wanted.reasons:
            if not self.suspicion.lacks(reason):
                known.append(self.suspicion.looked_at(reason))
        if wanted.short:
            known.append(self.suspicion.negatives_a_row()[1])
        return min(known)

    def _notes(self, wanted: Wanted) -> list[str]:
        notes, rows = [], len(self.inspected)
        asked = REASONS if wanted.order == "suspicious" else wanted.reasons
        for reason in (name for name in REASONS if name in asked):
            lacks = self.suspicion.lacks(reason)
            looked_at = self.suspicion.looked_at(reason)
            if lacks and reason in wanted.reasons:
                notes.append(f"{REASONS[reason]}: not known, because {lacks}.")
            elif not lacks and looked_at < rows:
                notes.append(f"{REASONS[reason]}: looked at {looked_at:,} of {rows:,} rows.")
        counted = self.suspicion.negatives_a_row()[1]
        if wanted.short and counted < rows:
            notes.append(f"Short rows: looked at {counted:,} of {rows:,} rows.")
        for progress in self.suspicion.progress():
            if progress.failed and (wanted.reasons or wanted.short or wanted.order != "row"):
                notes.append(f"Looking at {progress.name} ended early: {progress.failed}")
        return notes

    # -- searches --------------------------------------------------------------------------------

    def _search(self, wanted: Wanted, session: str) -> RowSearch:
        """Return the search that runs, or ran, for the same; else begin it."""
        # Another order is another view of the same search. While rows are still being looked at
        # for a reason, or marked, the rows that are searched in change.
        fixed = not (wanted.reasons or wanted.short)
        version = () if fixed else self.suspicion.version
        key = (wanted.reasons, wanted.short, wanted.search, wanted.search_in, wanted.document)
        with self._lock:
            old = self._searches.get(key)
        stands = old is not None and not old.cancelled and old.failed is None
        if old is not None and stands and (old.version == version or not old.complete):
            self._give_up(session, key)
            with self._lock:
                if key in self._searches:
                    self._searches.move_to_end(key)
            return old
        known = self._known(wanted)
        search = RowSearch(self.inspected, wanted, self._allowed(wanted))
        search.known, search.version = known, version
        self._give_up(session, key)
        with self._lock:
            self._searches[key] = search
            self._searches.move_to_end(key)
            while len(self._searches) > KEPT_SEARCHES:
                self._searches.popitem(last=False)[1].cancel()
        self._pool.submit(search.run)
        return search

    def _give_up(self, session: str, key: tuple[object, ...] | None) -> None:
        """Cancel what the session searched for before, if no other session asked for it."""
        if not session:
            return
        with self._lock:
            before = self._asked.pop(session, None)
            if key is not None:
                self._asked[session] = key
            if before is None or before == key or before in self._asked.values():
                return
            search = self._searches.get(before)
            if search is not None and not search.complete:
                search.cancel()
                del self._searches[before]

    def _so_far(self, search: RowSearch, looked_at: int) -> str:
        rows, corpus = len(self.inspected), self.inspected.mined.corpus
        if search.documents and corpus is not None and search.documents < len(corpus):
            return f"Looked through {search.documents:,} of {len(corpus):,} documents so far."
        return f"Looked at {looked_at:,} of {rows:,} rows so far; ask again for more."


def _rows_of(results: OrderedDict[Wanted, _Kept]) -> int:
    return sum(len(one.found.rows) for one in results.values())


def find_rows(
    inspected: InspectedSet, wanted: Wanted, suspicion: Suspicion, *, patience: float = PATIENCE
) -> Found:
    """Return the rows that are wanted; a :class:`RowFinder` keeps results for those who ask often.

    Args:
        inspected: the set.
        wanted: which rows.
        suspicion: of the same set.
        patience: seconds to wait for a search.
    """
    finder = RowFinder(inspected, suspicion)
    try:
        return finder.find(wanted, patience=patience, enough=len(inspected) + 1)
    finally:
        finder.close()
