"""How benchmarks tell `bench.py` what they found: a line per comparison in the file that a variable names."""

import os
from pathlib import Path

TABLE = "RASTERLOOM_RATIOS"
"""The variable; unset: nobody listens."""


def record(what: str, beside: str, ratio: float) -> None:
    """Note how many times as long an alternative takes."""
    if path := os.environ.get(TABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{what}\t{beside}\t{ratio:.2f}\n")
