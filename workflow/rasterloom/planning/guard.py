"""Functions that Snakemake calls while it builds the graph must not fail in silence."""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

from rasterloom.errors import RasterloomError

_PR_SET_PDEATHSIG = 1


def stop(error: BaseException) -> NoReturn:
    """End the process at once with a message and code 1.

    Snakemake ignores errors of input functions whose output exists, so raising is not enough. A user's mistake is
    printed as one line; anything else is a bug and keeps its traceback.
    """
    if isinstance(error, RasterloomError):
        print(f"rasterloom: {error}", file=sys.stderr, flush=True)
    else:
        traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
    sys.stdout.flush()
    os._exit(1)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls `function`, and stops the run at any error in it."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except Exception as error:
            stop(error)

    return call


def end_with_parent() -> None:
    """Ask the kernel (Linux only) to end this process when its parent dies, so that no job survives a killed run."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
