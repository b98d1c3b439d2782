"""What file names say: which images are of one scene, by which sensor, and which are labels of what. Pure functions."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from rasterloom.dataset.sheet import COLUMNS
from rasterloom.grouping import grouped

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


def word_set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


SHARPENED = word_set("ps pansharpen pansharpened sharpened")

LABEL_WORDS = word_set(
    "mask masks label labels lbl gt groundtruth truth annotation annotations annot target targets segmentation seg "
    "geojson geojsons footprint footprints fp polygons shapes vectors"
)
"""Parts of a name of a file or folder that say: these are labels."""

GENERIC = SHARPENED | word_set(
    "image images img imgs raster rasters tif tiff tifs tiffs tile tiles chip chips data dataset raw input inputs "
    "scene scenes train training val validation test testing band bands three sixteen sat satellite ortho "
    "orthophoto"
)
"""Parts of a name that say nothing of scene, sensor or class."""

NOISE = GENERIC | LABEL_WORDS | SENSOR_WORDS.keys() | word_set("from of the and binary sample vector file json")
"""Parts of a label's name that are not what its class is called."""

_SEPARATOR = re.compile(r"([\s._-]+)")

_BAND = re.compile(r"(?:(?P<key>.*?)[_-])?B(?P<band>0?[1-9]|1[0-2]|8A)(?:[_-](?P<metres>10|15|20|30|60)m)?", re.I)

_PRODUCT_PART = re.compile(
    r".*_(TCI|AOT|WVP|SCL|PVI|MSK_\w+|B?QA(_PIXEL|_RADSAT|_AEROSOL)?|ST_\w+|[SV][AZ]A)(_\d\dm)?", re.I
)
"""Sentinel-2 and Landsat: what a product holds beside its bands."""

_PRODUCT_FOLDER = re.compile(r"R\d\dm|IMG_DATA|GRANULE|[^/]*\.SAFE|L[12][AC]_.*", re.I)

Place = tuple[tuple[str, ...], str]
"""Folders and key of a scene's images."""


@dataclass(frozen=True)
class Named:
    """What the path of a file says.

    Attributes
    ----------
    path : PurePath
        Relative to the folder that is inspected.
    place : (tuple of str, str)
        Folders that may tell scenes (of an image) or classes (of a label) apart, and the key: what is left of the
        file's name without the words for sensor and label; '' if nothing is.
    sensor : str or None
        None: the name says none.
    band : str or None
        Of a file that holds one band of a product, such as ``B02``.
    label : bool
    scene : str
        Id of the scene of an image; '' until `place_images` gives it.
    """

    path: PurePath
    place: Place
    sensor: str | None = None
    band: str | None = None
    label: bool = False
    scene: str = ""


def parts(text: str) -> list[str]:
    """The parts of a name between underscores, hyphens, dots and blanks, in small letters."""
    return [part for part in _SEPARATOR.split(text.lower())[::2] if part]


def parse(path: PurePath, label: bool = False) -> Named | None:
    """What a path says on its own; None for what a product holds beside its bands (quality, previews).

    `label`: the file holds labels whatever its name says, as a vector file does.

    Examples
    --------
    >>> parse(PurePath("S1_PAN.tif")).sensor, parse(PurePath("pan/S1.tif")).place, parse(PurePath("pan1.tif")).place
    ('pan', ((), 'S1'), ((), '1'))
    >>> parse(PurePath("masks/rio_50.tif")).label
    True
    """
    stem, above = path.stem, path.parent.parts
    if _PRODUCT_PART.fullmatch(stem) or "QI_DATA" in above or "AUX_DATA" in above:
        return None
    known = GENERIC | LABEL_WORDS | SENSOR_WORDS.keys()
    folders = tuple(folder for folder in above if not known.issuperset(parts(folder)))
    if label or not LABEL_WORDS.isdisjoint(word for text in (stem, *above) for word in parts(text)):
        return Named(path, (folders, stem), label=True)
    if found := _BAND.fullmatch(stem):
        folders = tuple(folder for folder in folders if not _PRODUCT_FOLDER.fullmatch(folder))
        return Named(path, (folders, found["key"] or ""), band=f"B{found['band'].upper():0>2}")
    words, sensor = _without_sensor(_SEPARATOR.split(stem))
    if sensor is None:
        sensor = next(filter(None, map(_sensor_of_folder, reversed(above))), None)
    while words and (not words[0] or words[0].lower() in GENERIC):
        words = words[2:]
    while words and (not words[-1] or words[-1].lower() in GENERIC):
        words = words[:-2]
    return Named(path, (folders, "".join(words)), sensor)


def _sensor_of_folder(folder: str) -> str | None:
    """The sensor that a folder's name names."""
    words = parts(folder)
    name = next((SENSOR_WORDS[word] for word in words if word in SENSOR_WORDS), None)
    return "ps_ms" if name == "ms" and not SHARPENED.isdisjoint(words) else name


def _without_sensor(words: list[str]) -> tuple[list[str], str | None]:
    """The words of a name, every second one a separator, without the word for a sensor; and the sensor."""
    lower, last = [word.lower() for word in words], len(words) - 1
    for at in dict.fromkeys((last, 0, *range(2, last, 2))):
        word = lower[at]
        if word in SENSOR_WORDS or (word in LETTERS and at == last > 0):
            near = {at + step for step in (-2, 2) if 0 <= at + step <= last}
            sharp = {other for other in near if lower[other] in SHARPENED}
            gone = {at, *sharp, *(other for other in near if other > at and lower[other] == "intensity")}
            left = [i for i in range(0, last + 1, 2) if i not in gone]
            # each word that is left comes with the separator before it
            kept = [part for i in left for part in words[max(i - 1, 0) : i + 1]]
            name = SENSOR_WORDS.get(word, word)
            return kept[left[0] > 0 :] if left else [], "ps_ms" if sharp and name == "ms" else name
        numbered = re.fullmatch(r"([a-z]+?)(\d+)", word)
        if numbered and numbered[1] in SENSOR_WORDS and at in (0, last):
            return [*words[:at], numbered[2], *words[at + 1 :]], SENSOR_WORDS[numbered[1]]
    return words, None


def place_images(images: Iterable[Named], top: str) -> list[Named]:
    """Images with the ids of their scenes.

    Parameters
    ----------
    images : iterable of Named
    top : str
        Name of the folder that is inspected: the scene of images whose names say nothing of one.

    Returns
    -------
    list of Named
        In the order given. Ids are valid (see `ID_PATTERN`); images of one scene have one id and one place.
    """
    placed = []
    for image in _recurring_sensors(_lonely_letters(list(images))):
        folders, key = image.place
        if not key:
            folders, key = (folders[:-1], folders[-1]) if folders else ((), top)
        elif image.band:  # the folders of a band are those of its product, which its own name repeats
            folders = ()
        placed.append(replace(image, place=(folders, key)))
    ids = scene_ids(image.place for image in placed)
    return [replace(image, scene=ids[image.place]) for image in placed]


def _lonely_letters(images: list[Named]) -> list[Named]:
    """Sensors of one letter stay where the scene has another sensor, else the letter belongs to the scene's name."""
    sensors = grouped((image.place, image.sensor) for image in images)
    lonely = {image for image in images if image.sensor in LETTERS and len({*sensors[image.place]}) == 1}
    return [replace(i, place=(i.place[0], i.path.stem), sensor=None) if i in lonely else i for i in images]


def _recurring_sensors(images: list[Named]) -> list[Named]:
    """Words that recur with every scene are sensors: ``a_left a_right b_left b_right``, or ``a/left b/left ...``."""
    silent = [image for image in images if image.sensor is None and image.band is None and image.place[1]]
    tails = [(image, re.fullmatch(r"(.+?)[\s._-]+([A-Za-z]{2,})", image.place[1])) for image in silent]
    by_folder = {image.path: (image.place, "") for image in silent if image.place[0]}
    by_name = {image.path: (((*image.place[0], tail[1]), tail[2]), tail[1]) for image, tail in tails if tail}
    for found in (by_folder, by_name):
        if recurrent(pair for pair, _ in found.values()):
            return [
                replace(image, place=(image.place[0], found[image.path][1]), sensor=found[image.path][0][1])
                if image.path in found
                else image
                for image in images
            ]
    return images


def recurrent(pairs: Iterable[Place]) -> bool:
    """Whether the same two or more words, without digits, stand within each of two or more groups.

    Examples
    --------
    >>> recurrent([(("a",), "left"), (("a",), "right"), (("b",), "left"), (("b",), "right")])
    True
    >>> recurrent([(("a",), "1"), (("a",), "2"), (("b",), "1"), (("b",), "2")])
    False
    """
    first, *others = map(set, grouped(pairs).values() or [[]])
    same = bool(others) and all(words == first for words in others)
    return same and len(first) > 1 and all(re.fullmatch(r"[A-Za-z]+", word) for word in first)


def scene_ids(places: Iterable[Place]) -> dict[Place, str]:
    """A valid id for each place (folders and key): the key, with its folders before it where keys are not unique."""
    distinct = sorted(set(places))
    keys = [usable(key) for _, key in distinct]
    ids: dict[Place, str] = {}
    for (folders, key), plain in zip(distinct, keys, strict=True):
        name = plain if keys.count(plain) == 1 else usable("_".join([*folders, key]))
        names = (name, *(f"{name}_{number}" for number in range(2, len(keys) + 2)))
        ids[folders, key] = next(unique for unique in names if unique not in ids.values())
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


def match_label(label: Named, scenes: Mapping[str, Place], folders: Container[str]) -> tuple[str | None, str | None]:
    """The scene that a file of labels belongs to, and what its name calls the class.

    Parameters
    ----------
    label : Named
    scenes : mapping of str to (folders, key)
        By id; the key is what is left of the images' names without words for sensors.
    folders : container of str
        Folders of images: those of a label that are not among them name a class.

    Returns
    -------
    (id or None, word or None)
        The scene whose key stands in the name (the longest), or in the name of a folder; or the only scene whose
        key has the name in it.
    """
    words = parts(label.place[1])
    above = [parts(folder) for folder in label.path.parent.parts]
    ranks = {}
    for scene, (own, key) in scenes.items():
        wanted = parts(key)
        at = within(wanted, words)
        if at or wanted in above:
            together = bool(at) and at[-1] - at[0] == len(at) - 1
            ranks[scene] = (len(at) and 1 + together, len(wanted), len({*own} & {*label.path.parent.parts})), at
    if ranks:
        best = max(ranks, key=lambda scene: ranks[scene][0])
        return best, _class_word([word for i, word in enumerate(words) if i not in ranks[best][1]], label, folders)
    bare = [word for word in words if word not in LABEL_WORDS | SENSOR_WORDS.keys()]
    inside = [scene for scene, (_, key) in scenes.items() if within(bare, parts(key))]
    if len(inside) == 1:
        return inside[0], _class_word([], label, folders)
    return None, _class_word(words, label, folders)


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
    rest = iter(enumerate(words))
    found = [at for word in wanted if (at := next((i for i, other in rest if other == word), -1)) >= 0]
    return found if len(found) == len(wanted) else []


def _class_word(words: Sequence[str], label: Named, folders: Container[str]) -> str | None:
    """What is left of a label's name, or of the names of its folders, once everything else is taken away."""
    own = [word for word in words if word not in NOISE and re.search(r"[a-z]{2}", word)]
    if own:
        return "_".join(own)
    for folder in reversed(label.path.parent.parts):
        left = [word for word in parts(folder) if word not in NOISE and re.fullmatch(r"[a-z]{2,}", word)]
        if left and folder not in folders:
            return "_".join(left)
    return None
