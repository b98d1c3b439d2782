"""What file names say: which images are of one scene, by which sensor, and which are labels of what. Pure functions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from rasterloom.dataset.sheet import COLUMNS

_WORDS: Mapping[str, str] = {
    "pan": "pan panchromatic panchro",
    "ms": "ms mul mss multi multispectral mspec msi",
    "rgb": "rgb truecolor truecolour visual vis",
    "nir": "nir cir nrg",
    "irrg": "irrg",
    "rgbi": "rgbi rgbir rgbn rgbnir",
    "swir": "swir",
    "sar": "sar radar",
    "dsm": "dsm ndsm",
    "dtm": "dtm dem",
    "thermal": "thermal tir lwir",
}

SENSOR_WORDS: Mapping[str, str] = {word: name for name, words in _WORDS.items() for word in words.split()}
"""What a part of a name calls a sensor, and what the sensor is called then."""

LETTERS = frozenset("pma")
"""Sensors of a single letter, as the Dstl files have them; only behind the scene's name, and beside another sensor."""

SHARPENED = frozenset({"ps", "pansharpen", "pansharpened", "sharpened"})


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


LABEL_WORDS = _set(
    "mask masks label labels lbl gt groundtruth truth annotation annotations annot target targets segmentation seg "
    "geojson geojsons footprint footprints fp polygons shapes vectors"
)
"""Parts of a name of a file or folder that say: these are labels."""

GENERIC = _set(
    "image images img imgs raster rasters tif tiff tifs tiffs tile tiles chip chips data dataset raw input inputs "
    "scene scenes train training val validation test testing band bands three sixteen sat satellite ortho "
    "orthophoto"
)
"""Parts of a name of a folder that say nothing of scene, sensor or class."""

NOISE = GENERIC | SHARPENED | _set("from of the and binary sample vector file json")
"""Parts of a label's name that are not what its class is called."""

_BAND = re.compile(r"(?:(?P<key>.*?)[_-])?(?P<band>B(?:0?[1-9]|1[0-2]|8A))(?:[_-](?P<metres>10|15|20|30|60)m)?", re.I)

_PRODUCT_PART = re.compile(
    r".*_(TCI|AOT|WVP|SCL|PVI|MSK_\w+|B?QA(_PIXEL|_RADSAT|_AEROSOL)?|ST_\w+|[SV][AZ]A)(_\d\dm)?", re.I
)
"""Sentinel-2 and Landsat: what comes in a product beside its bands."""

_RESOLUTION_FOLDER = re.compile(r"R\d\dm|IMG_DATA|GRANULE|[^/]*\.SAFE|L[12][AC]_.*", re.I)


@dataclass(frozen=True)
class Named:
    """What the path of a file says.

    Attributes
    ----------
    path : PurePath
        Relative to the folder that is inspected.
    folders : tuple of str
        Folders that may tell scenes (of an image) or classes (of a label) apart.
    key : str
        What is left of the name without the words for sensor and label; '' if nothing is.
    sensor : str or None
        None: the name says none.
    band : str or None
        Of a file that holds one band of a product, such as ``B02``.
    label : bool
    """

    path: PurePath
    folders: tuple[str, ...]
    key: str
    sensor: str | None = None
    band: str | None = None
    label: bool = False


def parts(text: str) -> list[str]:
    """The parts of a name between underscores, hyphens, dots and blanks."""
    return [part for part in re.split(r"[\s._-]+", text) if part]


def parse(path: PurePath, label: bool = False) -> Named | None:
    """What a path says on its own; None for what a product holds beside its bands (quality, previews).

    `label`: it holds labels whatever its name says, as a vector file does.

    Examples
    --------
    >>> parse(PurePath("S1_PAN.tif")).sensor, parse(PurePath("pan/S1.tif")).key, parse(PurePath("pan1.tif")).key
    ('pan', 'S1', '1')
    >>> parse(PurePath("masks/rio_50.tif")).label
    True
    """
    stem, folders = path.stem, list(path.parent.parts)
    if _PRODUCT_PART.fullmatch(stem) or "QI_DATA" in folders or "AUX_DATA" in folders:
        return None
    words = [word.lower() for word in parts(stem)]
    label = label or bool(LABEL_WORDS & set(words)) or any(_label_folder(folder) for folder in folders)
    found = _BAND.fullmatch(stem)
    if found and not label:
        kept = tuple(folder for folder in folders if not _RESOLUTION_FOLDER.fullmatch(folder) and not _plain(folder))
        return Named(path, kept, found["key"] or "", None, _band_name(found["band"]))
    kept = tuple(folder for folder in folders if not _plain(folder))
    if label:
        return Named(path, kept, stem, None, None, True)
    key, sensor = _sensor_of_stem(stem)
    if sensor is None:
        named = [_sensor_of_words(parts(folder)) for folder in reversed(folders)]
        sensor = next((name for name in named if name), None)
    return Named(path, kept, _without_generic(key), sensor)


def _band_name(text: str) -> str:
    """``B2`` and ``b02`` become ``B02``."""
    number = text[1:].upper()
    return f"B{int(number):02d}" if number.isdecimal() else f"B{number}"


def _label_folder(folder: str) -> bool:
    return bool(LABEL_WORDS & {word.lower() for word in parts(folder)})


def _plain(folder: str) -> bool:
    """Whether a folder's name is made of words for sensors, labels, or nothing in particular."""
    known = GENERIC | LABEL_WORDS | SHARPENED | set(SENSOR_WORDS)
    return all(word.lower() in known for word in parts(folder))


def _sensor_of_words(words: Sequence[str]) -> str | None:
    """The sensor that a folder's name names."""
    lowered = [word.lower() for word in words]
    names = [SENSOR_WORDS[word] for word in lowered if word in SENSOR_WORDS]
    if not names:
        return None
    return "ps_ms" if names[0] == "ms" and SHARPENED & set(lowered) else names[0]


def _sensor_of_stem(stem: str) -> tuple[str, str | None]:
    """What a stem is without its word for a sensor, and the sensor."""
    tokens = [(found.start(), found.end()) for found in re.finditer(r"[^\s._-]+", stem)]
    order = [len(tokens) - 1, 0, *range(1, len(tokens) - 1)]
    for index in dict.fromkeys(index for index in order if index >= 0):
        start, end = tokens[index]
        word = stem[start:end].lower()
        numbered = re.fullmatch(r"([a-z]+?)(\d+)", word)
        if word in SENSOR_WORDS or (word in LETTERS and index == len(tokens) - 1 and len(tokens) > 1):
            near = {stem[slice(*tokens[i])].lower() for i in (index - 1, index + 1) if 0 <= i < len(tokens)}
            sharp = bool(SHARPENED & near)
            name = "ps_ms" if sharp and SENSOR_WORDS.get(word) == "ms" else SENSOR_WORDS.get(word, word)
            return _without(stem, start, end), name
        if numbered and numbered[1] in SENSOR_WORDS and index in (0, len(tokens) - 1):
            cut = start + len(numbered[1])
            return stem[:start] + stem[cut:], SENSOR_WORDS[numbered[1]]
    return stem, None


def _without(stem: str, start: int, end: int) -> str:
    """A stem without the characters start..end, the separator beside them, and a word for sharpening beside that."""
    before, after = stem[:start].rstrip(" ._-"), stem[end:].lstrip(" ._-")
    sharp = "|".join(SHARPENED)
    before = re.sub(rf"(?:^|[\s._-]+)(?:{sharp})$", "", before, flags=re.I)
    after = re.sub(rf"^(?:{sharp}|intensity)(?:[\s._-]+|$)", "", after, flags=re.I)
    return f"{before}{stem[len(before)] if before and after else ''}{after}"


def _without_generic(key: str) -> str:
    """A key without words for nothing in particular at its ends, such as the ``sat`` of ``123_sat``."""
    cut = re.sub(rf"^(?:(?:{'|'.join(GENERIC | SHARPENED)})(?:[\s._-]+|$))+", "", key, flags=re.I)
    return re.sub(rf"(?:(?:^|[\s._-]+)(?:{'|'.join(GENERIC | SHARPENED)}))+$", "", cut, flags=re.I)


Place = tuple[tuple[str, ...], str]
"""Folders and key of a scene's images."""


@dataclass(frozen=True)
class Placed:
    """An image with the scene that it belongs to, and what its name says of sensor and band."""

    path: PurePath
    scene: str
    place: Place
    sensor: str | None = None
    band: str | None = None


def place_images(found: Iterable[Named], top: str) -> list[Placed]:
    """Scenes of images.

    Parameters
    ----------
    found : iterable of Named
        Images that are no labels.
    top : str
        Name of the folder that is inspected: the scene of images whose names say nothing of one.

    Returns
    -------
    list of Placed
        In the order given. Ids are valid (see `ID_PATTERN`); images of one scene have one id.
    """
    images = _lonely_letters([image for image in found if not image.label])
    images = _recurring_sensors(images)
    places: dict[PurePath, Place] = {}
    for image in images:
        folders, key = image.folders, image.key
        if not key:
            folders, key = (folders[:-1], folders[-1]) if folders else ((), top)
        # a band's folders are those of its product, which its own name repeats
        places[image.path] = ((), key) if image.band and image.key else (folders, key)
    ids = scene_ids(places.values())
    return [
        Placed(image.path, ids[places[image.path]], places[image.path], image.sensor, image.band) for image in images
    ]


def _lonely_letters(images: Sequence[Named]) -> list[Named]:
    """Sensors of one letter stay where the scene has another sensor, else the letter belongs to the scene's name."""
    by_scene: dict[Place, set[str | None]] = defaultdict(set)
    for image in images:
        by_scene[image.folders, image.key].add(image.sensor)
    return [
        replace(image, key=image.path.stem, sensor=None)
        if image.sensor in LETTERS and len(by_scene[image.folders, image.key]) == 1
        else image
        for image in images
    ]


def _recurring_sensors(images: Sequence[Named]) -> list[Named]:
    """Words that recur with every scene are sensors: ``a_left a_right b_left b_right``, or ``a/left b/left ...``."""
    silent = [image for image in images if image.sensor is None and image.band is None and image.key]
    tails = {image.path: re.fullmatch(r"(.+?)[\s._-]+([A-Za-z]{2,})", image.key) for image in silent}
    by_name = {image.path: ((*image.folders, match[1]), match[2]) for image in silent if (match := tails[image.path])}
    by_folder = {image.path: (image.folders, image.key) for image in silent if image.folders}
    for pairs, per_folder in ((by_folder, True), (by_name, False)):
        if pairs and recurrent(pairs.values()):
            return [
                replace(image, key="" if per_folder else str(pairs[image.path][0][-1]), sensor=pairs[image.path][1])
                if image.path in pairs
                else image
                for image in images
            ]
    return list(images)


def recurrent(pairs: Iterable[Place]) -> bool:
    """Whether the same two or more words, without digits, stand within each of two or more groups.

    Examples
    --------
    >>> recurrent([(("a",), "left"), (("a",), "right"), (("b",), "left"), (("b",), "right")])
    True
    >>> recurrent([(("a",), "1"), (("a",), "2"), (("b",), "1"), (("b",), "2")])
    False
    """
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for outer, inner in pairs:
        groups[outer].add(inner)
    sets = list(groups.values())
    same = len(sets) > 1 and all(words == sets[0] for words in sets)
    return same and len(sets[0]) > 1 and all(re.fullmatch(r"[A-Za-z]+", word) for word in sets[0])


def scene_ids(places: Iterable[Place]) -> dict[Place, str]:
    """A valid id for each place (folders and key): the key, with its folders before it where keys are not unique."""
    distinct = sorted(set(places))
    keys = [usable(key) for _, key in distinct]
    ids: dict[Place, str] = {}
    taken: set[str] = set()
    for (folders, key), plain in zip(distinct, keys, strict=True):
        name = plain if keys.count(plain) == 1 else usable("_".join([*folders, key]))
        number, unique = 2, name
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        ids[folders, key] = unique
    return ids


def usable(text: str) -> str:
    """A text as an id of a scene: letters, digits, dot, underscore and hyphen, beginning with a letter or digit."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text.encode("ascii", "ignore").decode())
    return re.sub(r"^[._-]+|[._-]+$", "", plain) or "scene"


def name_of(text: str) -> str:
    """A text as a name in the configuration: letters, digits and underscores, beginning with a letter."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.encode("ascii", "ignore").decode().lower()).strip("_")
    name = plain if plain[:1].isalpha() else f"c_{plain}" if plain else "objects"
    return f"{name}_" if name in COLUMNS else name


def match_label(label: Named, scenes: Mapping[str, Place], folders: Iterable[str]) -> tuple[str | None, str | None]:
    """The scene that a file of labels belongs to, and what its name calls the class.

    Parameters
    ----------
    label : Named
    scenes : mapping of str to (folders, key)
        By id; the key is what is left of the images' names without words for sensors.
    folders : iterable of str
        Folders of images: those of a label that are not among them name a class.

    Returns
    -------
    (id or None, word or None)
        The scene whose key stands in the name (the longest), or in the name of a folder; or the only scene whose
        key has the name in it.
    """
    words = parts(label.key)
    lowered = [word.lower() for word in words]
    above = [[word.lower() for word in parts(folder)] for folder in label.path.parent.parts]
    best: tuple[tuple[int, int, int], str, list[int]] | None = None
    for scene, (own_folders, key) in scenes.items():
        wanted = [word.lower() for word in parts(key)]
        at = within(wanted, lowered)
        if not at and wanted not in above:
            continue
        together = bool(at) and at[-1] - at[0] == len(at) - 1
        rank = (len(at) and 1 + together, len(wanted), len(set(own_folders) & set(label.path.parent.parts)))
        if best is None or rank > best[0]:
            best = (rank, scene, at)
    if best is None:
        bare = [word for word in lowered if word not in LABEL_WORDS | set(SENSOR_WORDS)]
        inside = [scene for scene, (_, key) in scenes.items() if within(bare, [w.lower() for w in parts(key)])]
        if len(inside) == 1:
            return inside[0], _class_word([], label, folders)
        return None, _class_word(words, label, folders)
    return best[1], _class_word([word for i, word in enumerate(words) if i not in best[2]], label, folders)


def within(wanted: Sequence[str], words: Sequence[str]) -> list[int]:
    """Where some words stand among others: next to each other, or at least in their order; [] if they do not.

    Examples
    --------
    >>> within(["a", "b"], ["x", "a", "b"]), within(["a", "b"], ["a", "x", "b"]), within(["a", "b"], ["b", "a"])
    ([1, 2], [0, 2], [])
    """
    for start in range(len(words) - len(wanted) + 1) if wanted else ():
        if list(words[start : start + len(wanted)]) == list(wanted):
            return list(range(start, start + len(wanted)))
    found: list[int] = []
    for word in wanted:
        rest = [i for i, other in enumerate(words) if other == word and (not found or i > found[-1])]
        if not rest:
            return []
        found.append(rest[0])
    return found


def _class_word(words: Sequence[str], label: Named, folders: Iterable[str]) -> str | None:
    """What is left of a label's name, or of the names of its folders, once everything else is taken away."""
    known = LABEL_WORDS | NOISE | set(SENSOR_WORDS)
    own = [word for word in words if word.lower() not in known and re.search(r"[A-Za-z]{2}", word)]
    if own:
        return "_".join(own).lower()
    images = set(folders)
    for folder in reversed(label.path.parent.parts):
        left = [word for word in parts(folder) if word.lower() not in known and re.fullmatch(r"[A-Za-z]{2,}", word)]
        if left and folder not in images:
            return "_".join(left).lower()
    return None
