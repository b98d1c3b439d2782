"""Commands as forks of a process that has imported everything: each takes a tenth of a second."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import warm_python
from durable import Page, arm
from rasterloom.cli import main

PAGE, COUNTS = "KILLPOINTS_PAGE", "KILLPOINTS_COUNTS"
"""In the environment of a job that Snakemake starts: the page that it is under, and whether its calls count (1, 0)."""


def warm_up() -> None:
    """Import whatever a stage imports; for who runs jobs of all stages."""
    for name in warm_python.LIBRARIES:
        importlib.import_module(name)
    library = Path(sys.modules["rasterloom"].__path__[0])
    for path in sorted(library.rglob("*.py")):
        if path.stem != "__main__":
            name = ".".join(path.relative_to(library.parent).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    hurry()


def hurry() -> None:
    """Let what happens seldom happen often, in those modules that are imported."""
    if "rasterloom.learning.state" in sys.modules:
        sys.modules["rasterloom.learning.state"].LOOK_SECONDS = 0.02  # type: ignore[attr-defined]
    if "rasterloom.learning.training" in sys.modules:
        sys.modules["rasterloom.learning.training"].train.__kwdefaults__["save_seconds"] = 0.0
    if "rasterloom.stages.predict" in sys.modules:
        sys.modules["rasterloom.stages.predict"].WORTH_KEEPING = 1  # type: ignore[attr-defined]
    alive = threading.enumerate()
    assert alive == [threading.main_thread()], f"threads that forks would lack: {alive}"


def aside(work: Callable[[], None]) -> None:
    """Do some work in a fork of its own, with what it imports, and wait for its end."""
    child = os.fork()
    if not child:
        try:
            atexit._clear()
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise ChildProcessError(f"it ended with {os.waitstatus_to_exitcode(status)}")


class Forks:
    """Forks of this process in a project's folder.

    Parameters
    ----------
    folder : Path
        The working directory of commands.
    page : Page
        What commands are put under that are to die or to fail.
    notes : Path
        A folder for what commands say.
    """

    def __init__(self, folder: Path, page: Page, notes: Path) -> None:
        self.folder, self.page, self.notes = folder, page, notes

    def start(
        self, command: Callable[[], int], environment: dict[str, str], armed: bool = False, said: str = "said"
    ) -> int:
        """Begin a command in a fork; gives its process. What it says is `words` of the same name."""
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            atexit._clear()
            output = os.open(self.notes / said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.folder)
            os.environ.update(environment)
            if armed:
                arm(self.page.path)
            code = ended(command)
            if not armed:
                (self.notes / "modules").write_text("\n".join(sys.modules), encoding="utf-8")
        finally:
            os._exit(code)

    def words(self, said: str = "said") -> str:
        """What a command has said."""
        return (self.notes / said).read_text(encoding="utf-8", errors="replace")

    def run(
        self, command: Callable[[], int], environment: dict[str, str], armed: bool = False, said: str = "said"
    ) -> tuple[int, str]:
        """Exit code, negative for a signal, and what was said."""
        _, status = os.waitpid(self.start(command, environment, armed, said), 0)
        return os.waitstatus_to_exitcode(status), self.words(said)

    def learn(self) -> None:
        """Import what the last command has imported, so that the next one need not."""
        for name in (self.notes / "modules").read_text(encoding="utf-8").split():
            if name not in sys.modules:
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
        hurry()
        gc.freeze()  # else each fork's collector would look through all that was imported, and copy it


def ended(command: Callable[[], int]) -> int:
    """Run a command to its end, as a process of its own would; the exit code."""
    try:
        code = command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def serve_jobs(folder: Path) -> tuple[Path, int]:
    """A ``python`` that runs ``-m rasterloom`` in a fork of this process; also gives a descriptor to be kept open.

    The process that forks ends with this one, or when the descriptor is closed.
    """
    folder.mkdir()
    executable = folder / "python"
    client = warm_python.CLIENT.format(python=sys.executable, address=str(folder / "socket"))
    executable.write_text(client, encoding="utf-8")
    executable.chmod(0o755)
    asleep, keep = os.pipe()
    said, says = os.pipe()
    if not os.fork():
        atexit._clear()
        os.setsid()
        os.close(keep)
        os.dup2(asleep, 0)
        os.dup2(says, 1)
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
        warm_python._code_of = _job
        try:
            warm_python.serve(folder)
        finally:
            os._exit(1)
    os.close(asleep)
    os.close(says)
    assert os.read(said, 6) == b"ready\n", "the server of jobs has not started"
    return executable, keep


def _job(arguments: Sequence[str]) -> int:
    """What Snakemake has started: ``-m rasterloom`` and arguments."""
    assert list(arguments[:2]) == ["-m", "rasterloom"], arguments
    if PAGE in os.environ:
        arm(Path(os.environ[PAGE]), os.environ[COUNTS] == "1")
    return ended(lambda: main(arguments[2:]))
