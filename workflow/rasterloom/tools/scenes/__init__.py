"""Generate scenes in the formats of the Dstl contest, with known truth, for demonstrations and tests. Scenes that an
earlier call has written and that are still asked for stay as they are.
"""

import argparse
import re
import sys
from pathlib import Path

from rasterloom.errors import InputError
from rasterloom.tools.scenes.writing import write_scenes

HELP = "generate scenes in the contest's formats"


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from ``512`` or ``640x512``.

    Raises
    ------
    InputError
        If the text has another form.
    """
    found = re.fullmatch(r"\s*(\d{1,6})(?:\s*[xX]\s*(\d{1,6}))?\s*", text)
    if not found:
        raise InputError(
            f"scenes: --size {text!r} given; needed: one number or WIDTHxHEIGHT in pixels, for example 512 or 640x512."
        )
    return int(found[1]), int(found[2] or found[1])


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rasterloom scenes`` to a parser."""
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to write; new, empty, or written by an earlier call")
    add("--train", type=int, default=10, metavar="N", help="labelled scenes (default: %(default)s)")
    add("--test", type=int, default=4, metavar="N", help="scenes to predict, with hidden truth (default: %(default)s)")
    add("--size", default="512", metavar="WxH", help="RGB pixels, 256 to 3396x3349 (default: %(default)s)")
    add("--seed", type=int, default=1, metavar="S", help="seed of the data set (default: %(default)s)")
    add("--force", action="store_true", help="generate everything anew, also over scenes of another seed or size")


def main(args: argparse.Namespace) -> None:
    """Write the scenes that the arguments ask for and print a summary to stderr."""
    made = len(write_scenes(args.out, args.train, args.test, parse_size(args.size), args.seed, args.force))
    print(
        f"scenes: {args.train} training and {args.test} test scenes in {args.out} "
        f"({made} generated, {args.train + args.test - made} already there)",
        file=sys.stderr,
    )
