"""The sets that are open: each is opened once, whoever asks, and the least used is closed."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hf_hardneg.cache import cache_root
from hf_hardneg.errors import FormatError
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import LABELS, Labels
from hf_hardneg.inspection import InspectedSet, open_inspected
from hf_hardneg.inspection.finding_rows import RowFinder
from hf_hardneg.inspection.judging import JudgingTask
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.inspection.overview import Overview, overview_of
from hf_hardneg.inspection.remote import open_from_hub
from hf_hardneg.inspection.set_comparison import SetComparison, compare_sets
from hf_hardneg.inspection.set_identity import set_identity
from hf_hardneg.inspection.sliders import SliderRanges, slider_ranges
from hf_hardneg.inspection.suspicion import Suspicion
from hf_hardneg.rates import Rate
from hf_hardneg.space.settings import SpaceSettings

__all__ = ["DEMO", "Opened", "Shelf", "Wish"]

DEMO = "Python's standard library"
ROW, PLACE = "row", "place"
"""Fields of a label by hand that say which negative it is of."""
ON_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?::([\w.-]+))?", re.ASCII)
"""The name of a data set on the Hub, with the name of its config or without."""
READER = "overview"
"""Name for whoever only reads labels."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which set somebody wants to see.

    Attributes:
        data: a path or the name of a set on the Hub; empty for the one of the settings.
        config: of it; empty for the first there is.
    """

    data: str = ""
    config: str = ""


@dataclass(slots=True)
class Opened:
    """A set that is open.

    Attributes:
        wish: what was asked for.
        inspected: the set.
        suspicion: what is suspicious in its rows.
        finder: finds rows in it.
        own: whether it is the set of the settings.
    """

    wish: Wish
    inspected: InspectedSet
    suspicion: Suspicion
    finder: RowFinder
    own: bool = False
    _overview: tuple[tuple[Rate, ...], Overview] | None = None
    _ranges: SliderRanges | None = None
    _identity: str = ""
    _tasks: dict[int, JudgingTask] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _drawing: threading.Lock = field(default_factory=threading.Lock)
    _judging: threading.Lock = field(default_factory=threading.Lock)
    _labels: Labels | None = None
    _said: list[object] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """What tells the set from others."""
        with self._lock:
            if not self._identity:
                self._identity = set_identity(self.inspected.mined)
            return self._identity

    @property
    def link(self) -> dict[str, str]:
        """Parts of the address that open it again; none for the set that the app begins with."""
        found = {"repo": "" if self.own else self.wish.data, "config": self.wish.config}
        return {name: value for name, value in found.items() if value}

    def take_labels(self, labels: Path) -> None:
        """Let what was said before count among what is suspicious.

        What was picked by hand is there at once; a drawn sample is looked for in a thread of its
        own, because its pairs may stand in any row.
        """
        rows = LabelBook(labels, READER, identity=self.identity).labels()
        for one in rows:
            row, place = one.further.get(ROW), one.further.get(PLACE)
            if not (one.hand_picked and isinstance(row, int) and isinstance(place, int)):
                continue
            if 0 <= row < len(self.inspected) and place >= 0 and one.label in LABELS:
                self.suspicion.mark(row, place, str(one.label))
        drawn = [one for one in rows if one.weight is not None]
        if drawn:
            taken = threading.Thread(
                target=self.suspicion.take_labels, args=(Labels(drawn),), daemon=True
            )
            taken.start()

    def __del__(self) -> None:
        """End what is still being worked out, when nobody uses the set; nothing of it is lost."""
        self.suspicion.stop()

    def task(self, folder: Path, size: int) -> JudgingTask:
        """Return the sample of so many pairs to be judged, drawn once and kept in a folder."""
        identity = self.identity
        with self._drawing:  # a lock of its own: drawing from many rows takes a while
            if size not in self._tasks:
                self._tasks[size] = JudgingTask.open(
                    self.inspected.mined, folder, identity, size=size
                )
            return self._tasks[size]

    def overview(self, labels: Path) -> Overview:
        """Return its overview, with the rate that labels of a drawn sample tell.

        Args:
            labels: folder of the labels.
        """
        rates = self._rates(labels)
        with self._lock:
            known = self._overview
            if known is None or not known[1].exact or known[0] != rates:
                self._overview = known = rates, overview_of(self.inspected, rates)
            return known[1]

    def ranges(self) -> SliderRanges:
        """Return between what the sliders of another decision move, looked up once.

        Raises:
            PoolError: the set has no pool.
        """
        with self._lock:
            if self._ranges is None:
                self._ranges = slider_ranges(self.inspected)
            return self._ranges

    def sample_labels(self, labels: Path) -> Labels | None:
        """Return the labels of the sample that most was said of; ``None`` where nothing was.

        Two samples of a set have weights of their own, so their labels are never put together.

        Args:
            labels: folder of the labels.
        """
        book = LabelBook(labels, READER, identity=self.identity)
        said = [row.further.get("at") for row in book.labels() if not row.hand_picked]
        if not said:
            return None
        with self._judging:
            if self._said != said:
                tasks = JudgingTask.kept(labels, self.identity)
                self._labels = max((task.labels(book) for task in tasks), key=_decided,
                                   default=None)  # fmt: skip
                self._said = said
            found = self._labels
        return found if found is not None and _decided(found) else None

    def _rates(self, labels: Path) -> tuple[Rate, ...]:
        """Return the rate that the labels of a drawn sample tell, if there are any."""
        found = self.sample_labels(labels)
        return () if found is None else (label_rate(found),)


def _decided(labels: Labels) -> int:
    """Return how many drawn negatives have a label."""
    return sum(row.label is not None and row.weight is not None for row in labels)


class Shelf:
    """Opens sets and keeps a few of them open.

    Args:
        settings: what may be opened, and how many sets are kept.
    """

    def __init__(self, settings: SpaceSettings) -> None:
        """Begin with nothing open."""
        self._settings = settings
        self._lock = threading.Lock()
        self._opening: dict[Wish, threading.Lock] = {}
        self._open: OrderedDict[Wish, Opened] = OrderedDict()
        self._comparing: dict[tuple[Wish, Wish], threading.Lock] = {}
        self._compared: OrderedDict[tuple[Wish, Wish], SetComparison] = OrderedDict()

    def get(self, wish: Wish) -> Opened:
        """Return a set, opening it where it is not open.

        Raises:
            FormatError: it may not be opened here, or is no mined set.
            HubError: it is not on the Hub, or cannot be read.
        """
        wish = self._named(wish)
        with self._lock:
            found = self._open.get(wish)
            if found is not None:
                self._open.move_to_end(wish)
                return found
            mine = self._opening.setdefault(wish, threading.Lock())
        try:
            with mine:  # others that want the same set wait for it, the rest go on
                with self._lock:
                    found = self._open.get(wish)
                if found is None:
                    found = self._put(wish, self._opened(wish))
        finally:
            with self._lock:
                self._opening.pop(wish, None)
        return found

    def _put(self, wish: Wish, opened: Opened) -> Opened:
        """Put a set on the shelf, and take the least used off it where there are too many.

        Whoever uses one of those goes on with it; it closes when nobody does any more.
        """
        with self._lock:
            found = self._open.setdefault(wish, opened)
            self._open.move_to_end(wish)
            while len(self._open) > self._settings.opened_at_most:
                self._open.popitem(last=False)
            return found

    def comparison(self, one: Wish, other: Wish) -> SetComparison:
        """Return two sets beside each other, worked out once.

        Raises:
            HardNegError: a set cannot be opened, or the two cannot be matched.
        """
        first, second = self.get(one), self.get(other)
        with self._lock:
            key = first.wish, second.wish
            mine = self._comparing.setdefault(key, threading.Lock())
        try:
            with mine:
                found = self._compared.get(key)
                pair = None if found is None else found.pair
                same = pair and pair.a is first.inspected and pair.b is second.inspected
                if found is None or not same:
                    found = compare_sets(first.inspected, second.inspected)
                    with self._lock:
                        self._compared[key] = found
                        while len(self._compared) > self._settings.opened_at_most:
                            self._compared.popitem(last=False)
                return found
        finally:
            with self._lock:
                self._comparing.pop(key, None)

    def _named(self, wish: Wish) -> Wish:
        """Return the same with the set of the settings where none is named."""
        data = wish.data.strip()
        if not data or data == self._settings.data:
            return Wish(self._settings.data, wish.config or self._settings.config or "")
        named = ON_HUB.fullmatch(data)
        if named and named[2] and not (self._settings.opens_anything and os.path.exists(data)):
            return Wish(named[1], wish.config or named[2])
        return Wish(data, wish.config)

    def _opened(self, wish: Wish) -> Opened:
        own = wish.data == self._settings.data
        inspected = self._open_set(wish, own=own)
        suspicion = Suspicion(inspected)
        suspicion.start()
        opened = Opened(wish, inspected, suspicion, RowFinder(inspected, suspicion), own)
        opened.take_labels(self._settings.labels)
        return opened

    def _open_set(self, wish: Wish, *, own: bool) -> InspectedSet:
        if not wish.data:
            return open_inspected(demo_folder(), name=DEMO)
        is_path = os.path.exists(Path(wish.data).expanduser())
        if is_path and (own or self._settings.opens_anything):
            beside = self._settings if own else SpaceSettings()
            return open_inspected(
                wish.data, config=wish.config or None, corpus=beside.corpus,
                queries=beside.queries, pool=beside.pool, split=beside.split,
            )  # fmt: skip
        _check_name(wish.data, local=self._settings.opens_anything)
        split = self._settings.split if own else None
        fetch = partial(
            open_from_hub,
            public_only=not ((own and self._settings.local) or self._settings.opens_anything),
        )
        return fetch(wish.data, wish.config or None, split=split)


def _check_name(name: str, *, local: bool) -> None:
    """Refuse what is no name on the Hub, before the Hub is asked or a path is told apart."""
    if ON_HUB.fullmatch(name):
        return
    what = "a file or folder of this machine, or " if local else ""
    raise FormatError(
        f"{name!r} cannot be opened: expected {what}the name of a data set on the Hub (org/name)."
    )


def demo_folder() -> Path:
    """Return the folder of the demonstration's set, mined now if it is not there."""
    from hf_hardneg.demo import run_demo

    folder = cache_root() / "space" / "demo"
    if not (folder / "hardneg" / "pool.parquet").is_file():
        run_demo(folder)
    return folder
