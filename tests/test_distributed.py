"""Several processes, as torchrun starts them, make the files that one would have made."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from hf_hardneg.distributed import World, world

JOB = """
    import json, sys, time
    import numpy as np
    from datasets import Dataset
    from hf_hardneg import CallableEncoder, OfflineMiner, vectors
    from hf_hardneg.distributed import world

    vectors.SHARD = 10
    rows, folder, strategy, pause = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])

    def encode(texts):
        with open(f"{folder}/encoded-{world().rank}", "a") as log:
            log.writelines(text + chr(10) for text in texts)
        time.sleep(pause)
        return np.array([[len(text), sum(map(ord, text)) % 17, 1.0] for text in texts])

    documents = [f"document {number % 60} " + "x" * (number % 7) for number in range(95)]
    data = Dataset.from_dict(
        {"query": [f"document {number}" for number in range(rows)], "positive": documents[:rows]}
    )
    encoder = CallableEncoder(encode, name="letters", similarity="dot")
    options = {"model": encoder} if "dense" in strategy else {}
    miner = OfflineMiner(
        strategy, corpus=documents, num_negatives=3, cache_dir=f"{folder}/cache", **options
    )
    open(f"{folder}/started-{world().rank}", "w").close()
    mined = miner.mine(data, resume=pause > 0)
    mined.to_json(f"{folder}/mined-{world().rank}.json")
    with open(f"{folder}/mark-{world().rank}", "w") as out:
        print(json.dumps(miner.report(mined).to_dict()["stages"]), file=out)
    with open(f"{folder}/fingerprints", "a") as out:
        out.write(mined._fingerprint + chr(10))
"""


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(folder: Path, processes: int, rows: int, strategy: str, pause: float) -> list[str]:
    """The command line of the job; ``pause`` is how long each call of the encoder takes."""
    folder.mkdir(exist_ok=True)
    script = folder.parent / "job.py"
    script.write_text(textwrap.dedent(JOB))
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    start = [sys.executable, *(launcher if processes > 1 else []), str(script)]
    return [*start, str(rows), str(folder), strategy, str(pause)]


def run(folder: Path, processes: int, rows: int, strategy: str, pause: float = 0.0) -> list[str]:
    """Run the job; return what each process wrote."""
    line = command(folder, processes, rows, strategy, pause)
    done = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    texts = [(folder / f"mined-{rank}.json").read_text() for rank in range(processes)]
    marks = [(folder / f"mark-{rank}").read_text() for rank in range(processes)]
    return [text + mark for text, mark in zip(texts, marks, strict=True)]


def encoded(folder: Path) -> list[str]:
    return sorted("".join(path.read_text() for path in folder.glob("encoded-*")).splitlines())


def stored(folder: Path) -> dict[str, bytes]:
    root = folder / "cache" / "vectors"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.npy")}


@pytest.mark.parametrize(("processes", "rows"), [(2, 25), (3, 2)])
def test_processes_share_the_work_and_not_the_result(
    tmp_path: Path, processes: int, rows: int
) -> None:
    """Also with fewer rows than processes."""
    strategy = "bm25@20,dense@20+random"
    [alone] = run(tmp_path / "one", 1, rows, strategy)
    together = run(tmp_path / "many", processes, rows, strategy)
    assert together == [alone] * processes
    assert len(set((tmp_path / "many" / "fingerprints").read_text().split())) == 1
    assert encoded(tmp_path / "many") == encoded(tmp_path / "one")  # each text once, by one of them
    assert len(list((tmp_path / "many").glob("encoded-*"))) == processes
    assert stored(tmp_path / "many") == stored(tmp_path / "one")


def test_one_process_is_a_world_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert world() == World(0, 1)
    assert world().main
    assert world().from_main(lambda: "worked out here") == "worked out here"
    world().wait()
    second = World(1, 3)
    assert [number for number in range(8) if second.mine(number)] == [1, 4, 7]


def kill(folder: Path, processes: int, moment: float) -> bool:
    """Run the job and kill all of its processes after a while; return whether it was at work."""
    for mark in folder.glob("started-*"):
        mark.unlink()
    line = command(folder, processes, 25, "bm25@20,dense@20+random", 0.2)
    job = subprocess.Popen(
        line, env=ENVIRONMENT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (folder / "started-0").exists() and job.poll() is None:
        time.sleep(0.02)
    time.sleep(moment)
    alive = job.poll() is None
    # The launcher gives each worker a session of its own.
    for process in [*psutil.Process(job.pid).children(recursive=True)] if alive else []:
        process.kill()
    job.kill()
    job.wait()
    return alive


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_ten_random_moments_and_run_again(tmp_path: Path, processes: int) -> None:
    [whole] = run(tmp_path / "whole", 1, 25, "bm25@20,dense@20+random", 0.01)
    (tmp_path / "cut").mkdir()
    moments = random.Random(processes)
    hits = [kill(tmp_path / "cut", processes, moments.uniform(0, 1.5)) for _ in range(10)]
    assert any(hits)
    again = run(tmp_path / "cut", processes, 25, "bm25@20,dense@20+random", 0.01)
    assert again == [whole] * processes
    assert stored(tmp_path / "cut") == stored(tmp_path / "whole")
