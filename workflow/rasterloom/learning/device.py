"""Where a network computes: a leased GPU or the cores, with a fixed number of threads.

Where several GPUs are there, nobody hands them out: a process takes one by a file lock that its death frees. A
scheduler's job that sees one GPU takes that, and nothing is locked.
"""

import ctypes
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from itertools import product, takewhile
from pathlib import Path
from typing import IO, Any

from rasterloom.errors import InputError
from rasterloom.store.lock import locked

SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "KUBERNETES_SERVICE_HOST")
"""Environment variables that say that a scheduler has started this process."""

GRID_ENGINE = ("SGE_TASK_ID", "QUEUE")
"""Grid Engine names its job ``JOB_ID``, as many a program does: one of these must be set as well."""

GPU_SHARE = "RASTERLOOM_GPU_SHARE"
"""Environment variable by which the workflow tells its jobs `execution.gpu_share`."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def visible_gpus(environment: Mapping[str, str], devices: Path = Path("/dev")) -> int:
    """How many NVIDIA GPUs a process sees, told without torch, which takes seconds to load.

    Parameters
    ----------
    environment : where ``CUDA_VISIBLE_DEVICES`` is looked up, as schedulers and users set it.
    devices : the folder of device files.
    """
    present = sum(path.name.removeprefix("nvidia").isdigit() for path in devices.glob("nvidia*"))
    named = environment.get("CUDA_VISIBLE_DEVICES", "x," * present).split(",")
    return min(present, sum(1 for _ in takewhile(lambda name: name.strip() not in ("", "-1"), named)))


def lease_one(names: Sequence[str], folder: Path, share: int = 1) -> tuple[int, IO[bytes]] | None:
    """Lock one of several GPUs, or a part of one that is leased already if no other is free.

    Parameters
    ----------
    names : names of the GPUs, such as their UUIDs.
    folder : where the lock files lie; shared by all processes of the machine.
    share : how many processes one GPU may have.

    Returns
    -------
    number of the GPU and its open lock file, or None if all are taken.

    Raises
    ------
    InputError
        If a lock file belongs to somebody else and cannot be opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part, (i, name) in product(range(share), enumerate(names)):
        file = _lock_file(folder / f"rasterloom-gpu-{name.replace('/', '_')}{f'-{part + 1}' * (part > 0)}.lock")
        if locked(file):
            return i, file
        file.close()
    return None


def _lock_file(path: Path) -> IO[bytes]:
    """Open a lock file, made if need be so that every user of the machine can open it."""
    # Linux refuses O_CREAT for somebody else's file in a folder like /tmp: such a file is only opened.
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with suppress(PermissionError, FileNotFoundError):
            file = os.fdopen(os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666), "rb")
            with suppress(PermissionError):  # where it is somebody else's
                os.fchmod(file.fileno(), 0o666)  # whatever the umask says
            return file
    raise InputError(
        f"the lock file {path} of a GPU belongs to another user and cannot be opened: have it removed, or set TMPDIR "
        "to a folder that all who share the GPUs can write"
    )


def scheduled(environment: Mapping[str, str]) -> bool:
    """Whether environment variables say that this is a scheduler's job."""
    grid_engine = environment.get("JOB_ID") and any(environment.get(name) for name in GRID_ENGINE)
    return bool(grid_engine) or any(environment.get(name) for name in SCHEDULERS)


@contextmanager
def pick_device() -> Iterator[str]:
    """Hold a GPU, if this machine has any, else the cores: torch's name, ``cuda:0`` or ``cpu``.

    Waits while all GPUs are leased, each as often as `GPU_SHARE` says in the environment. The end of the block, or of
    the process, gives the lease back. A scheduler's job that sees one GPU has it to itself; one that sees several is an
    allocation in which several processes may run.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0 or (count == 1 and scheduled(os.environ)):
        yield "cuda:0" if count else "cpu"
        return
    # Numbers depend on who looks: on variables, and on a scheduler's cgroup.
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in range(count)]
    share = int(os.environ.get(GPU_SHARE, "1"))
    while (found := lease_one(names, Path(tempfile.gettempdir()), share)) is None:
        time.sleep(1.0)
    with found[1]:
        yield f"cuda:{found[0]}"


@cache
def precision_on(device: str, precision: str) -> str:
    """In what a device computes that a recipe asks for ``bfloat16`` or ``float32``.

    That is float32 where there are no instructions for bfloat16. Emulated, a convolution takes ten times as long as in
    float32 (AMD EPYC with AVX2). Results differ as little as those of two processors.

    Parameters
    ----------
    device : torch's name, ``cpu`` or ``cuda:0``.
    precision : of the recipe.
    """
    import torch

    if device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        found = torch.cpu.get_capabilities()
        native = any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "avx10_2", "bf16"))
    return precision if native else "float32"


def forward_pass(device: str, precision: str) -> AbstractContextManager[Any]:
    """The block in which networks compute, as `precision_on` says."""
    import torch

    coarse = precision_on(device, precision) == "bfloat16"
    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=coarse)


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """Compute with a fixed number of threads and in a fixed order, and put things back afterwards.

    Parameters
    ----------
    threads : compute threads of torch and of the linear algebra; results depend on them in their last digits.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


def keep_memory() -> bool:
    """Ask the C library to reuse freed memory instead of returning it to the kernel.

    Returns
    -------
    Whether that was possible (glibc alone). It changes no result.

    Notes
    -----
    Activations of tens of megabytes are allocated and freed in every step; without this a third of the time
    of training on cores goes into page faults. For processes that end after their job.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_M_MMAP_MAX, 0)) and bool(library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def hardware_name(device: str, threads: int) -> str:
    """What computes, in words that a measured rate holds for.

    Parameters
    ----------
    device : torch's name, ``cpu`` or ``cuda:0``.
    threads : compute threads, which say how fast cores are, but not how fast a GPU is.

    Returns
    -------
    ``NVIDIA H100 80GB HBM3``, or ``2 threads of AMD EPYC 7763``.
    """
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return f"{threads} thread{'s' * (threads != 1)} of {_processor()}"


def _processor() -> str:
    """The processor's name as Linux tells it, or its architecture."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
