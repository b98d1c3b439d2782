"""A Python that has imported the large libraries already and forks for each command, for tests that start thousands.

`WarmPython` is the server. Its folder holds an executable ``python``, which sends its command line, folder, environment
and streams to the server and waits for the exit code. Each command is a process of its own, a fork of the server, and
imports rasterloom from its own PYTHONPATH. Neither the library nor the rules know of it: Snakemake, started here, takes
that ``python`` for its interpreter, and so puts it first on the PATH of its jobs.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

LIBRARIES = (
    *("cv2", "geopandas", "jinja2", "pyarrow.parquet", "pydantic", "pyogrio", "rasterio.features", "safetensors.numpy"),
    *("scipy.ndimage", "scipy.optimize", "scipy.sparse.csgraph", "shapely.geometry", "sklearn.ensemble"),
    *("sklearn.linear_model", "snakemake.cli", "tifffile", "torch", "yaml", "zarr"),
)
"""What commands of the tests import; of rasterloom nothing, which each command has from its own PYTHONPATH."""

WITHOUT_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""What keeps the libraries from starting threads when they are imported: what is forked would lack them."""

CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(asked)
    code = server.recv(8)
if not code:
    sys.exit("the server of warm processes is gone")
if int(code) < 0:
    os.kill(os.getpid(), -int(code))
os._exit(int(code))
"""


class WarmPython:
    """A server in a process of its own, which ends with this one or with the ``with`` block.

    Attributes
    ----------
    executable : Path
        Its ``python``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.executable = folder / "python"
        address = str(folder / "socket")
        self.executable.write_text(CLIENT.format(python=sys.executable, address=address), encoding="utf-8")
        self.executable.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | WITHOUT_THREADS
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the server of warm processes has not started"

    def __enter__(self) -> WarmPython:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and whatever it has started."""
        self._process.communicate()


def serve(folder: Path) -> None:
    """Import the libraries, say ``ready``, and fork for each command until the parent closes the pipe or is gone."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # else each child's collector would look through all that was imported, and copy it
    threads = list(Path("/proc/self/task").glob("*"))  # none where there is no Linux
    assert len(threads) <= 1, "a library has started a thread, which what is forked would lack"
    ended, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    clients: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        server.listen(64)
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([server, ended, sys.stdin], [], [])[0]):
            if ended in ready:
                ended.recv(4096)
                _report_ends(clients)
            if server in ready:
                client, _ = server.accept()
                child = os.fork()
                if not child:
                    for inherited in (server, ended, wake, *clients.values()):
                        inherited.close()
                    _child(client, folder)
                clients[child] = client
    os.killpg(0, signal.SIGKILL)


def _report_ends(clients: dict[int, socket.socket]) -> None:
    """Tell the clients of processes that have ended their exit codes, negative for signals."""
    while clients:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        with clients.pop(child) as client, contextlib.suppress(BrokenPipeError):
            client.send(str(os.waitstatus_to_exitcode(status)).encode())


def _child(client: socket.socket, folder: Path) -> None:
    """Be the process that a client asked for."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(client, 8, 3)
    with client.makefile("rb") as file:
        arguments, here, environment = json.loads(file.read(int.from_bytes(head, "big")))
    client.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(here)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable = str(folder / "python")
    code = _code_of(arguments)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _code_of(arguments: Sequence[str]) -> int:
    """Run ``-m module ...`` or ``file ...`` as Python would; gives the exit code."""
    own = sys.path[1:]  # without the folder of this file
    asked = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    try:
        if arguments[0] == "-m":
            sys.argv = list(arguments[1:])
            sys.path[:] = [str(Path.cwd()), *asked, *own]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(arguments)
            sys.path[:] = [str(Path(arguments[0]).resolve().parent), *asked, *own]
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
