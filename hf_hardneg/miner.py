"""The miner: a strategy over a corpus, as a callable for ``Dataset.map`` and as whole jobs."""

from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any, TypeVar, cast, overload

import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset
from datasets.fingerprint import Hasher

from hf_hardneg.cache import cache_root
from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.columns import QueryColumns
from hf_hardneg.corpus import Corpus
from hf_hardneg.cost import Estimate, estimate_plan, worth_estimating
from hf_hardneg.errors import (
    CorpusError,
    ParameterError,
    PositivesWarning,
    QueryError,
    StrategyError,
    did_you_mean,
)
from hf_hardneg.formats.output import output_format as check_format
from hf_hardneg.locations import is_location, location_of
from hf_hardneg.plan import Plan
from hf_hardneg.pool import description_of
from hf_hardneg.positives import KnownPositives
from hf_hardneg.queries import (
    check_further,
    column_names,
    positives_as_corpus,
    scan_positives,
)
from hf_hardneg.rates import Rate
from hf_hardneg.report import Report, report_of
from hf_hardneg.retrievers import Retriever
from hf_hardneg.run import Run, check_pool, corpus_note, mine_stream
from hf_hardneg.samplers import Sampler
from hf_hardneg.stage import Stage
from hf_hardneg.stages import OWN_COLUMNS, SCORES, TRACE, UNDERFILLED, Reader
from hf_hardneg.strategy import (
    Strategy,
    assemble,
    brings_corpus,
    build,
    check,
    preset_of,
    searches_alone,
)
from hf_hardneg.tally import totals_of

__all__ = ["OfflineMiner"]

NUM_NEGATIVES = 5
VERSION = 2
"""Raised when the same recipe gives other results, so that kept results are made anew."""
VERSIONED = ("hf-hardneg", "bm25s", "datasets", "sentence-transformers", "torch")
SEEDS = 2**63
CONSTRUCTOR = (
    "strategy", "corpus", "num_negatives", "seed", "filters", "sampler", "positives",
    "underfilled", "query_column", "positive_column", "positive_ids_column", "query_id_column",
    "cache_dir",
)  # fmt: skip

Data = TypeVar("Data", Dataset, DatasetDict, IterableDataset)


class OfflineMiner:
    """Mines hard negatives for every row of a data set.

    ``dataset.map(miner, batched=True)`` adds ``hard_negatives``, ``hard_negative_ids`` and
    ``hard_negative_scores``, and two columns that :meth:`report` reads. :meth:`mine` does the
    whole job: it learns the positives of all rows first, keeps what is finished so that a killed
    run resumes, and writes the columns a trainer wants. :meth:`retrieve` and :meth:`select` are
    its halves: another margin or sampler over the same pool costs only :meth:`select`.

    A batch alone cannot know the positives that its queries have in other rows. :meth:`mine`,
    :meth:`retrieve` and :meth:`select` see all rows. For ``dataset.map`` give ``positives=
    dataset``; without it each row knows its own positives only, and a warning says so.

    Args:
        strategy: a strategy string such as ``"bm25+denoised"`` (see :mod:`hf_hardneg.strategy`),
            or a retriever.
        corpus: the documents, see :class:`~hf_hardneg.corpus.Corpus`, or the address of an index
            or a database that holds them, see :mod:`hf_hardneg.locations`. Without one the
            positives are the corpus; that needs :meth:`mine` or :meth:`retrieve`, which see all
            rows, or ``positives``.
        num_negatives: negatives for each row, at least 1. Default: what the preset's source takes,
            where ``strategy`` is a preset that has one, else 5.
        seed: of all sampling, not negative. The same seed gives the same bytes.
        filters: filters, row filters, vetoes and diversity, when ``strategy`` is a retriever.
        sampler: the order of choice, when ``strategy`` is a retriever; default ``top``.
        positives: a data set or several whose positives are never negatives of their queries:
            the whole data set, before it is mapped in batches, or further judgements.
        underfilled: what happens to a row with fewer survivors than asked: ``keep`` it short,
            ``drop`` it, raise an ``error``, or ``fill`` it with random documents, which the
            column ``hard_negative_filled`` marks. Default: ``keep``, except for ``n-tuple``,
            which has no room for short rows, ``drop``, and for presets whose source drops them.
            Always counted in the report.
        query_column, positive_column, positive_ids_column, query_id_column: names of the columns;
            found by their usual names when not given. A row's positives are a text or an id, or a
            list of them.
        cache_dir: where corpora, indexes, pools and pair scores are kept; see
            :func:`hf_hardneg.cache.cache_root`.
        options: parameters of the strategy's stages, each handed to the one stage that has it:
            ``OfflineMiner("margin+denoised", margin=0.1, threshold=0.7)``.

    Raises:
        StrategyError: a malformed strategy or an unknown stage.
        ParameterError: an unknown parameter, one out of range, or one that two stages share.
        CorpusError: the corpus cannot be used, or has not more than ``num_negatives`` documents.
    """

    def __init__(
        self,
        strategy: str | Retriever,
        *,
        corpus: Any = None,  # noqa: ANN401
        num_negatives: int | None = None,
        seed: int = 0,
        filters: Sequence[Stage] = (),
        sampler: Sampler | None = None,
        positives: Any = None,  # noqa: ANN401
        underfilled: str | None = None,
        query_column: str | None = None,
        positive_column: str | None = None,
        positive_ids_column: str | None = None,
        query_id_column: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Check everything that can be checked without reading the queries."""
        preset = preset_of(strategy) if isinstance(strategy, str) else None
        if num_negatives is None:
            num_negatives = (preset and preset.num_negatives) or NUM_NEGATIVES
        self.num_negatives = whole_number("miner", "num_negatives", num_negatives, 1)
        self.seed = whole_number("miner", "seed", seed, 0)
        if seed >= SEEDS:
            raise ParameterError(f"miner: seed={seed}; expected a whole number below 2**63.")
        if underfilled is not None:
            one_of("miner", "underfilled", underfilled, UNDERFILLED)
        self.underfilled = underfilled or (preset.underfilled if preset else None)
        self.cache_dir = cache_dir
        self._columns = QueryColumns(
            query_column, positive_column, positive_ids_column, query_id_column
        )
        self._extra = [] if positives is None else _parts(positives)
        self._known: KnownPositives | None = None
        self._warned = False
        self._seconds: dict[str, float] = {}
        self._text, self._options = "", dict(options)
        self._strategy: Strategy | None = None
        if isinstance(strategy, Retriever):
            self._take_objects(strategy, corpus, filters, sampler, options)
        else:
            self._take_string(strategy, corpus, filters, sampler)
        if self._extra:
            self._complete(self._extra)

    def _take_objects(
        self,
        retriever: Retriever,
        corpus: Any,  # noqa: ANN401
        filters: Sequence[Stage],
        sampler: Sampler | None,
        options: Mapping[str, Any],
    ) -> None:
        if options:
            raise ParameterError(_unknown_option(next(iter(options))))
        if corpus is not None and self._opened(corpus).fingerprint != retriever.corpus.fingerprint:
            raise CorpusError(
                "the miner and its retriever were given different corpora. Give the corpus to the "
                "retriever alone."
            )
        self._use(assemble(retriever, filters, sampler))

    def _opened(self, corpus: Any) -> Corpus:  # noqa: ANN401
        if is_location(corpus):
            return location_of(corpus).corpus(self.cache_dir)
        return Corpus.of(corpus, self.cache_dir)

    def _take_string(
        self,
        text: str,
        corpus: Any,  # noqa: ANN401
        filters: Sequence[Stage],
        sampler: Sampler | None,
    ) -> None:
        if filters or sampler is not None:
            raise StrategyError(
                "filters= and sampler= go with a retriever object. Write them into the strategy "
                "string instead: 'bm25+denoised+random'."
            )
        location = location_of(corpus) if is_location(corpus) else None
        given = {} if location is None else location.given()
        try:
            check(text, self._options, given)
        except ParameterError as error:
            near = next((did_you_mean(n, CONSTRUCTOR) for n in self._options if did_you_mean(
                n, CONSTRUCTOR)), "")  # fmt: skip
            raise ParameterError(f"{error}{near}") from None
        self._text = text
        if location is not None:
            own = searches_alone(text, location.retriever) and brings_corpus(text)
            self._build(None if own else location.corpus(self.cache_dir), given)
        elif corpus is not None or brings_corpus(text):
            self._build(None if corpus is None else self._opened(corpus))

    def _build(
        self, corpus: Corpus | None, given: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    ) -> None:
        context = {
            "corpus": corpus,
            "cache_dir": self.cache_dir,
            "seed": self.seed,
            "given": given,
        }
        self._use(build(self._text, context, self._options))
        # From here on the stages say it all; an option may be a model, which must not travel.
        self._text, self._options = "", {}

    def _use(self, strategy: Strategy) -> None:
        documents = len(strategy.retriever.corpus)
        if documents <= self.num_negatives:
            raise CorpusError(
                f"the corpus has {documents} documents, too few to choose "
                f"{self.num_negatives} negatives beside a positive. Ask for fewer negatives or "
                "give a larger corpus."
            )
        self._strategy = strategy

    @property
    def strategy(self) -> str:
        """The canonical strategy string."""
        return str(self._strategy) if self._strategy is not None else self._text

    @property
    def corpus(self) -> Corpus | None:
        """The documents; ``None`` until the positives have become the corpus."""
        return self._strategy.retriever.corpus if self._strategy is not None else None

    @property
    def retriever(self) -> Retriever:
        """The retriever, bound to the corpus.

        Raises:
            CorpusError: there is no corpus yet; ``knowing(dataset)`` makes one of the positives.
        """
        return self._need_strategy().retriever

    def __repr__(self) -> str:
        """Return a constructor call; its strategy string gives an equal miner again."""
        return (
            f"OfflineMiner(strategy={self.strategy!r}, corpus={self.corpus!r}, "
            f"num_negatives={self.num_negatives}, seed={self.seed})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the recipe; times, data sets and open files stay behind."""
        state = dict(vars(self))
        for name in ("_extra", "_seconds", "_warned"):
            del state[name]
        return {**state, "version": VERSION}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the recipe."""
        vars(self).update({name: value for name, value in state.items() if name != "version"})
        self._extra, self._seconds, self._warned = [], {}, False

    # -- whole jobs --------------------------------------------------------------------------

    def mine(
        self,
        dataset: Data,
        output_format: str = "columns",
        *,
        keep_columns: bool | Sequence[str] | None = None,
        num_proc: int | None = None,
        resume: bool = True,
    ) -> Data:
        """Mine every row.

        Args:
            dataset: a Dataset, a DatasetDict (the positives of all splits count) or an
                IterableDataset (read once for its positives, then mined as it streams).
            output_format: ``columns`` (the input with list columns beside), ``triplet``,
                ``n-tuple``, ``labeled-pair``, ``labeled-list`` or ``ids``.
            keep_columns: which other columns of the input stand in the output: all, none, or
                those named. Default: all for ``columns``, none for the training formats, whose
                trainers would read every column as an input of the model.
            num_proc: worker processes; no influence on the result.
            resume: use the finished parts of an interrupted run.

        Returns:
            The same kind of data set.

        Raises:
            ColumnError, QueryError: data that cannot be used; found before the work starts.
            UnderfilledError: with ``underfilled="error"``.
        """
        check_format(output_format)
        _check_type(dataset, (Dataset, DatasetDict, IterableDataset))
        bound = self._bound(dataset)
        plan = bound._plan(output_format, keep_columns)
        for part in _parts(dataset):
            plan.check_columns(column_names(part))
            check_further(part, plan.reader.further)
        if isinstance(dataset, DatasetDict):
            splits = {
                name: bound._run(num_proc, resume).mine(plan, part)
                for name, part in dataset.items()
            }
            return cast(Data, DatasetDict(splits))
        if isinstance(dataset, IterableDataset):
            return cast(Data, mine_stream(plan, dataset))
        return cast(Data, bound._run(num_proc, resume).mine(plan, dataset))

    def estimate(self, dataset: Dataset, *, budget: float = 1.0) -> Estimate:
        """Say what :meth:`mine` is expected to take on this machine, and mine nothing.

        Models are loaded and timed on 64 texts or more, small indexes are built and searched, and
        the figures for all documents and rows are worked out from that. What is in the cache
        already is left out.

        Args:
            dataset: the queries and their positives.
            budget: seconds for each measurement; there are a few.

        Returns:
            Seconds, memory and disk by phase; :meth:`Estimate.options` has quicker ways.
        """
        _check_type(dataset, (Dataset,))
        at_least("miner", "budget", budget, 0)
        bound = self._bound(dataset)
        return estimate_plan(bound._plan(), dataset, cache_root(self.cache_dir), budget)

    def may_take_long(self, rows: int) -> bool:
        """Return whether mining so many rows is worth an :meth:`estimate` first."""
        return worth_estimating(self._need_strategy(), rows)

    def knowing(self, dataset: Dataset | DatasetDict | IterableDataset) -> OfflineMiner:
        """Return a copy that knows the positives of all rows of ``dataset``.

        For ``dataset.map(miner.knowing(dataset), batched=True)``; without a corpus the positives
        become the corpus here.

        Raises:
            ColumnError: a column is missing.
            QueryError: a row that cannot be used, unknown positive ids, or no rows.
        """
        bound = self._bound(dataset)
        bound._extra = [*self._extra, *_parts(dataset)]
        return bound

    def forgetting(self) -> OfflineMiner:
        """Return a copy with the same corpus and stages that knows no positives.

        For measuring what the miner would choose had some positives never been marked. The corpus
        stays what it is, also where it was made of positives.
        """
        blind = copy.copy(self)
        blind._need_strategy()
        blind._extra, blind._known = [], None
        return blind

    @property
    def known_positives(self) -> KnownPositives | None:
        """The positives of all rows it has seen; ``None`` until it has seen any."""
        return self._known

    @property
    def fits(self) -> bool:
        """Whether a stage has to see the candidates of all rows before it decides on any."""
        return self._plan().needs_fit

    def reader(self) -> Reader:
        """Return what reads batches of rows for this miner."""
        return self._plan().reader

    def retrieve(
        self, dataset: Dataset, *, num_proc: int | None = None, resume: bool = True
    ) -> Dataset:
        """Return the pool: the data set with the candidates of every query.

        Args:
            dataset: the queries and their positives.
            num_proc: worker processes; no influence on the result.
            resume: use the finished parts of an interrupted run.
        """
        _check_type(dataset, (Dataset,))
        bound = self._bound(dataset)
        return bound._run(num_proc, resume).retrieve(bound._plan(), dataset)

    def select(
        self,
        pool: Dataset,
        output_format: str = "columns",
        *,
        keep_columns: bool | Sequence[str] | None = None,
        num_proc: int | None = None,
        resume: bool = True,
    ) -> Dataset:
        """Turn a pool into negatives, without retrieving.

        Args:
            pool: what :meth:`retrieve` returned, perhaps saved and loaded again.
            output_format: as :meth:`mine`.
            keep_columns: as :meth:`mine`.
            num_proc: worker processes; no influence on the result.
            resume: use the finished parts of an interrupted run.

        Raises:
            PoolError: the pool was made on another corpus, or lacks a column.
        """
        check_format(output_format)
        check_pool(pool, self.corpus)
        bound = self._bound(pool)
        check_pool(pool, bound.corpus)  # without a corpus it is known only now
        plan = bound._plan(output_format, keep_columns)
        plan.check_columns(pool.column_names)
        check_further(pool, plan.reader.further)
        return bound._run(num_proc, resume).select(plan, pool)

    def outcomes(
        self, pool: Dataset, *, num_proc: int | None = None, resume: bool = True
    ) -> Dataset:
        """Return what became of each candidate of a pool: chosen, not needed, or taken out by what.

        Args:
            pool: what :meth:`retrieve` returned, perhaps saved and loaded again.
            num_proc: worker processes; no influence on the result.
            resume: use the finished parts of an interrupted run.

        Returns:
            One row a query with the columns of
            :func:`~hf_hardneg.outcomes.outcome_features`: with the scores that a cross-encoder
            gave, where the strategy asks one. It is a run as well:
            ``OfflineMiner("run+margin", run=outcomes, ...)`` decides anew over its candidates.

        Raises:
            PoolError: the pool was made on another corpus, or lacks a column.
        """
        check_pool(pool, self.corpus)
        bound = self._bound(pool)
        check_pool(pool, bound.corpus)
        return bound._run(num_proc, resume).outcomes(bound._plan(), pool)

    def report(self, mined: Dataset, *, false_negatives: Sequence[Rate] | Rate = ()) -> Report:
        """Return what happened to each row of a mined set, and how hard its negatives are.

        Args:
            mined: what :meth:`mine`, :meth:`select` or ``dataset.map(miner, batched=True)``
                returned.
            false_negatives: rates that were estimated for it, by one or several of the functions
                of :mod:`hf_hardneg.evaluation.false_negatives`; the report shows and keeps them.

        Raises:
            ColumnError: the data set was not mined by this library.
        """
        rates = [false_negatives] if isinstance(false_negatives, Rate) else [*false_negatives]
        report = self._report(mined)
        return replace(report, false_negatives=rates) if rates else report

    def _report(self, mined: Dataset) -> Report:
        note = description_of(mined)
        if "report" in note and (
            TRACE not in mined.features or totals_of(mined).mark == note["mark"]
        ):
            return Report.from_dict(note["report"])
        # Mapped in batches, or changed since it was mined: its columns say what it is now.
        plan = self._plan() if self._strategy is not None else None
        lost = self.underfilled == "drop" or (plan is not None and plan.leaves_out)
        dropping = ("the rows that were left out of batches cannot be counted here",)
        return report_of(
            mined,
            strategy=self.strategy,
            num_negatives=self.num_negatives,
            seed=self.seed,
            corpus=None if self.corpus is None else corpus_note(self.corpus),
            notes=(*(dropping if lost else ()), *(plan.strategy.notes() if plan else ())),
        )

    # -- one batch ---------------------------------------------------------------------------

    @overload
    def __call__(self, batch: pa.Table) -> pa.Table: ...
    @overload
    def __call__(self, batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]: ...  # type: ignore[overload-cannot-match]
    def __call__(
        self, batch: pa.Table | Mapping[str, list[Any]]
    ) -> pa.Table | dict[str, list[Any]]:
        """Mine one batch: the function for ``Dataset.map(miner, batched=True)``.

        Args:
            batch: a dict of lists, or an Arrow table for a data set in Arrow format.

        Returns:
            The new columns as lists, or the whole table with them.
        """
        if not isinstance(batch, pa.Table | Mapping):
            raise QueryError(
                f"a batch of type {type(batch).__name__}; expected a dict of lists or an Arrow "
                "table: dataset.with_format(None).map(miner, batched=True)."
            )
        # Where rows are left out, the other columns have to go with them.
        plan = self._plan(keep_columns=True)
        if not (isinstance(batch, pa.Table) or plan.leaves_out):
            plan = replace(plan, keep=None)
        self._warn_of_rows()
        if isinstance(batch, pa.Table):
            return plan.table(batch)
        mined = plan(batch)
        # A map cannot remove columns: those of an earlier mining that are not replaced are emptied.
        left = [name for name in batch if name in OWN_COLUMNS and name not in mined]
        rows = len(mined[SCORES])
        return {**mined, **{name: [None] * rows for name in left}}

    def _warn_of_rows(self) -> None:
        if self._known is None and not self._warned:
            self._warned = True
            warnings.warn(
                "the miner sees one batch at a time and has not seen the other rows: a document "
                "that is a positive of the same query in another row could become a negative. "
                "Give OfflineMiner(..., positives=dataset), or use miner.mine(dataset).",
                PositivesWarning,
                stacklevel=3,
            )

    # -- parts of the jobs -------------------------------------------------------------------

    def _need_strategy(self) -> Strategy:
        if self._strategy is None:
            raise CorpusError(
                "there is no corpus, and a single batch is not enough to make the positives the "
                "corpus. Give corpus=..., or use miner.mine(dataset)."
            )
        return self._strategy

    def _complete(self, parts: Iterable[Any]) -> None:
        """Learn the positives of all rows; make them the corpus where there is none."""
        fresh = [part for part in parts if not any(part is known for known in self._extra)]
        if self._known is not None and not fresh:
            return
        # What is known already stays known: a miner from another process has no rows to read again.
        rows = fresh if self._known is not None else [*self._extra, *fresh]
        if self._strategy is None:
            self._build(Corpus(positives_as_corpus(rows, self._columns), cache_dir=self.cache_dir))
        home = cache_root(self.cache_dir) / "positives"
        corpus = self._need_strategy().retriever.corpus
        scanned = scan_positives(rows, self._columns, corpus, home)
        self._known = scanned if self._known is None else self._known.union(scanned, home)

    def _bound(self, dataset: Any) -> OfflineMiner:  # noqa: ANN401
        """Return a copy that knows the positives of ``dataset``, all stages ready to work."""
        started = time.perf_counter()
        bound = copy.copy(self)
        bound._extra, bound._seconds = list(self._extra), {}
        bound._complete(_parts(dataset))
        bound._seconds["read positives"] = time.perf_counter() - started
        for stage in bound._need_strategy().stages:
            stage.prepare()
        return bound

    def _plan(
        self, form: str = "columns", keep_columns: bool | Sequence[str] | None = None
    ) -> Plan:
        strategy = self._need_strategy()
        further = {name: stage.name for stage in strategy.stages for name in stage.columns}
        reader = Reader(self._columns, strategy.retriever.corpus, self._known, further)
        return Plan(
            reader, strategy, self.num_negatives, self.seed, self.underfilled, form, keep_columns
        )

    def _run(self, num_proc: int | None, resume: bool) -> Run:
        if num_proc is not None:
            whole_number("miner", "num_proc", num_proc, 0)
        return Run(cache_root(self.cache_dir) / "maps", num_proc, resume, dict(self._seconds))

    def recipe(self) -> dict[str, Any]:
        """Return what makes these negatives again, as plain values for JSON."""
        strategy = self._need_strategy()
        return {
            "strategy": self.strategy,
            "num_negatives": self.num_negatives,
            "seed": self.seed,
            "underfilled": self.underfilled,
            "corpus": corpus_note(self._need_strategy().retriever.corpus),
            "models": _models((strategy.retriever, *strategy.stages)),
            "versions": {name: _version(name) for name in VERSIONED},
        }

    def fingerprint(self) -> str:
        """Return the hash by which ``Dataset.map`` knows this miner."""
        return str(Hasher.hash(self))


def _models(stages: Iterable[Stage]) -> dict[str, dict[str, str]]:
    """Return the models of stages; the second of a name has a number, so that none is lost."""
    found: dict[str, dict[str, str]] = {}
    for stage in stages:
        for name, model in stage.models().items():
            number = sum(known == name or known.startswith(f"{name}-") for known in found)
            found[f"{name}-{number + 1}" if name in found else name] = model
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _parts(dataset: Any) -> list[Any]:  # noqa: ANN401
    """Return the data sets in what a caller may give as data."""
    if isinstance(dataset, DatasetDict):
        return list(dataset.values())
    if isinstance(dataset, Dataset | IterableDataset):
        return [dataset]
    if isinstance(dataset, list | tuple):
        return [part for entry in dataset for part in _parts(entry)]
    raise QueryError(
        f"data of type {type(dataset).__name__}; expected a Dataset, DatasetDict or "
        "IterableDataset. A list of dicts becomes one by Dataset.from_list(rows)."
    )


def _check_type(data: object, kinds: tuple[type, ...]) -> None:
    """Refuse data of another kind than a method takes."""
    if not isinstance(data, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise QueryError(
            f"data of type {type(data).__name__}; expected a {names}. A list of dicts becomes a "
            "Dataset by Dataset.from_list(rows)."
        )


def _unknown_option(name: str) -> str:
    return (
        f"the miner has no parameter {name!r}.{did_you_mean(name, CONSTRUCTOR)} With a retriever "
        "object, parameters of stages are given to their own constructors."
    )
