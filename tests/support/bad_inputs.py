"""A case of bad input: how it is made, and which parts of what is said of it a user needs.

What is said in full stands in docs/troubleshooting.md alone; `troubleshooting.py` makes the cases and writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasterloom.errors import RasterloomError

Make = Callable[[Path], Sequence[str]]
"""Makes a case in a folder; it raises, or returns what is said as work goes on, one text per note or finding."""


@dataclass(frozen=True)
class BadInput:
    """A case of bad input.

    Attributes
    ----------
    name : str
        Short, unique among all cases.
    given : str
        What is wrong, in a few words.
    says : tuple of str
        What the message must hold: the scene, the file, the class, the key, the value that was given, a word of the
        remedy; ``{root}`` is the folder that all is in. Without any, nothing is said. A message of several lines is
        allowed only if a part has a line break.
    make : Make
        Makes it.
    stops : bool
        Whether work stops with an error; otherwise it goes on, and this is said.
    """

    name: str
    given: str
    says: tuple[str, ...]
    make: Make
    stops: bool = True

    def said(self, root: Path) -> list[str]:
        """Make the case in a folder; what is said, with ``{root}`` for the folder."""
        try:
            said, stops = list(self.make(root)), False
        except RasterloomError as error:
            said, stops = [str(error)], True
        assert stops == self.stops, f"it {'stops' if stops else 'goes on'}, saying: {said}"
        return [text.replace(str(root), "{root}") for text in said]

    def check(self, root: Path) -> None:
        """Make the case and compare what is said, one line each."""
        said = self.said(root)
        assert fits(self.says, said), said
        assert "\n" in "".join(self.says) or "\n" not in "".join(said), said


def fits(parts: Sequence[str], said: Sequence[str]) -> bool:
    """Whether each part is said, and nothing without one of them."""
    each_is_said = all(any(part in text for text in said) for part in parts)
    return each_is_said and all(any(part in text for part in parts) for text in said)


def register_in(cases: list[BadInput]) -> Callable[..., Callable[[Make], Make]]:
    """A decorator for what makes a case, which is called as the function; it takes `given`, `says` and `stops`."""

    def case(given: str, *says: str, stops: bool = True) -> Callable[[Make], Make]:
        def register(make: Make) -> Make:
            cases.append(BadInput(make.__name__.replace("_", " "), given, says, make, stops))
            return make

        return register

    return case
