"""A run that was killed or had no space left, run again, ends as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import disable_progress_bars, load_from_disk
from mining import pairs_on_disk, word_documents, word_rows
from tiny_models import save_cross_encoder

from hf_hardneg import OfflineMiner, mapping
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import HardNegError
from hf_hardneg.pair_scorer import PairScorer
from hf_hardneg.pair_scores import PairScores
from hf_hardneg.stages import DecideStage, RetrieveStage, WriteStage

ROWS, PART = 21, 7
STRATEGY = "random@14+denoised(threshold=0.3)+random"


@dataclass(frozen=True)
class Moment:
    """The call of a method, the ``number``-th one, before or after which a process is killed."""

    owner: Any
    method: str
    number: int
    after: bool = False


MOMENTS = {
    "before the first part": Moment(RetrieveStage, "__call__", 1),
    "in the second part": Moment(DecideStage, "__call__", 2),
    "while the first pairs are scored": Moment(PairScorer, "predict", 1),
    "while more pairs are scored": Moment(PairScorer, "predict", 4),
    "when the scores are on disk": Moment(PairScores, "add", 4, after=True),
    "before a finished part has its name": Moment(shutil, "move", 5),
    "when a finished part has its name": Moment(shutil, "move", 5, after=True),
    "while the last part is written": Moment(WriteStage, "__call__", 3),
    "when all parts are written": Moment(shutil, "move", 9, after=True),
}


def kill_at(moment: Moment) -> None:
    original, calls = getattr(moment.owner, moment.method), [0]

    def counted(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == moment.number and not moment.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if calls[0] == moment.number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(moment.owner, moment.method, counted)


def kill_in_half_a_record() -> None:
    """Let a process write scores and half a record more, as a kill while writing leaves them."""
    add = PairScores.add

    def half(self: PairScores, *arguments: Any) -> None:
        add(self, *arguments)
        with self._file.open("ab") as stream:
            stream.write(b"\x01" * 7)
            stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    PairScores.add = half


def child(
    answer: Connection, folder: Path, cache: Path, moment: str | None, limit: int | None, part: int
) -> None:
    """Mine in a process of its own; answer with the rows and the number of pairs scored."""
    disable_progress_bars()
    mapping.PART_ROWS = part
    rows = load_from_disk(str(folder / "rows"))
    corpus = Corpus(word_documents(60), cache_dir=cache)
    miner = OfflineMiner(
        STRATEGY, corpus=corpus, num_negatives=4, cache_dir=cache, model=str(folder / "model")
    )
    if moment == "in half a record":
        kill_in_half_a_record()
    elif moment is not None:
        kill_at(MOMENTS[moment])
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    scored: list[PairScorer] = []
    opened = PairScorer._store

    def store(self: PairScorer) -> PairScores:
        if self not in scored:
            scored.append(self)
        return opened(self)

    PairScorer._store = store
    try:
        mined = miner.mine(rows)
    except HardNegError as error:
        answer.send((type(error).__name__, str(error)))
        return
    sink = pa.BufferOutputStream()
    # The file's notes hold a fingerprint, which is of the folder too.
    table = mined.with_format("arrow")[:].combine_chunks().replace_schema_metadata(None)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer.send((sink.getvalue().to_pybytes(), sum(scorer.pairs_scored for scorer in scored)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows and a model on disk."""
    place = tmp_path_factory.mktemp("data")
    word_rows(word_documents(60), ROWS).save_to_disk(place / "rows")
    save_cross_encoder(place / "model")
    return place


@pytest.fixture(scope="module")
def run(folder: Path) -> Callable[..., Any]:
    """Return a function that mines in a process of its own and returns its answer or its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hf_hardneg", "sentence_transformers"])

    def call(
        cache: Path, moment: str | None = None, limit: int | None = None, part: int = PART
    ) -> Any:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(send, folder, cache, moment, limit, part))
        process.start()
        send.close()
        try:
            answer = receive.recv()
        except EOFError:
            answer = None
        process.join(120)
        assert process.exitcode is not None, "the process hangs"
        return answer if answer is not None else process.exitcode

    return call


@pytest.fixture(scope="module")
def undisturbed(run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the rows and the number of pairs of a run that nothing happened to."""
    cache = tmp_path_factory.mktemp("undisturbed")
    found, pairs = run(cache)
    assert pairs == pairs_on_disk(cache) > 4 * ROWS
    return found, pairs


OFTEN = ("while more pairs are scored", "before a finished part has its name")
"""The moments that every run of the tests tries; the others are slow tests."""


@pytest.mark.parametrize(
    "moment",
    [
        "in half a record",
        *(
            name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow)
            for name in MOMENTS
        ),
    ],
)
def test_killed_and_rerun_equals_never_killed(
    moment: str, run: Callable[..., Any], undisturbed: Any, cache: Path
) -> None:
    expected, all_pairs = undisturbed
    assert run(cache, moment) == -signal.SIGKILL
    kept = pairs_on_disk(cache)
    found, pairs = run(cache)
    assert found == expected
    assert pairs == all_pairs - kept  # no pair is scored twice
    scored = moment not in ("before the first part", "while the first pairs are scored")
    assert (pairs < all_pairs) == scored


@pytest.mark.slow
def test_killed_again_and_again(run: Callable[..., Any], undisturbed: Any, cache: Path) -> None:
    expected, all_pairs = undisturbed
    total = 0
    for moment in MOMENTS:
        before = pairs_on_disk(cache)
        ended = run(cache, moment)
        assert ended == -signal.SIGKILL or ended[0] == expected
        total += pairs_on_disk(cache) - before
    found, pairs = run(cache)
    assert (found, total + pairs) == (expected, all_pairs)
    assert run(cache) == (expected, 0)


def test_parts_of_another_size_give_the_same(
    run: Callable[..., Any], undisturbed: Any, cache: Path
) -> None:
    expected, _ = undisturbed
    for part in (2, 1000):
        assert run(cache / str(part), part=part)[0] == expected


@pytest.mark.parametrize(
    "limit",
    [150, 1_000, 5_000, *(pytest.param(n, marks=pytest.mark.slow) for n in (40, 400, 3_000))],
)
def test_a_full_disk_is_one_clear_error_and_can_be_mended(
    limit: int, run: Callable[..., Any], undisturbed: Any, cache: Path
) -> None:
    name, message = run(cache, limit=limit)
    assert name == "OutputError", message
    assert "cannot write" in message
    assert "free some space" in message
    assert message.count("cannot write") == 1
    found, pairs = run(cache)
    assert found == undisturbed[0]
    assert pairs <= undisturbed[1]
