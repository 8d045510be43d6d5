"""Which device a process takes; no GPU is needed to know."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from hf_hardneg.devices import check_search_device, found_gpu, model_device, own_device, usable_gpu
from hf_hardneg.errors import ParameterError

NO_GPU = not torch.cuda.is_available() and not torch.backends.mps.is_available()


@pytest.mark.parametrize(
    ("requested", "rank", "size", "gpus", "want"),
    [
        (None, 0, 1, 4, None),  # one process: the library chooses
        ("cuda", 0, 1, 4, "cuda"),
        (None, 0, 4, 4, "cuda:0"),
        (None, 3, 4, 4, "cuda:3"),
        ("cuda", 3, 4, 4, "cuda:3"),
        (None, 3, 4, 2, "cuda:1"),  # more processes than GPUs: in turn
        (None, 3, 4, 1, "cuda:0"),  # each process is shown one
        (None, 1, 16, 8, "cuda:1"),  # the second machine of two
        ("cuda:2", 0, 4, 4, "cuda:2"),  # what is named is meant
        ("cpu", 1, 4, 4, "cpu"),
        ("mps", 1, 4, 0, "mps"),
        (None, 1, 4, 0, None),
        ("cuda", 1, 4, 0, "cuda"),
    ],
)
def test_each_process_has_its_own(
    requested: str | None, rank: int, size: int, gpus: int, want: str | None
) -> None:
    assert own_device(requested, rank, size, gpus) == want


def test_the_launcher_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert model_device(None) is None
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert model_device(None) is None
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("RANK", "6")
    assert model_device(None) == "cuda:2"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [model_device(name) for name in (None, "cuda", "cuda:3", "cpu")] == [
        "cuda:1", "cuda:1", "cuda:3", "cpu"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_devices_to_search_on(name: str) -> None:
    assert check_search_device("dense", name) == name


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cpu:0", "", None, 0, "cuda:1 "])
def test_devices_that_are_refused(name: object) -> None:
    with pytest.raises(ParameterError, match=r"dense: search_device=.*expected 'auto', 'cpu'"):
        check_search_device("dense", name)  # type: ignore[arg-type]


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    assert found_gpu() is None
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(ParameterError, match=rf"search_device='{name}': torch .* sees no such"):
            usable_gpu(name)


WORKER = """
import multiprocessing
from hf_hardneg.devices import found_gpu, usable_gpu

def asked(_):
    try:
        return usable_gpu("cuda")
    except ValueError as error:
        return [found_gpu(), str(error)]

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(*pool.map(asked, [0])[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_worker_has_no_gpu() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True)
    assert done.stdout.startswith("None search_device='cuda' with num_proc: CUDA does not work in")


def test_torch_is_not_imported_in_vain() -> None:
    script = (
        "import sys; from hf_hardneg.devices import found_gpu, model_device; found_gpu(); "
        "model_device(None); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == str(not NO_GPU or not sys.platform.startswith("linux"))
