"""The scripts that start a recipe on several processes, and their configurations."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

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
