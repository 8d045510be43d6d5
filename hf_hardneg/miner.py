"""The miner: a strategy over a corpus, as a callable for ``Dataset.map`` and as whole jobs."""

from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar, cast, overload

import pyarrow as pa
from datasets import Dataset, DatasetDict, Features, IterableDataset, List, Value
from datasets.fingerprint import Hasher

from hf_hardneg.cache import cache_root
from hf_hardneg.checks import one_of, whole_number
from hf_hardneg.columns import QueryColumns, find_columns
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import (
    CorpusError,
    ParameterError,
    PoolError,
    PositivesWarning,
    QueryError,
    StrategyError,
    did_you_mean,
    listing,
)
from hf_hardneg.filters import Filter, Veto
from hf_hardneg.formats.output import OutputFormat, output_format
from hf_hardneg.mapping import Step, map_steps
from hf_hardneg.pool import POOL_FEATURES, describe, description_of
from hf_hardneg.positives import KnownPositives
from hf_hardneg.queries import column_names, positives_as_corpus, scan_positives
from hf_hardneg.report import Report, pool_positive_scores, report_of
from hf_hardneg.retrievers import Retriever
from hf_hardneg.samplers import Sampler, TopSampler
from hf_hardneg.selection import Rules
from hf_hardneg.stages import (
    OWN_COLUMNS,
    POSITIVE_SCORES,
    TRACE,
    TRACE_FEATURE,
    UNDERFILLED,
    DecideStage,
    Reader,
    RetrieveStage,
    TimedStage,
    WriteStage,
    decision_features,
    promotes,
)
from hf_hardneg.strategy import Strategy, assemble, build, check

__all__ = ["OfflineMiner"]

RETRIEVE_BATCH = 2_000
DECIDE_BATCH = 2_000
VETO_BATCH = 250
WRITE_BATCH = 1_000
VERSIONED = ("hf-hardneg", "bm25s", "datasets", "sentence-transformers", "torch")
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
        corpus: the documents, see :class:`~hf_hardneg.corpus.Corpus`. Without one the positives
            are the corpus; that needs :meth:`mine` or :meth:`retrieve`, which see all rows, or
            ``positives``.
        num_negatives: negatives for each row, at least 1.
        seed: of all sampling, not negative. The same seed gives the same bytes.
        filters: filters and vetoes, when ``strategy`` is a retriever.
        sampler: the order of choice, when ``strategy`` is a retriever; default ``top``.
        positives: a data set or several whose positives are never negatives of their queries:
            the whole data set, before it is mapped in batches, or further judgements.
        underfilled: what happens to a row with fewer survivors than asked: ``keep`` it short,
            ``drop`` it, raise an ``error``, or ``fill`` it with random documents, which the
            column ``hard_negative_filled`` marks. Default: ``keep``, except for ``n-tuple``,
            which has no room for short rows, ``drop``. Always counted in the report.
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
        num_negatives: int = 5,
        seed: int = 0,
        filters: Sequence[Filter | Veto] = (),
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
        self.num_negatives = whole_number("miner", "num_negatives", num_negatives, 1)
        self.seed = whole_number("miner", "seed", seed, 0)
        if underfilled is not None:
            one_of("miner", "underfilled", underfilled, UNDERFILLED)
        self.underfilled = underfilled
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
        filters: Sequence[Filter | Veto],
        sampler: Sampler | None,
        options: Mapping[str, Any],
    ) -> None:
        if options:
            raise ParameterError(_unknown_option(next(iter(options))))
        if corpus is not None and Corpus.of(corpus, self.cache_dir).fingerprint != (
            retriever.corpus.fingerprint
        ):
            raise CorpusError(
                "the miner and its retriever were given different corpora. Give the corpus to the "
                "retriever alone."
            )
        self._use(assemble(retriever, filters, sampler))

    def _take_string(
        self,
        text: str,
        corpus: Any,  # noqa: ANN401
        filters: Sequence[Filter | Veto],
        sampler: Sampler | None,
    ) -> None:
        if filters or sampler is not None:
            raise StrategyError(
                "filters= and sampler= go with a retriever object. Write them into the strategy "
                "string instead: 'bm25+denoised+random'."
            )
        try:
            check(text, self._options)
        except ParameterError as error:
            near = next((did_you_mean(n, CONSTRUCTOR) for n in self._options if did_you_mean(
                n, CONSTRUCTOR)), "")  # fmt: skip
            raise ParameterError(f"{error}{near}") from None
        self._text = text
        if corpus is not None:
            self._build(Corpus.of(corpus, self.cache_dir))

    def _build(self, corpus: Corpus) -> None:
        context = {"corpus": corpus, "cache_dir": self.cache_dir, "seed": self.seed}
        self._use(build(self._text, context, self._options))

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
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the recipe."""
        vars(self).update(state)
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
        form = self._form(output_format)
        bound = self._bound(dataset)
        if isinstance(dataset, DatasetDict):
            splits = {
                name: bound._mine_rows(part, form, keep_columns, num_proc, resume)
                for name, part in dataset.items()
            }
            return cast(Data, DatasetDict(splits))
        if isinstance(dataset, IterableDataset):
            return cast(Data, bound._mine_stream(dataset, form, keep_columns))
        return cast(Data, bound._mine_rows(dataset, form, keep_columns, num_proc, resume))

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

    def retrieve(
        self, dataset: Dataset, *, num_proc: int | None = None, resume: bool = True
    ) -> Dataset:
        """Return the pool: the data set with the candidates of every query.

        Args:
            dataset: the queries and their positives.
            num_proc: worker processes; no influence on the result.
            resume: use the finished parts of an interrupted run.
        """
        bound = self._bound(dataset)
        pool = bound._retrieve(dataset, num_proc, resume)
        self._seconds = bound._seconds
        return pool

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
        form = self._form(output_format)
        self._check_pool(pool)
        bound = self._bound(pool)
        return bound._select(pool, form, keep_columns, num_proc, resume)

    def report(self, mined: Dataset) -> Report:
        """Return what happened to each row of a mined set.

        Args:
            mined: what :meth:`mine`, :meth:`select` or ``dataset.map(miner, batched=True)``
                returned.

        Raises:
            ColumnError: the data set was not mined by this library.
        """
        note = description_of(mined).get("report")
        if note is not None:
            return Report.from_dict(note)
        return report_of(
            mined,
            strategy=self.strategy,
            num_negatives=self.num_negatives,
            seed=self.seed,
            corpus=self._corpus_note(),
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
        self._need_strategy()
        self._warn_of_rows()
        if isinstance(batch, pa.Table):
            return self._mine_table(batch)
        columns = find_columns(list(batch), self._columns)
        needed = [columns.query, columns.positive, columns.positive_ids, columns.query_id]
        table = pa.table({name: list(batch[name]) for name in needed if name is not None})
        mined = self._mine_table(table)
        return {name: mined[name].to_pylist() for name in mined.column_names if name in OWN_COLUMNS}

    def _mine_table(self, table: pa.Table) -> pa.Table:
        reader = self._reader()
        policy = self._policy(output_format("columns"))
        strategy = self._need_strategy()
        pool = RetrieveStage(reader, strategy.retriever)(table)
        decided = DecideStage(reader, self._rules(), policy, (strategy.retriever.name,))(pool)
        stage = self._write_stage(output_format("columns"), decided.column_names, None)
        return stage(decided)

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

    def _form(self, name: str) -> OutputFormat:
        form = output_format(name)
        if form.needs_full_rows and self.underfilled == "keep":
            raise ParameterError(
                f"underfilled='keep' does not go with {name!r}, which has a column for each of the "
                f"{self.num_negatives} negatives. Use 'drop', 'fill' or 'error', or another format."
            )
        return form

    def _policy(self, form: OutputFormat) -> str:
        return self.underfilled or ("drop" if form.needs_full_rows else "keep")

    def _complete(self, parts: Iterable[Any]) -> None:
        """Learn the positives of all rows; make them the corpus where there is none."""
        fresh = [part for part in parts if not any(part is known for known in self._extra)]
        if self._known is not None and not fresh:
            return
        rows = [*self._extra, *fresh]
        if self._strategy is None:
            self._build(Corpus(positives_as_corpus(rows, self._columns), cache_dir=self.cache_dir))
        home = cache_root(self.cache_dir) / "positives"
        corpus = self._need_strategy().retriever.corpus
        self._known = scan_positives(rows, self._columns, corpus, home)

    def _bound(self, dataset: Any) -> OfflineMiner:  # noqa: ANN401
        """Return a copy that knows the positives of ``dataset``, all stages ready to work."""
        started = time.perf_counter()
        bound = copy.copy(self)
        bound._extra, bound._seconds = list(self._extra), {}
        bound._complete(_parts(dataset))
        bound._seconds["read positives"] = time.perf_counter() - started
        for veto in bound._need_strategy().vetoes:
            veto.prepare()
        return bound

    def _reader(self) -> Reader:
        return Reader(self._columns, self._need_strategy().retriever.corpus, self._known)

    def _rules(self) -> Rules:
        strategy = self._need_strategy()
        return Rules(
            strategy.filters, strategy.vetoes, strategy.sampler, self.num_negatives, self.seed
        )

    def _mine_rows(
        self,
        rows: Dataset,
        form: OutputFormat,
        keep_columns: bool | Sequence[str] | None,
        num_proc: int | None,
        resume: bool,
    ) -> Dataset:
        if any(stage.needs_fit for stage in self._need_strategy().filters):
            pool = self._retrieve(rows, num_proc, resume)
            return self._select(pool, form, keep_columns, num_proc, resume)
        before = self._retrieve_step(rows.features, wanted=False)
        return self._decide(rows, [before], self._rules(), form, keep_columns, num_proc, resume)

    def _retrieve_step(self, features: Features, *, wanted: bool) -> Step:
        """Return the retrieving step, its index built."""
        retriever = self._need_strategy().retriever
        started = time.perf_counter()
        retriever.prepare()
        self._seconds[f"{retriever.name} index"] = time.perf_counter() - started
        return Step(
            RetrieveStage(self._reader(), retriever),
            Features({**_without_own(features), **POOL_FEATURES}),
            f"Retrieving, {retriever.name}",
            RETRIEVE_BATCH,
            wanted,
        )

    def _retrieve(self, rows: Dataset, num_proc: int | None, resume: bool) -> Dataset:
        retriever = self._need_strategy().retriever
        step = self._retrieve_step(rows.features, wanted=True)
        [pool] = self._run(rows, [step], num_proc, resume)
        note = {
            "kind": "pool",
            "corpus": retriever.corpus.fingerprint,
            "sources": [retriever.name],
            "strategy": str(Strategy(retriever, (), (), TopSampler())),
        }
        return describe(pool, note)

    def _run(
        self, rows: Dataset, steps: Sequence[Step], num_proc: int | None, resume: bool
    ) -> list[Dataset]:
        """Run a chain of steps and take their times."""
        home = cache_root(self.cache_dir) / "maps"
        results = map_steps(rows, steps, home=home, num_proc=num_proc, resume=resume)
        for step in steps:
            if isinstance(step.stage, TimedStage):
                self._seconds.update(step.stage.stopwatch.seconds)
        return results

    def _check_pool(self, pool: Dataset) -> None:
        note = description_of(pool)
        corpus = self._need_strategy().retriever.corpus
        made_on = note.get("corpus")
        if made_on is not None and made_on != corpus.fingerprint:
            raise PoolError(
                f"the pool was made on a corpus with the fingerprint {made_on}; this one has "
                f"{corpus.fingerprint}. Its row numbers would name other documents: give the "
                "corpus of the pool, or retrieve again."
            )

    def _fitted(self, pool: Dataset) -> tuple[Rules, Strategy]:
        """Return the rules with every filter fitted to the positives' scores of the pool."""
        strategy = self._need_strategy()
        rules = self._rules()
        if not any(stage.needs_fit for stage in strategy.filters):
            return rules, strategy
        scores = pool_positive_scores(pool)
        filters = tuple(stage.fitted(scores) for stage in strategy.filters)
        fitted = Strategy(strategy.retriever, filters, strategy.vetoes, strategy.sampler)
        return Rules(filters, rules.vetoes, rules.sampler, rules.n, rules.seed), fitted

    def _select(
        self,
        pool: Dataset,
        form: OutputFormat,
        keep_columns: bool | Sequence[str] | None,
        num_proc: int | None,
        resume: bool,
    ) -> Dataset:
        rules, strategy = self._fitted(pool)
        self._strategy = strategy
        return self._decide(pool, [], rules, form, keep_columns, num_proc, resume)

    def _decide(
        self,
        rows: Dataset,
        before: list[Step],
        rules: Rules,
        form: OutputFormat,
        keep_columns: bool | Sequence[str] | None,
        num_proc: int | None,
        resume: bool,
    ) -> Dataset:
        """Choose and write; ``before`` are the steps that make the pool, if there is none yet."""
        strategy = self._need_strategy()
        policy = self._policy(form)
        sources = tuple(description_of(rows).get("sources", [strategy.retriever.name]))
        features = Features({**_without_own(rows.features), **decision_features(rules, policy)})
        decide = Step(
            DecideStage(self._reader(), rules, policy, sources),
            features,
            "Selecting",
            VETO_BATCH if rules.vetoes else DECIDE_BATCH,
        )
        write = Step(
            self._write_stage(form, list(features), keep_columns),
            self._output_features(form, features, keep_columns),
            "Writing",
            WRITE_BATCH,
        )
        decided, mined = self._run(rows, [*before, decide, write], num_proc, resume)
        report = self._report(decided, mined, str(strategy), policy, form)
        return describe(mined, {"kind": "mined", "report": report.to_dict()})

    def _report(
        self, decided: Dataset, mined: Dataset, strategy: str, policy: str, form: OutputFormat
    ) -> Report:
        report = report_of(
            decided,
            strategy=strategy,
            num_negatives=self.num_negatives,
            seed=self.seed,
            rows_out=len(mined),
            seconds={name: round(value, 3) for name, value in self._seconds.items()},
            corpus=self._corpus_note(),
        )
        if policy != "drop" and not form.needs_full_rows:
            return report
        values = report.to_dict() | {"rows_dropped": sum(report.underfilled.values())}
        return Report.from_dict(values)

    def _corpus_note(self) -> dict[str, Any]:
        corpus = self._need_strategy().retriever.corpus
        return {
            "documents": len(corpus),
            "empty_texts": corpus.empty_texts,
            "fingerprint": corpus.fingerprint,
        }

    def _kept(
        self, form: OutputFormat, names: Sequence[str], keep: bool | Sequence[str] | None
    ) -> tuple[str, ...]:
        """Return the other columns of the input that stand in the output."""
        others = [name for name in names if name not in OWN_COLUMNS]
        if keep is None:
            keep = form.keeps_columns
        if isinstance(keep, bool):
            chosen = others if keep else []
        else:
            missing = [name for name in keep if name not in others]
            if missing:
                raise ParameterError(
                    f"keep_columns names {listing(missing)}, and the data has only "
                    f"{listing(others)}."
                )
            chosen = [name for name in others if name in keep]
        own = form.features(self.num_negatives)
        return tuple(name for name in chosen if name not in own)

    def _extras(self, form: OutputFormat, names: Sequence[str]) -> Features:
        """Return the columns of provenance; only the list columns have room for them."""
        if not form.keeps_columns:
            return Features({})
        features = {POSITIVE_SCORES: List(Value("float32")), TRACE: TRACE_FEATURE}
        if "hard_negative_filled" in names:
            features["hard_negative_filled"] = List(Value("bool"))
        if promotes(self._rules()):
            features["promoted_ids"] = List(Value("string"))
        return Features(features)

    def _write_stage(
        self, form: OutputFormat, names: Sequence[str], keep: bool | Sequence[str] | None
    ) -> WriteStage:
        kept = self._kept(form, names, keep)
        extras = self._extras(form, names)
        beside = [*kept, *(name for name in extras if name in names)]
        order = [*kept, *form.features(self.num_negatives), *extras]
        return WriteStage(
            self._reader(), form, self.num_negatives, self._policy(form), tuple(beside),
            tuple(order),
        )  # fmt: skip

    def _output_features(
        self, form: OutputFormat, features: Features, keep: bool | Sequence[str] | None
    ) -> Features:
        kept = {name: features[name] for name in self._kept(form, list(features), keep)}
        own = form.features(self.num_negatives)
        return Features({**kept, **own, **self._extras(form, list(features))})

    def _mine_stream(
        self,
        stream: IterableDataset,
        form: OutputFormat,
        keep_columns: bool | Sequence[str] | None,
    ) -> IterableDataset:
        """Return the stream with every batch mined as it comes."""
        strategy = self._need_strategy()
        if any(stage.needs_fit for stage in strategy.filters):
            raise StrategyError(
                "a percentile margin has to see all positives' scores before the first row, and a "
                "stream is mined as it comes. Use a Dataset, or give max_score."
            )
        strategy.retriever.prepare()
        names = column_names(stream)
        return stream.map(
            _StreamStage(self, form.name, keep_columns),
            batched=True,
            batch_size=RETRIEVE_BATCH,
            remove_columns=names,
        )

    def mine_rows(
        self,
        batch: Mapping[str, list[Any]],
        form: str = "columns",
        keep_columns: bool | Sequence[str] | None = None,
    ) -> dict[str, list[Any]]:
        """Mine a dict of lists into an output format; rows may be left out or multiplied."""
        strategy = self._need_strategy()
        shape = self._form(form)
        reader, policy = self._reader(), self._policy(shape)
        pool = RetrieveStage(reader, strategy.retriever)(pa.table(dict(batch)))
        decided = DecideStage(reader, self._rules(), policy, (strategy.retriever.name,))(pool)
        stage = self._write_stage(shape, decided.column_names, keep_columns)
        mined = stage(decided)
        return {name: mined[name].to_pylist() for name in mined.column_names}

    def recipe(self) -> dict[str, Any]:
        """Return what makes these negatives again, as plain values for JSON."""
        strategy = self._need_strategy()
        return {
            "strategy": self.strategy,
            "num_negatives": self.num_negatives,
            "seed": self.seed,
            "underfilled": self.underfilled,
            "corpus": self._corpus_note(),
            "models": {veto.name: veto.weights() for veto in strategy.vetoes if veto.weights()},
            "versions": {name: _version(name) for name in VERSIONED},
        }

    def fingerprint(self) -> str:
        """Return the hash by which ``Dataset.map`` knows this miner."""
        return str(Hasher.hash(self))


class _StreamStage:
    """A miner with an output format, for ``IterableDataset.map``."""

    def __init__(
        self, miner: OfflineMiner, form: str, keep_columns: bool | Sequence[str] | None
    ) -> None:
        self._miner, self._form, self._keep = miner, form, keep_columns

    def __call__(self, batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        return self._miner.mine_rows(batch, self._form, self._keep)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _without_own(features: Features) -> Features:
    return Features({name: value for name, value in features.items() if name not in OWN_COLUMNS})


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


def _unknown_option(name: str) -> str:
    return (
        f"the miner has no parameter {name!r}.{did_you_mean(name, CONSTRUCTOR)} With a retriever "
        "object, parameters of stages are given to their own constructors."
    )
