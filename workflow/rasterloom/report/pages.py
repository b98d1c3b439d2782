"""Pages of the report: HTML from templates, every value escaped; no script, no network, every link relative."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasterloom.registration.table import LOW_CONFIDENCE, SensorSummary, ShiftRow, worst_first

if TYPE_CHECKING:
    from jinja2 import Environment

CURVE_POINTS = 48

CURVE_SIZE = (132, 30)

SHIFT_ROWS = 40
"""Rows of the table of registrations; the rest is counted."""

FINDING_ROWS = 60
"""Rows of the table of findings about the inputs; the rest is counted."""

CURVE_ROWS = 150
"""With more checkpoints than this the table shows no curves, so that the page stays light."""

NOTHING = "–"


@dataclass(frozen=True)
class ScoreRow:
    """A class in the table of scores.

    Attributes
    ----------
    name : str
    id : int
    colour : str
        As CSS writes it.
    held_out, out_of_fold : float or None
        Pooled Jaccard, 0..1.
    held_out_scenes, out_of_fold_scenes : int
        Scenes with truth behind them.
    threshold : float or None
        Probability, 0..1, from which a pixel counts.
    having, labelled : int
        Training scenes that have the class, and all that were labelled for it.
    notes : list of str
    """

    name: str
    id: int
    colour: str
    held_out: float | None
    out_of_fold: float | None
    held_out_scenes: int
    out_of_fold_scenes: int
    threshold: float | None
    having: int
    labelled: int
    notes: list[str] = field(default_factory=list)

    @property
    def page(self) -> str:
        """File name of the class's page."""
        return class_page_name(self.name)


@dataclass(frozen=True)
class Picture:
    """A picture: its file relative to the page, what it shows, and its size in pixels."""

    file: str
    text: str
    width: int
    height: int


@dataclass(frozen=True)
class Figure:
    """Pictures of one scene.

    Attributes
    ----------
    scene : str
    part : str
        ``held-out``, ``out-of-fold``, ``in-sample`` or ``predicted``.
    jaccard : float or None
        None: neither truth nor prediction has an area, or there is no truth.
    measured : bool
        False: `jaccard` was measured on the picture, not on the polygons.
    pictures : list of Picture
    true, predicted : int
        Polygons of the truth and of the prediction.
    legend : list of (colour, text)
        Of this figure alone.
    """

    scene: str
    part: str
    jaccard: float | None
    measured: bool
    pictures: list[Picture]
    true: int = 0
    predicted: int = 0
    legend: list[tuple[str, str]] = field(default_factory=list)

    @property
    def cover(self) -> Picture:
        """The picture that stands for the figure: the closer look if there is one."""
        return self.pictures[2] if len(self.pictures) > 2 else self.pictures[0]


@dataclass(frozen=True)
class Overlay:
    """A registration, and pictures of it before and after."""

    row: ShiftRow
    pictures: list[Picture]


@dataclass(frozen=True)
class MemberRow:
    """A checkpoint: what it cost, and how its training went.

    `loss` holds the training loss over time, oldest first; empty where none was recorded.
    """

    member: str
    fold: str
    classes: list[str]
    key: str
    seconds: float | None = None
    peak_memory_mb: float | None = None
    steps: int | None = None
    samples: int | None = None
    device: str | None = None
    loss: list[float] = field(default_factory=list)
    iou: float | None = None

    @property
    def curve(self) -> str:
        """Points of the polyline of the training loss; empty with fewer than two values."""
        return curve_points(self.loss)


@dataclass(frozen=True)
class Summary:
    """Everything on the first page."""

    scenes: int
    training: int
    held_out: int
    members: int
    checkpoints: int
    seconds: float
    mean_held_out: float | None
    mean_out_of_fold: float | None
    scores: list[ScoreRow]
    covers: dict[str, Figure]
    scenery: list[Figure]
    scenery_note: str
    sensors: list[SensorSummary]
    shifts: list[ShiftRow]
    checkpoints_table: list[MemberRow]
    folds: list[tuple[str, str]]
    findings: list[dict[str, str]]
    versions: list[tuple[str, str]]
    recipe: str
    overlays: list[Overlay] = field(default_factory=list)
    overlay_legend: list[tuple[str, str]] = field(default_factory=list)


def class_page_name(name: str) -> str:
    """File name of a class's page."""
    return f"class-{name}.html"


def curve_points(values: Sequence[float], size: tuple[int, int] = CURVE_SIZE, most: int = CURVE_POINTS) -> str:
    """Points of an SVG polyline for values over time.

    Parameters
    ----------
    values : sequence of float
        What is not finite is left out.
    size : (width, height)
    most : int
        Neighbours are averaged so that at most so many points remain.

    Returns
    -------
    str
        ``x,y x,y …`` with 0 at the bottom edge and the largest value at the top edge; empty with fewer than two values.

    Examples
    --------
    >>> curve_points([4.0, 2.0, 0.0], (20, 10))
    '0,0 10,5 20,10'
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    count = min(most, len(finite))
    if count < 2:
        return ""
    cuts = [len(finite) * i // count for i in range(count + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in itertools.pairwise(cuts)]
    top, bottom = max(means), min(0.0, *means)
    span = top - bottom or 1.0
    width, height = size
    points = ((width * i / (count - 1), height * (top - value) / span) for i, value in enumerate(means))
    return " ".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in points)


# Numbers as text ------------------------------------------------------------------------------------------------


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals; a dash for None and what is not finite.

    Examples
    --------
    >>> number(0.12345), number(None)
    ('0.123', '–')
    """
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def duration(seconds: float | None) -> str:
    """A time in the two largest units that matter.

    Examples
    --------
    >>> duration(3.21), duration(75), duration(7260), duration(None)
    ('3.2 s', '1 min 15 s', '2 h 01 min', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24:02d} h"


def memory(megabytes: float | None) -> str:
    """Memory in MiB or GiB.

    Examples
    --------
    >>> memory(512.4), memory(2048), memory(None)
    ('512 MiB', '2.0 GiB', '–')
    """
    if megabytes is None:
        return NOTHING
    return f"{megabytes:.0f} MiB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GiB"


def count(value: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    Examples
    --------
    >>> count(1, "scene"), count(0, "scene"), count(2, "class", "classes")
    ('1 scene', '0 scenes', '2 classes')
    """
    return f"{value} {one if value == 1 else many or one + 's'}"


# Pages ----------------------------------------------------------------------------------------------------------


def index_html(summary: Summary) -> str:
    """The first page.

    Returns
    -------
    str
        HTML that stands alone but for the pictures and the pages of the classes; well below 200 KB.
    """
    shifts = worst_first(summary.shifts)
    checkpoints = summary.checkpoints_table
    return _render(
        "index.html",
        summary=summary,
        shifts=shifts[:SHIFT_ROWS],
        more_shifts=max(0, len(shifts) - SHIFT_ROWS),
        low_confidence=LOW_CONFIDENCE,
        finding_rows=FINDING_ROWS,
        has_curves=len(checkpoints) <= CURVE_ROWS and any(row.curve for row in checkpoints),
        curve_size=CURVE_SIZE,
    )


def class_html(
    row: ScoreRow,
    figures: Sequence[Figure],
    notes: Sequence[str],
    others: Sequence[str],
    legend: Sequence[tuple[str, str]] = (),
) -> str:
    """The page of a class.

    Parameters
    ----------
    row : ScoreRow
    figures : sequence of Figure
        In the order in which they are shown.
    notes : sequence of str
        Sentences about what is shown and what is not.
    others : sequence of str
        Names of all classes, for links.
    legend : sequence of (colour, text)
        Of all figures; what begins with ``outline`` is shown as a line.
    """
    return _render("class.html", row=row, figures=figures, notes=notes, others=others, legend=legend)


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "duration": duration, "memory": memory, "count": count}
    environment.globals |= {"class_page": class_page_name}
    return environment
