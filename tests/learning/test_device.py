"""Leasing a GPU on one machine, and computing with a fixed number of threads."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rasterloom.errors import InputError
from rasterloom.learning.device import (
    GPU_SHARE,
    SCHEDULERS,
    computing,
    forward_pass,
    hardware_name,
    lease_one,
    pick_device,
    precision_on,
    scheduled,
    visible_gpus,
)

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this a machine with some GPUs and variables, whose temporary folder is the test's."""

    def make(gpus: int, **variables: str) -> None:
        for name in ("CUDA_VISIBLE_DEVICES", "JOB_ID", GPU_SHARE, *SCHEDULERS):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        seen = [name for name in variables.get("CUDA_VISIBLE_DEVICES", "").split(",") if name] or range(gpus)
        cards = [SimpleNamespace(uuid=f"uuid-{name}") for name in seen]
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: cards[number])
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    return make


def test_pick_device_without_gpu_is_the_cores(tmp_path: Path, machine: Machine) -> None:
    machine(0)
    with pick_device() as device:
        assert device == "cpu"
    assert not any(tmp_path.iterdir())


def test_pick_device_leases_different_gpus(machine: Machine) -> None:
    machine(2)
    with pick_device() as one, pick_device() as two:
        assert (one, two) == ("cuda:0", "cuda:1")
    with pick_device() as again:
        assert again == "cuda:0"


def test_pick_device_shares_a_gpu_only_once_all_are_taken(machine: Machine) -> None:
    machine(2, RASTERLOOM_GPU_SHARE="2")
    with ExitStack() as held:
        found = [held.enter_context(pick_device()) for _ in range(4)]
        assert found == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
        assert lease_one(["uuid-0", "uuid-1"], Path(tempfile.gettempdir()), share=2) is None


def test_pick_device_waits_for_a_free_one(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(1)
    waits: list[float] = []
    with ExitStack() as first:
        first.enter_context(pick_device())

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                first.close()

        monkeypatch.setattr(time, "sleep", wait)
        with pick_device() as device:
            assert device == "cuda:0"
    assert len(waits) == 3


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "PBS_JOBID"])
def test_pick_device_takes_the_one_gpu_of_a_scheduler_s_job(tmp_path: Path, machine: Machine, variable: str) -> None:
    machine(1, **{variable: "1"})
    with pick_device() as one, pick_device() as two:
        assert one == two == "cuda:0"
    assert not any(tmp_path.iterdir())


def test_pick_device_leases_within_an_allocation_of_several_gpus(machine: Machine) -> None:
    machine(4, SLURM_JOB_ID="1", CUDA_VISIBLE_DEVICES="0,1,2,3")
    with ExitStack() as held:
        found = [held.enter_context(pick_device()) for _ in range(4)]
        assert found == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"JOB_ID": "7"}, False),
        ({"QUEUE": "all.q"}, False),
        ({"JOB_ID": "7", "QUEUE": "gpu.q"}, True),
        ({"JOB_ID": "7", "SGE_TASK_ID": "undefined"}, True),
        ({"FLUX_JOB_ID": "f1"}, True),
        ({"SLURM_JOB_ID": ""}, False),
        ({}, False),
    ],
)
def test_scheduled_needs_a_variable_of_a_scheduler(environment: dict[str, str], expected: bool) -> None:
    assert scheduled(environment) is expected


def test_lease_is_open_to_every_user(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        taken = lease_one(["0"], tmp_path)
    finally:
        os.umask(before)
    assert taken is not None
    taken[1].close()
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o666


def _refusing(monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
    """Opening a file with any of the flags `refused` fails, as for another user's file."""
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & refused or not refused:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)


def test_lease_of_a_file_that_another_user_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rasterloom-gpu-0.lock").touch(0o644)
    _refusing(monkeypatch, os.O_RDWR | os.O_CREAT)
    taken = lease_one(["0"], tmp_path)
    assert taken is not None
    assert lease_one(["0"], tmp_path) is None
    taken[1].close()


def test_lease_of_a_file_that_cannot_be_opened_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refusing(monkeypatch, 0)
    with pytest.raises(InputError, match=r"rasterloom-gpu-0.lock .*another user.*TMPDIR"):
        lease_one(["0"], tmp_path)


def test_pick_device_locks_the_physical_gpu(tmp_path: Path, machine: Machine) -> None:
    """Two processes that see different numbers of one machine must not meet."""
    machine(1, CUDA_VISIBLE_DEVICES="3")
    with pick_device():
        assert lease_one(["uuid-3"], tmp_path) is None
        machine(2, CUDA_VISIBLE_DEVICES="3,0")
        with pick_device() as other:
            assert other == "cuda:1"


def test_a_lease_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from rasterloom.learning.device import lease_one\n"
        f"held = lease_one(['0'], Path({str(tmp_path)!r})); print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "held\n"
    assert done.returncode == -9
    taken = lease_one(["0"], tmp_path)
    assert taken is not None
    taken[1].close()


@pytest.mark.parametrize(
    ("variable", "expected"),
    [(None, 3), ("2,1", 2), ("GPU-ab, GPU-cd", 2), ("0,1,2,3,4", 3), ("", 0), ("-1", 0), ("1,-1,2", 1)],
)
def test_visible_gpus(variable: str | None, expected: int, tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}, tmp_path) == expected
    assert visible_gpus({}, tmp_path / "nowhere") == 0


def test_computing_sets_threads_and_puts_them_back() -> None:
    before = torch.get_num_threads()
    with computing(before + 1):
        assert torch.get_num_threads() == before + 1
        assert torch.backends.cudnn.deterministic
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), computing(before + 2):
        raise KeyError
    assert torch.get_num_threads() == before


def test_keep_memory_leaves_allocation_working() -> None:
    code = (
        "from rasterloom.learning.device import keep_memory; import numpy as np\n"
        "print(keep_memory()); print(sum(float(np.ones(10**7).sum()) for _ in range(5)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "50000000.0"


def test_hardware_name_of_cores_says_threads_and_processor() -> None:
    one, two = hardware_name("cpu", 1), hardware_name("cpu", 2)
    assert one.startswith("1 thread of ")
    assert two.startswith("2 threads of ")
    assert one.removeprefix("1 thread of ") == two.removeprefix("2 threads of ") != ""


def test_hardware_name_of_a_gpu_is_the_card_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA X {device}")
    assert hardware_name("cuda:1", 2) == "NVIDIA X cuda:1"


@pytest.mark.parametrize(
    ("has", "asked", "computes"),
    [
        ({"avx512_bf16": True}, "bfloat16", torch.bfloat16),
        ({"architecture": "arm64", "bf16": True}, "bfloat16", torch.bfloat16),
        ({"avx512_bf16": True}, "float32", torch.float32),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, "bfloat16", torch.float32),
    ],
)
def test_networks_compute_in_bfloat16_where_the_processor_has_it(
    has: dict[str, bool], asked: str, computes: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    precision_on.cache_clear()
    try:
        with forward_pass("cpu", asked):
            assert torch.nn.Conv2d(1, 1, 3)(torch.zeros(1, 1, 5, 5)).dtype == computes
    finally:
        precision_on.cache_clear()


def test_networks_compute_in_float32_on_a_gpu_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: asked.append(including_emulation))
    precision_on.cache_clear()
    try:
        assert precision_on("cuda:0", "bfloat16") == "float32"
    finally:
        precision_on.cache_clear()
    assert asked == [False]
