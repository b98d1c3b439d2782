"""Pages of the report: HTML from templates, every value escaped; no script, no network, every link relative."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rasterloom import text
from rasterloom.registration.table import GROUP, LOW_CONFIDENCE, UNPLACED, worst_first

if TYPE_CHECKING:
    from jinja2 import Template

CURVE_POINTS = 48

CURVE_SIZE = (132, 30)

SHIFT_ROWS = 40
"""Rows of the table of registrations; the rest is counted."""

FINDING_ROWS = 60
"""Rows of the table of findings about the inputs; the rest is counted."""

SPLIT_ROWS = 200
"""Rows of the table of splits; the rest is counted."""

CURVE_ROWS = 150
"""With more checkpoints than this the table shows no curves, so that the page stays light."""


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
class ClassRow:
    """A class in the table of scores, and on its own page.

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
        Sentences for the table.
    figures : list of Figure
        In the order in which they are shown.
    scored : int
        Scenes that were scored and have the class, true or predicted; the first of them have figures.
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
    figures: list[Figure] = field(default_factory=list)
    scored: int = 0


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
    loss: list[float] = field(default_factory=list)
    iou: float | None = None


@dataclass(frozen=True)
class EnsembleRow:
    """A class with several members.

    Attributes
    ----------
    name : str
    ensemble : str
        ``mean``, ``weighted`` or ``best``.
    members : list of (name, weight, Jaccard or None)
        Weights for new scenes, sum 1; Jaccards of pixels, each at its own best threshold.
    jaccard : float or None
        Of pixels of the ensemble; None with a fixed threshold.
    reason : str or None
        Why its members count alike although other weights were asked for.
    """

    name: str
    ensemble: str
    members: list[tuple[str, float, float | None]]
    jaccard: float | None
    reason: str | None


@dataclass(frozen=True)
class SplitRow:
    """A target in a fold of its group.

    Attributes
    ----------
    group, fold : str
    train, validation : list of str
        The scenes of the fold.
    target : str
    share : float or None
        Share of the target's labelled area that validates, 0..1; None if it has none at all.
    having_train, having_validation : int
        How many scenes of each side hold the target.
    """

    group: str
    fold: str
    train: list[str]
    validation: list[str]
    target: str
    share: float | None
    having_train: int
    having_validation: int


def class_page(name: str) -> str:
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
    width, height = size
    points = ((width * i / (count - 1), height * (top - mean) / (top - bottom or 1.0)) for i, mean in enumerate(means))
    return " ".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in points)


def index_html(**values: Any) -> str:
    """The first page.

    Parameters
    ----------
    classes : list of ClassRow
    scenery : list of Figure
        Scenes with all classes; `scenery_note`: a sentence about their choice.
    shifts : list of ShiftRow
    overlays : list of (ShiftRow, list of Picture)
        Registrations before and after; `overlay_legend`: list of (colour, text).
    checkpoints : list of MemberRow
    ensembles : list of EnsembleRow
    splits : list of SplitRow
        How the labelled scenes were divided; `split_notes`: list of (group, note).
    refit : bool
        Whether new scenes are predicted by a model that was trained on all labelled scenes.
    findings : list of dict
        Rows of ``quality/inputs.tsv``.
    scenes, training, held_out : int
        How many are predicted, labelled, and have truth that no model trained on.
    mean_held_out, mean_out_of_fold : float or None
        Mean Jaccard over classes.
    versions : list of (name, version)
    recipe : str
        Digest.

    Returns
    -------
    str
        HTML that stands alone but for the pictures and the pages of the classes; well below 200 KB.
    """
    checkpoints = values["checkpoints"]
    return _page("index.html").render(
        values
        | {
            "shifts": worst_first(values["shifts"]),
            "shift_rows": SHIFT_ROWS,
            "by_group": GROUP,
            "unplaced": UNPLACED,
            "low_confidence": LOW_CONFIDENCE,
            "finding_rows": FINDING_ROWS,
            "split_rows": SPLIT_ROWS,
            "has_curves": len(checkpoints) <= CURVE_ROWS and any(curve_points(row.loss) for row in checkpoints),
            "curve_size": CURVE_SIZE,
        }
    )


def class_html(row: ClassRow, others: Sequence[str], legend: Sequence[tuple[str, str]]) -> str:
    """The page of a class.

    Parameters
    ----------
    row : ClassRow
    others : sequence of str
        Names of all classes, for links.
    legend : sequence of (colour, text)
        Of all figures; what begins with ``outline`` is shown as a line.
    """
    return _page("class.html").render(row=row, others=others, legend=legend)


@cache
def _page(template: str) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=lambda value, digits=3: text.number(value, digits),
        percent=lambda value: text.NOTHING if value is None else f"{100 * value:.0f} %",
        duration=text.duration,
        memory=lambda value: text.NOTHING if value is None else text.gigabytes(value * 2**20),
        count=lambda value, *nouns: f"{value} {text.plural(value, *nouns)}",
        curve=curve_points,
        median=median,
    )
    environment.globals |= {"class_page": class_page}
    return environment.get_template(template)
