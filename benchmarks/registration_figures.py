"""Errors of registrations, and what they add up to: tables and the targets that rasterloom sets itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from registration_cases import Case
from registration_methods import Found

from rasterloom.raster.grid import Matrix
from rasterloom.text import table as aligned

OWN = "rasterloom"
LARGE = 1024
"""Pixels a side from which a generated scene counts for the targets."""


@dataclass(frozen=True)
class Row:
    """One sensor of one case, by one method.

    `error` is the distance between where the method and the truth put the reference's points, in the worst corner,
    reference pixels; `pixel` the side of the sensor's pixel; `seconds` the share of the time that the method took for
    the scene.
    """

    group: str
    scene: str
    size: int
    variant: str
    sensor: str
    method: str
    pixel: float
    error: float
    accepted: bool
    seconds: float

    @property
    def failed(self) -> bool:
        """Off by more than a pixel of the coarser of the two images, whatever the method says of it."""
        return self.error > max(1.0, self.pixel)


def group_of(case: Case) -> str:
    """Under which heading a case is counted."""
    if case.variant in ("moved", "unmoved"):
        return "real"
    return f"generated, {LARGE} pixels and more" if case.size >= LARGE else f"generated, {case.size} pixels"


def displacement(motion: Matrix, extent: tuple[int, int]) -> NDArray[np.float64]:
    """(25, 2) shifts that a motion gives to points spread over an image of (width, height)."""
    x, y = np.meshgrid(*(np.linspace(0, side, 5) for side in extent))
    points = np.stack([x.ravel(), y.ravel()])
    matrix = np.array(motion)
    return np.asarray((matrix[:, :2] @ points + matrix[:, 2:] - points).T)


def rows_of(
    case: Case, method: str, found: dict[str, Found], seconds: float, unmoved: dict[str, Found] | None = None
) -> Iterator[Row]:
    """What a method's result for a case is worth.

    Parameters
    ----------
    case, method, found, seconds
    unmoved : dict or None
        What the method found for the same images without a shift: the error is that of the difference.
    """
    for name, sensor in case.others.items():
        off = displacement(found[name].motion, case.extent) - sensor.shift
        if unmoved is not None:
            off -= displacement(unmoved[name].motion, case.extent)
        error = float(np.hypot(off[:, 0], off[:, 1]).max())
        share = seconds / len(case.others)
        group = group_of(case)
        yield Row(
            group,
            case.scene,
            case.size,
            case.scene if group == "real" else case.variant,
            name,
            method,
            sensor.pixel,
            error,
            found[name].accepted,
            share,
        )


HEAD = ("sensor", "variant", "method", "cases", "median", "95 %", "worst", "own median", "own 95 %", "own worst")
COUNTS = ("failures", "wrong", "accepted")


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a table: one per sensor, variant and method, and every sensor's variants together."""
    cells = [(*HEAD, *COUNTS)]
    for sensor in unique(row.sensor for row in rows):
        own = [row for row in rows if row.sensor == sensor]
        variants = unique(row.variant for row in own)
        for variant in [*variants, "all"] if len(variants) > 1 else variants:
            for method in unique(row.method for row in own):
                some = [row for row in own if row.method == method and variant in (row.variant, "all")]
                cells.append((sensor, variant, method, str(len(some)), *figures(some)))
    return aligned(cells, right=range(3, 99), indent=0)


def figures(rows: Sequence[Row]) -> Iterator[str]:
    """Median, 95 % and worst error in reference and in own pixels; failures, those accepted, share accepted."""
    for unit in (1.0, None):
        errors = [row.error / (unit or row.pixel) for row in rows]
        yield from (f"{value:.3f}" for value in (*np.quantile(errors, [0.5, 0.95]), max(errors)))
    yield str(sum(row.failed for row in rows))
    yield str(sum(row.failed and row.accepted for row in rows))
    yield f"{np.mean([row.accepted for row in rows]):.0%}"


def unique(values: Iterable[str]) -> list[str]:
    """Values in the order of their first appearance."""
    return list(dict.fromkeys(values))


def targets(rows: Sequence[Row]) -> Iterator[tuple[bool, str]]:
    """Whether each target is met, and the figures; targets of which there are no cases are left out."""
    own = [row for row in rows if row.method == OWN]
    for sensor, median, most in (("p", 0.1, 0.3), ("m", 0.1, 0.3), ("a", 1.5, 4.0)):
        some = [r.error for r in own if r.sensor == sensor and r.group != "real" and r.size >= LARGE]
        if some:
            middle, high = np.quantile(some, [0.5, 0.95])
            text = f"{sensor}: median {middle:.3f} (at most {median}), 95 % {high:.3f} (at most {most}) RGB pixels"
            yield bool(middle <= median and high <= most), text
    if own:
        wrong = [row for row in own if row.accepted and row.error > row.pixel]
        yield not wrong, f"accepted, but off by more than a pixel of its own sensor: {len(wrong)} of {len(own)}"
    real = [row for row in own if row.group == "real"]
    for pair, sensor in dict.fromkeys((row.variant, row.sensor) for row in real):
        middle = float(np.median([row.error for row in real if (row.variant, row.sensor) == (pair, sensor)]))
        yield middle <= 0.15, f"{pair}, {sensor}: median {middle:.3f} fine pixels (at most 0.15)"
    yield from _against(rows, own)


def _against(rows: Sequence[Row], own: Sequence[Row]) -> Iterator[tuple[bool, str]]:
    """Failures and time against the alternatives."""
    mine = sum(row.failed for row in own)
    for method in unique(row.method for row in rows):
        if own and method != OWN:
            theirs = sum(row.failed for row in rows if row.method == method)
            yield mine < theirs, f"failures: {mine} of {len(own)}, {method} {theirs}"
    for method in ("simpleitk", "simpleitk-whole"):
        itk = sum(row.seconds for row in rows if row.method == method)
        if own and itk:
            ratio = itk / sum(row.seconds for row in own)
            yield ratio >= 5, f"{ratio:.1f} times as fast as {method} (at least 5)"


def times(rows: Sequence[Row], peak: Callable[[str, int], float | None]) -> Iterator[str]:
    """Lines: seconds a sensor (mean) and peak memory by size and method; `peak` gives megabytes."""
    yield f"{'pixels':8}{'method':16}{'seconds':>9}{'MB':>8}"
    some = [row for row in rows if row.group != "real"]
    for size in dict.fromkeys(row.size for row in some):
        for method in unique(row.method for row in some):
            mean = np.mean([row.seconds for row in some if (row.size, row.method) == (size, method)])
            memory = peak(method, size)
            yield f"{size:<8}{method:16}{mean:9.3f}{'-' if memory is None else f'{memory:.0f}':>8}"
