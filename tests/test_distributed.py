"""Several processes, as torchrun starts them, make the files that one would have made."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hf_hardneg.distributed import World, world

JOB = """
    import json, sys
    import numpy as np
    from datasets import Dataset
    from hf_hardneg import CallableEncoder, OfflineMiner, vectors
    from hf_hardneg.distributed import world

    vectors.SHARD = 10
    rows, folder, strategy = int(sys.argv[1]), sys.argv[2], sys.argv[3]

    def encode(texts):
        with open(f"{folder}/encoded-{world().rank}", "a") as log:
            log.writelines(text + chr(10) for text in texts)
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
    mined = miner.mine(data, resume=False)
    mined.to_json(f"{folder}/mined-{world().rank}.json")
    with open(f"{folder}/mark-{world().rank}", "w") as out:
        print(json.dumps(miner.report(mined).to_dict()["stages"]), file=out)
    with open(f"{folder}/fingerprints", "a") as out:
        out.write(mined._fingerprint + chr(10))
"""


def run(folder: Path, processes: int, rows: int, strategy: str) -> list[str]:
    """Run the job; return what each process wrote."""
    folder.mkdir()
    script = folder.parent / "job.py"
    script.write_text(textwrap.dedent(JOB))
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*command, str(rows), str(folder), strategy],
        env=environment,
        capture_output=True,
        text=True,
    )
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
    world().wait()
    second = World(1, 3)
    assert [number for number in range(8) if second.mine(number)] == [1, 4, 7]
