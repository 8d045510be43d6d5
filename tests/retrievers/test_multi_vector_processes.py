"""Late interaction in several processes, as torchrun starts them, and killed."""

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
from tiny_models import save_multi_vector

JOB = """
    import sys
    import torch
    from datasets import Dataset
    from hf_hardneg import OfflineMiner, token_store
    from hf_hardneg.distributed import world

    torch.set_num_threads(1)
    token_store.TokenTexts.per_part = 4
    folder, model = sys.argv[1], sys.argv[2]
    words = ["red", "blue", "green", "fast", "slow", "car", "boat"]
    documents = [f"{one} {two} {three}" for one in words for two in words for three in words[:3]]
    rows = Dataset.from_dict(
        {"query": documents[3:60:2], "positive": [f"the {text}" for text in documents[3:60:2]]}
    )
    strategy = f"random@20+multi-vector(model={model!r}, top_k=9)"
    open(f"{folder}/started-{world().rank}", "w").close()
    miner = OfflineMiner(strategy, corpus=documents, num_negatives=3, cache_dir=f"{folder}/cache")
    miner.mine(rows).to_json(f"{folder}/mined-{world().rank}.json")
"""

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(folder: Path, model: Path, processes: int) -> list[str]:
    folder.mkdir(exist_ok=True)
    script = folder.parent / "job.py"
    script.write_text(textwrap.dedent(JOB))
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    return [
        sys.executable,
        *(launcher if processes > 1 else []),
        str(script),
        str(folder),
        str(model),
    ]


def run(folder: Path, model: Path, processes: int) -> list[str]:
    done = subprocess.run(
        command(folder, model, processes), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [(folder / f"mined-{rank}.json").read_text() for rank in range(processes)]


def stored(folder: Path) -> dict[str, bytes]:
    root = folder / "cache" / "multi-vector"
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    model = save_multi_vector(tmp_path)
    [alone] = run(tmp_path / "one", model, 1)
    assert run(tmp_path / "two", model, 2) == [alone, alone]
    assert stored(tmp_path / "two") == stored(tmp_path / "one")
    assert len(stored(tmp_path / "one")) > 40


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_moments_and_run_again(tmp_path: Path, processes: int) -> None:
    model, cut = save_multi_vector(tmp_path), tmp_path / "cut"
    [whole] = run(tmp_path / "whole", model, 1)
    moments, hits = random.Random(processes), 0
    for _ in range(6):
        for mark in cut.glob("started-*"):
            mark.unlink()
        job = subprocess.Popen(
            command(cut, model, processes), env=ENVIRONMENT, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not (cut / "started-0").exists() and job.poll() is None:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 4))
        alive = job.poll() is None
        hits += alive
        for process in psutil.Process(job.pid).children(recursive=True) if alive else []:
            process.kill()
        job.kill()
        job.wait()
    assert hits
    assert run(cut, model, processes) == [whole] * processes
    left = {name: content for name, content in stored(cut).items() if "/." not in name}
    assert left == stored(tmp_path / "whole")
