"""The log of an artifact: what was said while it was made, in a file beside it to which each attempt adds."""

import os
import socket
import time
from pathlib import Path

from rasterloom.text import to_stderr


class ArtifactLog:
    """The part of an artifact's log that one attempt to make it writes.

    Parameters
    ----------
    path : Path
        The file. It is made with the first line.

    Notes
    -----
    It is a help for people: no key, digest or manifest depends on it, and a job goes on where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = self._given_up = False

    def add(self, text: str) -> None:
        """Add a line at once, so that it outlives a kill; above the first one of an attempt stands whose it is."""
        if self._given_up:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{self._head(file.tell())}{text}\n")
            self._begun = True
        except OSError as error:
            self._given_up = True
            to_stderr(f"note: {self.path} cannot be written ({error.strerror}): these lines are in the job's log alone")

    def _head(self, size: int) -> str:
        if self._begun:
            return ""
        clock = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        whose = f"--- attempt of {clock}, {socket.gethostname()}, process {os.getpid()}\n"
        return "\n" + whose if size else whose
