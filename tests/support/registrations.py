"""Registrations written by hand, for the stages that read them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rasterloom.raster.scan import Moments
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
