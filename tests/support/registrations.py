"""Registrations written by hand, for the stages that read them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rasterloom.raster.scan import Moments
from rasterloom.registration.acquisition import Registration, settled
from rasterloom.store.digest import digest
from rasterloom.store.files import write_json
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store


def write_registration(results: Path, scene: str, moments: Mapping[str, Sequence[Moments]]) -> None:
    """A registration that holds moments alone, and its manifest."""
    value: dict[str, Any] = {
        "reference": {},
        "sensors": {name: {"moments": [asdict(band) for band in bands]} for name, bands in moments.items()},
    }
    store = Store.of(results)
    with store.writing("register", digest([scene, value])[:32], ".registration.json") as work:
        write_json(work.path, value)
        work.digest = digest(value)
    Manifest("register", {scene: work.committed()}).write(results / "registration" / f"{scene}.json")


Table = dict[str, Any]
NOMINAL = [[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]]
REFUSED = "no shift was found with confidence (0.12, 0.3 is needed): the files' own place is used"


def sensor(shift: tuple[float, float] | None, **changes: Any) -> Table:
    """The entry of a sensor with pixels four times the reference's; None: no estimate was accepted."""
    found = {
        "source": "s", "nominal": NOMINAL, "origin": "size", "pixel": [4.0, 4.0], "motion": "translation",
        "against": None, "consistency": None, "attempts": [], "error": None,
    }  # fmt: skip
    if shift is None:
        own = {"shift": [0.0, 0.0], "matrix": NOMINAL, "confidence": 0.12, "accepted": False, "method": "identity"}
        return {**found, **own, "fallback": REFUSED, **changes}
    matrix = [[0.25, 0.0, shift[0] / 4], [0.0, 0.25, shift[1] / 4]]
    own = {"shift": list(shift), "matrix": matrix, "confidence": 0.9, "accepted": True, "method": "ecc"}
    return {**found, **own, "fallback": None, **changes}


def registration(gsd: float | None = 0.31, **sensors: Table) -> Table:
    reference = {"sensor": "rgb", "width": 64, "height": 64, "transform": None, "crs": None, "gsd": gsd}
    rgb = sensor((0.0, 0.0), method="identity", pixel=[1.0, 1.0])
    return {"reference": reference, "sensors": {"rgb": rgb, **sensors}}


def settle(
    registrations: dict[str, Any], acquisition: str, tiles: dict[str, tuple[str, str]] | None = None
) -> dict[str, Registration]:
    """All scenes of an acquisition, settled."""
    tiled = {scene: (own, (tiles or {}).get(scene, ("", ""))) for scene, own in registrations.items()}
    return {
        scene: settled(own, [other for name, other in tiled.items() if name != scene], acquisition)
        for scene, own in tiled.items()
    }


def group(*shifts: tuple[float, float] | None, **changes: Any) -> dict[str, Table]:
    """Scenes a, b, ... with these shifts of the sensor `m`."""
    return {chr(97 + i): registration(m=sensor(shift, **changes)) for i, shift in enumerate(shifts)}
