"""The scripts that start a recipe on several processes, and their configurations."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from publications import contents

from hf_hardneg.hub.build import build
from hf_hardneg.hub.recipe import load_recipe

RECIPE = Path(__file__).parents[2] / "hub_recipes" / "beir-folder.yaml"
LAUNCH = Path(__file__).parents[2] / "hub_recipes" / "launch"
SCRIPTS = sorted(LAUNCH.glob("*.sh"))
CONFIGS = sorted(LAUNCH.glob("*.yaml"))


def run(script: Path, *arguments: str, folder: Path, **environment: str) -> str:
    """Run a script with an ``accelerate`` that says what it was called with."""
    for name, body in {
        "accelerate": 'printf "%s\\n" "$@"',
        "scontrol": "echo node-a; seq 100000",  # more than a pipe holds
        "srun": 'shift; exec "$@"',
    }.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(script), *arguments],
        capture_output=True,
        text=True,
        env={"PATH": path, "LAUNCH_FOLDER": str(LAUNCH), **environment},
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


def test_each_script_has_its_configuration() -> None:
    assert [path.stem for path in SCRIPTS] == [path.stem for path in CONFIGS]
    assert len(SCRIPTS) == 4


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_reads_the_configuration(path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.num_machines == (2 if "several" in path.stem else 1)
    assert config.num_processes >= config.num_machines
    assert config.num_processes % config.num_machines == 0


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_bash_reads_the_script(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text()


CALLS = {
    "one-machine": {"PROCESSES": "3"},
    "several-machines": {"MAIN_ADDRESS": "10.0.0.1", "RANK": "1"},
    "slurm-one-node": {"SLURM_GPUS_ON_NODE": "3"},
    "slurm-several-nodes": {
        "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "3", "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_PROCID": "1",
    },
}  # fmt: skip


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_is_launched(path: Path, tmp_path: Path) -> None:
    said = run(path, "a recipe.yaml", "--push", folder=tmp_path, **CALLS[path.stem]).splitlines()
    assert said[:3] == ["launch", "--config_file", str(LAUNCH / f"{path.stem}.yaml")]
    assert said[said.index("--module") :] == [
        "--module", "hf_hardneg", "run", "a recipe.yaml", "--push"]  # fmt: skip
    if "several" in path.stem:
        assert said[said.index("--machine_rank") + 1] == "1"
        address = {"several-machines": "10.0.0.1", "slurm-several-nodes": "node-a"}[path.stem]
        assert said[said.index("--main_process_ip") + 1] == address
    if path.stem == "slurm-several-nodes":
        assert said[said.index("--num_processes") + 1] == "6"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_without_a_recipe_it_says_what_is_missing(path: Path, tmp_path: Path) -> None:
    said = run(path, folder=tmp_path, **CALLS[path.stem])
    assert said.startswith("2: usage: ")


def on_two_machines(folder: Path, caches: tuple[Path, Path]) -> list[tuple[int, str]]:
    """Run a recipe as two machines do that share a disk; return status and output of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank, cache in enumerate(caches):
        line = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node_rank",
                str(rank), "--master_addr", "127.0.0.1", "--master_port", port,
                "--nproc_per_node", "1", "-m", "hf_hardneg", "run", str(RECIPE), "--output",
                str(folder / f"out-{rank}")]  # fmt: skip
        own = {"HF_HOME": str(folder / f"hf-{rank}"), "HF_HARDNEG_CACHE": str(cache)}
        started.append(
            subprocess.Popen(
                line, env={**os.environ, "OMP_NUM_THREADS": "1", **own}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
        )  # fmt: skip
    told = [process.communicate(timeout=300)[0] for process in started]
    return [(process.returncode, text) for process, text in zip(started, told, strict=True)]


def test_two_machines_that_share_the_cache_make_what_one_makes(tmp_path: Path) -> None:
    done = on_two_machines(tmp_path, (tmp_path / "cache", tmp_path / "cache"))
    assert [status for status, _ in done] == [0, 0], done
    assert not (tmp_path / "out-1").exists()  # machine 0 writes
    build(load_recipe(RECIPE), tmp_path / "alone", cache_dir=tmp_path / "other")
    told = ("README.md", "hardneg/report.json")  # they have seconds
    alone, both = (
        {path: content for path, content in contents(tmp_path / name).items() if path not in told}
        for name in ("alone", "out-0")
    )
    assert alone == both
    assert any(path.startswith("data/") for path in both)


def test_machines_that_do_not_share_the_cache_are_told_so(tmp_path: Path) -> None:
    done = on_two_machines(tmp_path, (tmp_path / "cache-0", tmp_path / "cache-1"))
    for rank, (status, text) in enumerate(done):
        assert status == 1
        assert "these do not see what process 0 writes into its cache folder: 1." in text
        assert str(tmp_path / f"cache-{rank}") in text
    assert not (tmp_path / "out-0").exists()
    assert not list((tmp_path / "cache-0").iterdir())
