"""The lines of an inspection, for a terminal of 100 columns. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan

import numpy as np

from rasterloom.dataset import Dataset, Scene
from rasterloom.raster.georeference import ground_distance
from rasterloom.tools.inspection.found import Found
from rasterloom.tools.inspection.labels import Labels
from rasterloom.tools.inspection.pixels import Look, bits
from rasterloom.tools.inspection.survey import Survey, band_names, crs_name, orientation, pixel_size, sensor_values

WIDTH = 100
"""Columns of a terminal."""


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = (), indent: int = 2) -> list[str]:
    """Rows as lines with aligned columns; columns in `right` are aligned to the right.

    Examples
    --------
    >>> table([["a", "1"], ["bc", "20"]], right=[1], indent=0)
    ['a    1', 'bc  20']
    """
    if not rows:
        return []
    to_right = set(right)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        (
            " " * indent
            + "  ".join(
                cell.rjust(width) if column in to_right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    ]


def wrapped(line: str, hang: int, width: int = WIDTH) -> list[str]:
    """A line broken at blanks so that it fits; the lines that follow are indented by `hang`."""
    import textwrap

    lead = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(),
        width,
        initial_indent=lead,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def number(value: float) -> str:
    """A number in as few characters as tell it; ``-`` for none.

    Examples
    --------
    >>> [number(v) for v in (float("nan"), 3, 1733.0, 0.123456, 16383, 1234567)]
    ['-', '3', '1733', '0.1235', '16383', '1.235e+06']
    """
    if isnan(value):
        return "-"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.4g}"


def share(value: float) -> str:
    """A share in percent.

    Examples
    --------
    >>> [share(v) for v in (0, 0.00004, 0.0123, 0.5, 1, 0.9999)]
    ['0 %', '0.004 %', '1.2 %', '50 %', '100 %', '> 99.9 %']
    """
    if value in (0, 1):
        return f"{value:.0%}".replace("%", " %")
    percent = 100 * value
    if percent > 99.9:
        return "> 99.9 %"
    digits = 0 if percent >= 10 else 1 if percent >= 1 else 2 if percent >= 0.01 else 3
    return f"{percent:.{digits}f} %"


def span(values: Sequence[float], show: Callable[[float], str] = number) -> str:
    """The least and the greatest, or the one that all are.

    Examples
    --------
    >>> span([438, 439]), span([438, 438])
    ('438..439', '438')
    """
    low, high = show(min(values)), show(max(values))
    return low if low == high else f"{low}..{high}"


def counted(values: Iterable[str]) -> str:
    """What occurs, with how often where it is not all the same.

    Examples
    --------
    >>> counted(["uint16", "uint16"]), counted(["uint16", "uint8", "uint16"])
    ('uint16', 'uint16 (2), uint8 (1)')
    """
    counts = Counter(values).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{value} ({many})" for value, many in counts)


def many(count: int, what: str) -> str:
    """A number and a noun."""
    return f"{count} {what}{'s' * (count != 1)}"


# Scenes ------------------------------------------------------------------------------------------------


def scene_lines(dataset: Dataset, looks: Mapping[str, Mapping[str, Look]], all_: bool) -> list[str]:
    """How many scenes of what kind; a line a kind (role, sensors and classes), or with `all_` a line a scene."""
    scenes = list(dataset.scenes.values())
    roles = [_role(scene) for scene in scenes]
    counts = [f"{roles.count(role)} {role}" for role in dict.fromkeys(sorted(roles, key=_ORDER.index))]
    grounds = Counter(scene.ground for scene in scenes)
    twins = [many_ for many_ in grounds.values() if many_ > 1]
    same = f"; {many(len(grounds), 'ground')}, {len(twins)} of them in more than one scene" if twins else ""
    lines = wrapped(f"scenes    {len(scenes)}: {', '.join(counts)}{same}", 10)
    kinds: dict[tuple[str, str, str], list[Scene]] = defaultdict(list)
    for scene in scenes:
        classes = counted_classes(scene, dataset)
        kind = (_role(scene), " ".join(scene.sensors), classes)
        kinds[(*kind[:2], f"{kind[2]} {scene.id}") if all_ else kind].append(scene)
    rows = [["", "role", "sensors", "size of the reference", "labels", "", *(["empty"] if all_ else [])]]
    for (role, sensors, _), group in sorted(kinds.items(), key=lambda entry: _ORDER.index(entry[0][0])):
        seen = [look for scene in group if (look := looks[dataset.reference].get(scene.id)) is not None]
        size = f"{span([s.info.width for s in seen])} x {span([s.info.height for s in seen])}" if seen else "unreadable"
        ids = group[0].id if len(group) == 1 else f"{group[0].id} ... {group[-1].id}"
        row = [str(len(group)), role, sensors, size, counted_classes(group[0], dataset), ids]
        # a look at each scene: how much of it is without data, or 0 in every band
        empty = sum(look.missing + look.black for look in seen) / max(1, sum(look.pixels for look in seen))
        rows.append([*row, share(empty) if seen else "-"] if all_ else row)
    return [*lines, *table([row[1:] for row in rows] if all_ else rows, right=[5] if all_ else [0])]


_ORDER = ["labelled", "held-out truth", "to predict", "other"]


def _role(scene: Scene) -> str:
    if scene.truth:
        return "held-out truth"
    return {"train": "labelled", "predict": "to predict", "other": "other"}[scene.role]


def counted_classes(scene: Scene, dataset: Dataset) -> str:
    """The classes labelled in a scene, shortly."""
    names = list(scene.labelled)
    if not names:
        return "-"
    if len(names) == len(dataset.classes) > 3:
        return f"all {len(names)} classes"
    return " ".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "")


# Sensors -----------------------------------------------------------------------------------------------


def sensor_lines(found: Found, survey: Survey) -> list[str]:
    """A block a sensor: files, size, type, georeference, no-data, and a table of values a band."""
    lines = []
    for name in found.sensors:
        seen = survey.looks[name]
        lines += ["", *_sensor_head(found, name, seen)]
        if not seen:
            continue
        lines += wrapped(f"  ground    {_ground(seen)}", 12)
        if survey.covers.get(name):
            covers = list(survey.covers[name].values())
            placed = all(look.info.transform is not None for look in seen.values())
            text = f"covers {span([100 * c for c in covers], lambda v: f'{v:.0f}')} % of the reference"
            lines += [f"  overlap   {text if placed else 'without georeference: stretched over the reference'}"]
        lines += wrapped(f"  no-data   {_no_data(seen)}", 12)
        lines += _value_lines(found, name, seen)
    return lines


def _sensor_head(found: Found, name: str, seen: Mapping[str, Look]) -> list[str]:
    files = sum(len(scene.sensors.get(name, ())) for scene in found.dataset.scenes.values())
    tag = " (reference)" if name == found.dataset.reference else ""
    if not seen:
        return [f"sensor    {name}{tag}: {many(files, 'file')}, none that could be read"]
    infos = [look.info for look in seen.values()]
    types = counted(look.headers[0].dtype or look.info.dtype for look in seen.values())
    formats = counted(look.headers[0].driver or "TIFF" for look in seen.values())
    bands = counted(many(info.bands, "band") for info in infos)
    size = f"{span([i.width for i in infos])} x {span([i.height for i in infos])} pixels"
    where = f"{many(files, 'file')} in {many(len(seen), 'scene')}"
    return wrapped(f"sensor    {name}{tag}: {where} ({formats}), {bands}, {types}, {size}", 10)


def _ground(seen: Mapping[str, Look]) -> str:
    infos = [look.info for look in seen.values()]
    text = counted(crs_name(info) for info in infos)
    sizes = [size for info in infos if (size := pixel_size(info)) is not None]
    if not sizes:
        return text
    metres = [distance for info in infos if (distance := ground_distance(info)) is not None]
    units = f"{span([s[0] for s in sizes])} x {span([s[1] for s in sizes])}"
    pixel = f"pixel {span(metres, lambda v: f'{v:.3g}')} m" if metres else f"pixel {units} map units"
    if metres and abs(sizes[0][0] - metres[0]) > 0.01 * metres[0]:
        pixel += f" ({units} map units)"
    angles = [orientation(info) for info in infos]
    turned = any(abs(angle) > 0.01 or mirrored for angle, mirrored in angles)
    north = f"rotated by {span([a for a, _ in angles], lambda v: f'{v:.1f}')} degrees" if turned else "north up"
    return f"{text}; {pixel}; {north}"


def _no_data(seen: Mapping[str, Look]) -> str:
    marks = counted(
        "none named" if look.nodata is None else f"the number {number(look.nodata)}" for look in seen.values()
    )
    alpha = any("alpha" in header.bands for look in seen.values() for header in look.headers)
    pixels = sum(look.pixels for look in seen.values())
    missing = sum(look.missing for look in seen.values()) / pixels
    black = sum(look.black for look in seen.values()) / pixels
    masked = any(header.masked for look in seen.values() for header in look.headers)
    others = f"{', an alpha band' if alpha else ''}{', a mask' if masked else ''}"
    text = f"{marks}{others}: {share(missing)} of the pixels without data"
    return text + (f"; {share(black)} more are 0 in every band" if black else "")


def _value_lines(found: Found, name: str, seen: Mapping[str, Look]) -> list[str]:
    names, values = band_names(found, name, seen), sensor_values(seen)
    whole = all(band.whole for look in seen.values() for band in look.bands)
    top = max((value.high for value in values if not isnan(value.high)), default=float("nan"))
    rows = [["band", "", "least", "2 %", "median", "98 %", "greatest", "zeros"]]
    for index, (label, value) in enumerate(zip([*names, *[""] * len(values)], values, strict=False), 1):
        numbers = [number(v) for v in (value.low, value.p2, value.p50, value.p98, value.high)]
        rows.append([str(index), label, *numbers, share(value.zeros)])
    lines = table(rows, right=[0, 2, 3, 4, 5, 6, 7], indent=12)
    lines[0] = "  values".ljust(12) + lines[0][12:]
    return [*lines, *wrapped(" " * 12 + _depth(seen, whole, top), 12)]


def _depth(seen: Mapping[str, Look], whole: bool, top: float) -> str:
    """What the values tell about their depth."""
    if isnan(top):
        return "no values at all"
    dtypes = {look.headers[0].dtype or look.info.dtype for look in seen.values()}
    real = all(np.dtype(dtype).kind == "f" for dtype in dtypes)
    lowest = min((band.low for look in seen.values() for band in look.bands if band.count), default=0.0)
    depth = bits(top) if whole and lowest >= 0 else None
    text = f"the values fit in {depth} bits" if depth else f"{'whole' if whole else 'real'} numbers"
    if real and whole:
        text += ", whole numbers stored as real ones"
    if depth and top + 1 == 2**depth:
        text += f"; the greatest value, {number(top)}, is the end of the range"
    return text


# Labels ------------------------------------------------------------------------------------------------


def label_lines(dataset: Dataset, classes: Mapping[str, Mapping[str, Labels]]) -> list[str]:
    """A line a class: where it is, how much of it, how large its objects are."""
    labelled = [scene for scene in dataset.scenes.values() if scene.labelled]
    if not labelled:
        return ["", "labels    none: nothing can be learnt, or scored, from this data set"]
    rows = [["class", "labelled", "with it", "objects", "area", "smallest", "median", "largest", "invalid", "outside"]]
    for name in dataset.classes:
        seen = classes.get(name, {})
        areas = np.concatenate([labels.areas for labels in seen.values()] or [np.zeros(0)])
        pixels = sum(labels.pixels for labels in seen.values())
        there = sum(bool(labels.areas.size) for labels in seen.values())
        sizes = (
            [f"{v:.3g}" if v < 1000 else f"{v:.0f}" for v in (areas.min(), np.median(areas), areas.max())]
            if areas.size
            else ["-"] * 3
        )
        faults = [sum(labels.invalid for labels in seen.values()), sum(labels.outside for labels in seen.values())]
        rows.append(
            [name, str(len(seen)), str(there), str(areas.size), share(float(areas.sum()) / pixels) if pixels else "-"]
            + sizes
            + [str(fault) if fault else "-" for fault in faults]
        )
    head = "labels    scenes labelled for the class, and with it; its share of their area; objects in reference pixels"
    return ["", *wrapped(head, 10), *table(rows, right=range(1, 10))]


def report(
    found: Found, survey: Survey, classes: Mapping[str, Mapping[str, Labels]], odd: Sequence[str], all_: bool
) -> list[str]:
    """Every line of the inspection, but for what to do next."""
    starts = ["data", *[""] * len(found.how)]
    head = [line for how, start in zip(found.how, starts, strict=False) for line in wrapped(f"{start:10}{how}", 10)]
    if not found.dataset.scenes:
        return [*head, *(_oddity_lines(odd) if odd else [])]
    read = (
        "every pixel was read"
        if survey.share >= 1
        else f"of {share(survey.share)} of the rows, in strips over each image; `--full` reads every pixel"
    )
    return [
        *head,
        f"values    {read}",
        *scene_lines(found.dataset, survey.looks, all_),
        *sensor_lines(found, survey),
        *label_lines(found.dataset, classes),
        *_oddity_lines(odd),
    ]


def _oddity_lines(odd: Sequence[str]) -> list[str]:
    if not odd:
        return ["", "oddities  none"]
    lines = ["", "oddities  (! cannot be used in a run as it is)"]
    for line in odd:
        more = line.startswith("    ")
        lines += wrapped(f"  {line}" if more or line.startswith("!") else f"  - {line.strip()}", 8 if more else 6)
    return lines
