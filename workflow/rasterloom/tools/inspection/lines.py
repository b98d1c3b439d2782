"""The lines of an inspection, for a terminal of 100 columns. Pure functions."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import numpy as np

from rasterloom.dataset import Dataset, Scene
from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.grouping import grouped
from rasterloom.raster.georeference import crs_name, ground_distance, orientation
from rasterloom.report.findings import REMEDIES, STOPS, Finding
from rasterloom.text import counted, few, number, share, span, table
from rasterloom.tools.inspection.found import Found
from rasterloom.tools.inspection.names import parse
from rasterloom.tools.inspection.survey import Band, Look, Survey

WIDTH = 100
"""Columns of a terminal."""

SHOWN = 4
"""Places that are named of a finding unless all are asked for."""

LONG = 60
"""Characters beyond which a place has a line of its own."""


def report(found: Found, seen: Survey, findings: Sequence[Finding], all_: bool) -> list[str]:
    """Every line of the inspection, but for what to do next."""
    head = [line for how, start in zip(found.how, ["data", *[""] * 99], strict=False) for line in headed(start, how)]
    if not found.dataset.scenes:
        return [*head, *(finding_lines(findings, all_) if findings else [])]
    read = f"{share(seen.share)} of the rows, in strips over each image; `--full` reads every pixel"
    return [
        *head,
        *headed("values", "every pixel" if seen.share >= 1 else read),
        *scene_lines(found.dataset, seen.looks[found.dataset.reference], all_),
        *(line for name in found.sensors for line in ["", *sensor_lines(found, name, seen)]),
        *label_lines(found.dataset, seen),
        *finding_lines(findings, all_),
    ]


def wrapped(line: str, hang: int, width: int = WIDTH) -> list[str]:
    """A line broken at blanks so that it fits; the lines that follow are indented by `hang`."""
    lead = line[: len(line) - len(line.lstrip())]
    wrapper = textwrap.TextWrapper(width, lead, " " * hang, break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(line.strip()) or [""]


def headed(head: str, text: str, hang: int = 10) -> list[str]:
    """A text behind a word in the first column."""
    return wrapped(f"{head:{hang}}{text}", hang)


def tallied(values: Iterable[str]) -> str:
    """What occurs, with how often where it is not all the same.

    Examples
    --------
    >>> tallied(["uint16", "uint16"]), tallied(["uint16", "uint8", "uint16"])
    ('uint16', 'uint16 (2), uint8 (1)')
    """
    counts = Counter(values).most_common()
    return counts[0][0] if len(counts) == 1 else few((f"{value} ({many})" for value, many in counts), most=6)


def _size(looks: Sequence[Look]) -> str:
    return f"{span([look.info.width for look in looks])} x {span([look.info.height for look in looks])}"


# Scenes ------------------------------------------------------------------------------------------------

_ROLES = {"train": "labelled", "truth": "held-out truth", "predict": "to predict", "other": "other"}


def scene_lines(dataset: Dataset, looks: Mapping[str, Look], all_: bool) -> list[str]:
    """How many scenes of what kind; one line for each kind (role, sensors, classes), or with `all_` for each scene."""
    scenes = list(dataset.scenes.values())
    order = list(_ROLES.values())
    roles = Counter(map(_role, scenes))
    grounds = Counter(scene.ground for scene in scenes)
    twins = sum(many > 1 for many in grounds.values())
    same = f"; {counted(len(grounds), 'ground')}, {twins} of them in more than one scene" if twins else ""
    counts = ", ".join(f"{roles[role]} {role}" for role in order if role in roles)
    said = ((_role(scene), " ".join(scene.sensors), _classes(scene, dataset), scene.id * all_) for scene in scenes)
    kinds = grouped(zip(said, scenes, strict=True))
    rows = [["", "role", "sensors", "size of the reference", "labels", "", "empty"]]
    for (role, sensors, classes, _), group in sorted(kinds.items(), key=lambda entry: order.index(entry[0][0])):
        seen = [looks[scene.id] for scene in group if scene.id in looks]
        ids = group[0].id if len(group) == 1 else f"{group[0].id} ... {group[-1].id}"
        # how much of a scene is without data, or 0 in every band
        empty = sum(look.missing + look.black for look in seen) / max(1, sum(look.pixels for look in seen))
        size = _size(seen) if seen else "unreadable"
        rows.append([str(len(group)), role, sensors, size, classes, ids, share(empty) if seen else "-"])
    shown = table([row[1:] for row in rows], right=[5]) if all_ else table([row[:-1] for row in rows], right=[0])
    return [*headed("scenes", f"{len(scenes)}: {counts}{same}"), *shown]


def _role(scene: Scene) -> str:
    return _ROLES["truth" if scene.truth else scene.role]


def _classes(scene: Scene, dataset: Dataset) -> str:
    """The classes labelled in a scene, shortly."""
    names = scene.labelled
    if len(names) == len(dataset.classes) > 3:
        return f"all {len(names)} classes"
    return " ".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "") or "-"


# Sensors -----------------------------------------------------------------------------------------------


def sensor_lines(found: Found, name: str, survey: Survey) -> list[str]:
    """A sensor's files, size, type, georeference, no-data, and a table of the values of each band."""
    files = sum(len(scene.sensors.get(name, ())) for scene in found.dataset.scenes.values())
    title = f"{name}{' (reference)' * (name == found.dataset.reference)}: {counted(files, 'file')}"
    looks = list(survey.looks[name].values())
    if not looks:
        return headed("sensor", f"{title}, none that could be read")
    drivers, types = tallied(look.files[0].driver for look in looks), tallied(look.files[0].stored for look in looks)
    bands = tallied(counted(look.info.bands, "band") for look in looks)
    what = f"{title} in {counted(len(looks), 'scene')} ({drivers}), {bands}, {types}, {_size(looks)} pixels"
    lines = [*headed("sensor", what), *headed("  ground", _ground(looks), 12)]
    if survey.covers[name]:
        covers = f"covers {span([100 * cover for cover in survey.covers[name].values()], '{:.0f}'.format)} %"
        placed = all(look.info.transform is not None for look in looks)
        text = f"{covers} of the reference" if placed else "without georeference: stretched over the reference"
        lines += headed("  overlap", text, 12)
    return [*lines, *headed("  no-data", _no_data(looks), 12), *_value_lines(found, name, survey.usual(name))]


def _ground(looks: Sequence[Look]) -> str:
    infos = [look.info for look in looks]
    names = tallied(crs_name(info) for info in infos)
    placed = [info for info in infos if info.transform is not None]
    if not placed:
        return names
    matrices = np.abs(np.array([info.transform for info in placed])[:, :, :2])
    wide, high = np.hypot(*matrices[:, :, 0].T).tolist(), np.hypot(*matrices[:, :, 1].T).tolist()
    metres = [distance for info in placed if (distance := ground_distance(info)) is not None]
    pixel = f"{span(metres, '{:.3g}'.format)} m" if metres else ""
    if not metres or abs(wide[0] - metres[0]) > 0.01 * metres[0]:
        pixel += f"{', ' * bool(metres)}{span(wide)} x {span(high)} map units"
    return f"{names}; pixel {pixel}; {tallied(orientation(info) for info in placed)}"


def _no_data(looks: Sequence[Look]) -> str:
    numbers = [look.info.nodata for look in looks]
    marks = tallied("not declared" if value is None else f"the value {number(value)}" for value in numbers)
    files = [file for look in looks for file in look.files]
    marks += ", an alpha band" * any(file.alpha is not None for file in files)
    marks += ", a mask" * any(file.masked for file in files)
    pixels = sum(look.pixels for look in looks)
    black = sum(look.black for look in looks) / pixels
    more = f"; {share(black)} more are 0 in all bands" if black else ""
    return f"{marks}: {share(sum(look.missing for look in looks) / pixels)} of the pixels without data{more}"


def _value_lines(found: Found, name: str, looks: Mapping[str, Look]) -> list[str]:
    """A table of the values of each band over all scenes, and what they tell about their depth."""
    rows = [["band", "", "min", "2 %", "median", "98 %", "max", "zeros"]]
    for index, label in enumerate(band_names(found, name, looks), 1):
        rows.append([str(index), label, *values([look.bands[index - 1] for look in looks.values()])])
    lines = table(rows, right=[0, *range(2, 8)], indent=12)
    lines[0] = "  values".ljust(12) + lines[0][12:]
    return [*lines, *wrapped(" " * 12 + _depth(list(looks.values())), 12)]


def values(bands: Sequence[Band]) -> list[str]:
    """Range, percentiles and share of zeros of a band in several images."""
    filled = [(b.facts.low, b.facts.high) for b in bands if b.facts.low is not None and b.facts.high is not None]
    if not filled:
        return [number(None)] * 5 + [share(0)]
    samples = np.concatenate([part for band in bands for part in band.sample])
    middle = np.percentile(samples, [2, 50, 98], method="nearest") if samples.size else [np.nan] * 3
    lows, highs = zip(*filled, strict=True)
    zeros = sum(band.zeros for band in bands) / sum(band.count for band in bands)
    return [*(number(float(value)) for value in (min(lows), *middle, max(highs))), share(zeros)]


def _depth(looks: Sequence[Look]) -> str:
    """What the values tell about their depth."""
    filled = [band.facts for look in looks for band in look.bands if band.facts.low is not None]
    if not filled:
        return "no values"
    top, lowest = max(band.high or 0 for band in filled), min(band.low or 0 for band in filled)
    integers = all(look.whole for look in looks)
    depth = bits(top) if integers and lowest >= 0 else None
    text = f"the values fit in {depth} bits" if depth else "integers" if integers else "floating-point numbers"
    if integers and all(np.dtype(look.files[0].stored).kind == "f" for look in looks):
        text += ", integers stored as floating-point numbers"
    if depth and top + 1 == 2**depth:
        text += f"; the maximum, {number(top)}, is the end of the range"
    return text


def bits(high: float) -> int | None:
    """How many bits whole numbers up to `high` need: 8, or 10 to 16 as sensors have them; None for more.

    Examples
    --------
    >>> bits(255), bits(1733), bits(2047), bits(16383), bits(70_000)
    (8, 11, 11, 14, None)
    """
    return next((n for n in (8, *range(10, 17)) if high < 2**n), None)


def band_names(found: Found, name: str, looks: Mapping[str, Look]) -> list[str]:
    """What the bands of a sensor are called: by the files, by their names (``B04``), or '' where neither says."""
    if found.dataset.layout == "dstl":
        return list(SENSORS[name].bands)
    scene, seen = next(iter(looks.items()))
    names: list[str] = []
    for file, info in zip(found.dataset.scenes[scene].sensors[name], seen.files, strict=True):
        colours = ["" if colour in ("gray", "grey", "undefined") else colour for colour in info.colours]
        colours += [""] * (info.bands - len(colours))
        own = [called or colour for called, colour in zip(info.names or colours, colours, strict=True)]
        bands = file.bands or [band + 1 for band in info.data_bands]
        picked = [band if isinstance(band, str) else own[band - 1] for band in bands]
        named = parse(PurePath(PurePath(file.path).name))
        names += [named.band] if named and named.band and picked == [""] else picked
    return names


# Labels and findings -----------------------------------------------------------------------------------


def label_lines(dataset: Dataset, seen: Survey) -> list[str]:
    """One line for each class: where it is, how much of it, how large its objects are."""
    if not any(scene.labelled for scene in dataset.scenes.values()):
        return ["", "labels    none: no model can be trained or scored on this data set"]
    rows = [["class", "labelled", "with it", "objects", "area", "smallest", "median", "largest", "invalid", "outside"]]
    infos = {scene: look.info for scene, look in seen.looks[dataset.reference].items()}
    for name in dataset.classes:
        by_scene, facts = seen.areas[name], seen.facts[name].values()
        areas = np.concatenate([np.zeros(0), *by_scene.values()])
        pixels = sum(infos[scene].width * infos[scene].height for scene in by_scene)
        sizes = [np.min(areas), np.median(areas), np.max(areas)] if areas.size else []
        numbers = [len(by_scene), sum(own.size > 0 for own in by_scene.values()), areas.size]
        invalid = sum(found.get("mended", 0) + found.get("no-area", 0) for found in facts)
        outside = sum(found.get("outside", 0) + found.get("elsewhere", 0) for found in facts)
        cells = [*map(str, numbers), share(float(areas.sum()) / pixels) if pixels else "-"]
        cells += [f"{size:.3g}" if size < 1000 else f"{size:.0f}" for size in sizes] or ["-"] * 3
        rows.append([name, *cells, str(invalid or "-"), str(outside or "-")])
    head = "labelled: scenes labelled for the class; with it: those that have it; area: its share of them, then "
    head += "sizes of objects in pixels of the reference"
    return ["", *headed("labels", head), *table(rows, right=range(1, 10))]


def finding_lines(findings: Iterable[Finding], all_: bool) -> list[str]:
    """What is odd, where, and its remedy; ``!`` before what a run would stop at, which comes first.

    Examples
    --------
    >>> finding_lines([Finding(f"t{n}", "pan", "", "float64", "") for n in range(6)], False)[2:]
    ['  - float64, pan (6): t0, t1, t2, t3, ...', '      read as float32; nothing to do']
    """
    kinds: dict[tuple[bool, str, str], list[str]] = defaultdict(list)
    for found in findings:
        place = found.scene or found.file
        text = f"{place} ({found.detail})" if place and found.detail else place or found.detail
        kinds[found.finding not in STOPS, found.finding, found.source].append(text)
    lines = ["", "findings  (! would stop a run)" if kinds else "findings  none"]
    for (goes_on, finding, source), places in sorted(kinds.items(), key=lambda kind: kind[0][0]):
        shown = places if all_ or len(places) <= SHOWN else [*places[:SHOWN], "..."]
        title = f"  {'-' if goes_on else '!'} {finding}{f', {source}' if source else ''}"
        title += f" ({len(places)}):" if len(places) > 1 else ":"
        if len(places) > 1 and max(map(len, shown)) > LONG:
            lines += [title, *(line for text in shown for line in wrapped(f"      {text}", 8))]
        else:
            lines += wrapped(f"{title} {', '.join(shown)}", 6)
        lines += wrapped(f"      {REMEDIES[finding]}", 6) if REMEDIES[finding] else []
    return lines
