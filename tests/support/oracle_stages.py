"""Instant stages: what a job computes, replaced by a digest of all that the real one reads; keys and jobs stay real.

An artifact is a small JSON file. Its content is a pure function of what the stage's own code makes an artifact of: the
settings that it heeds, the bytes of source files, the contents of artifacts, never their keys. So a key that leaves
something out gives a wrong hit, which a run from nothing shows; one that holds too much gives the same content twice.
An image is a text of its size and its digital numbers, by band; a file of labels is a table of numbers by class.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from rasterloom.config.model import is_network
from rasterloom.labels import record as label_record
from rasterloom.labels.geometry import Label
from rasterloom.learning.normalisation import OwnStatistics
from rasterloom.learning.outputs import Outputs
from rasterloom.learning.pixel_models import threads_matter
from rasterloom.learning.stack_reader import reference_place, stacked_items
from rasterloom.planning import graph, guard, rules
from rasterloom.polygons.tuning import SETTINGS, settings_of
from rasterloom.project import project
from rasterloom.raster import scan
from rasterloom.raster.scan import BandFacts, Moments, Scan
from rasterloom.raster.sensor import SensorReader
from rasterloom.registration.table import LABELS
from rasterloom.stages import artifact_stages, full_run, label, module_of, register, split, train
from rasterloom.store import files, store
from rasterloom.store.digest import digest
from rasterloom.store.files import read_json, write_text
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Item, Writing

LOG = "RASTERLOOM_ORACLE_LOG"
"""Names the file to which each computation adds a line: stage, key, place below the results folder."""

FEW = 3
"""Scenes that are still jobs of their own; beyond, there are batches of about `FEW`, as beyond 64 in the library."""

RENAMED = {"trees": "number", "width": "breadth"}
"""Settings of models, and the names that a later version might give them; see `later`."""

Patch = Callable[[Any, str, Any], None]
Table = dict[str, Any]


def install(patch: Patch) -> None:
    """Replace what jobs compute; `patch` sets an attribute of an object, as `monkeypatch.setattr` does."""
    patch(files, "flush", lambda path: None)
    patch(store, "flush", lambda path: None)
    patch(store, "_cost", lambda started: {"seconds": 0.0, "peak_memory_mb": 0.0})
    patch(scan, "SensorReader", lambda *given: nullcontext())
    patch(scan, "open_raster", _opened)
    patch(scan, "picked_bands", lambda image, bands: bands)
    patch(scan, "scan_raster", _scanned)
    for module in (label, register):
        patch(module, "sheet_labels", _labels)
    for module in (label_record, split):
        patch(module, "polygon_area", lambda path: float(sum(read_json(path)["polygons"])))
    patch(train, "load_checkpoint", lambda path, prefix="": ({}, {}))
    patch(Job, "made", _made)
    for stage in {*full_run()} - {*artifact_stages()}:
        patch(module_of(stage), "run", _table)
    patch(rules, "record", lambda *given: None)
    patch(guard, "end_with_parent", lambda: None)
    patch(graph, "SINGLE_LIMIT", FEW)
    patch(project, "LEAST", FEW)
    patch(project.batches, "__defaults__", ("auto", FEW, 0))


@contextmanager
def later(on: bool) -> Iterator[None]:
    """A later version of the library, if `on`: some settings have other names, and there is one more, which is off."""
    with pytest.MonkeyPatch.context() as patch:
        if on:
            real = project.Project.member

            def member(self: Any, name: str) -> Table:
                found = real(self, name)
                model = {RENAMED.get(key, key): value for key, value in found["model"].items()}
                return {**found, "model": {**model, "novelty": None}}

            keyed = {new: train.KEYED_AS.get(old, old) for old, new in RENAMED.items()}
            patch.setattr(project.Project, "member", member)
            patch.setattr(train, "KEYED_AS", {**train.KEYED_AS, **keyed})
            patch.setattr(train, "OFF", {**train.OFF, "model.novelty": None})
        yield


_REAL_MADE = Job.made


def _made(job: Job, want: Wanted, suffix: str, make: Callable[[Wanted, Writing], None]) -> Item:
    place = (job.folder / want.name).relative_to(job.results)
    with Path(os.environ[LOG]).open("a", encoding="utf-8") as log:
        log.write(f"{job.stage} {want.key} {place}\n")
    instant = _MAKE.get(job.stage)
    return _REAL_MADE(job, want, suffix, make if instant is None else lambda want, work: instant(job, want, work))


def _held(job: Job, item: Item) -> Any:
    """What an artifact holds."""
    return read_json(job.store.open_path(item))


# Source files ---------------------------------------------------------------------------------------------


def image_text(values: Sequence[int], side: int = 32) -> str:
    """An image, a digital number in each band."""
    return json.dumps({"width": side, "height": side, "values": [f"{value:06d}" for value in values]})


@contextmanager
def _opened(path: str) -> Iterator[Table]:
    """An image, with what lies beside it."""
    own = Path(path)
    beside = own.with_suffix(".tfw")
    yield {**read_json(own), "beside": beside.read_text("utf-8") if beside.exists() else None}


def _scanned(image: Table, bands: Any, nodata: float | None) -> Scan:
    numbers = [float(value) for value in image["values"]]
    moments = tuple(Moments(64, value, value / 2) for value in numbers)
    content = digest([image, bands])  # the number that means no data is no content
    return Scan(content, "uint16", moments, tuple(BandFacts(value, value) for value in numbers))


def _images(job: Job, sensor: str) -> list[Table]:
    """All that a reader of a sensor sees."""
    found = []
    for file in job.sources["sensors"][sensor]:
        with _opened(file["path"]) as image:
            found.append({**image, "bands": file.get("bands")})
    return found


def _labels(job: Job, vector: Any = None, shifts: Mapping[str, Any] | None = None) -> Iterator[Label]:
    """What `sheet_labels` gives."""
    paths = {scene: job.sources["labels"][scene]["path"] for scene in job.spec["scenes"]}
    for scene in sorted(paths, key=lambda scene: (paths[scene], scene)):
        name, shared = job.spec["class"], not job.spec.get("alone") and [*paths.values()].count(paths[scene]) > 1
        job.reading(job.sources["labels"][scene].get("size", 0))
        table = json.loads(Path(paths[scene]).read_text("utf-8"))
        image = read_json(Path(job.sources["reference"][scene]["path"]))
        found = [*chain(*table.values())] if scene in job.spec["whole"] else table.get(name, [])
        facts = {"shared": True} if shared else {}
        decided: Table = {"polygons": found, "size": [image["width"], image["height"]], "facts": facts}
        if shift := (shifts or {}).get(scene):
            decided["shift"] = list(shift)
        yield Label(scene, decided, lambda decided=decided: (decided, Counter()), facts)


# Artifacts ------------------------------------------------------------------------------------------------


def _register(job: Job, want: Wanted, work: Writing) -> None:
    scans, _, place = want.work
    reference, spec = job.spec["reference"], job.spec
    images = {name: _images(job, name)[0] for name in scans}
    size = {key: images[reference][key] for key in ("width", "height")}
    sensors: Table = {}
    for name in scans:
        settings = spec["sensors"][name]
        said = digest([settings, images[reference], images[name]])
        registration = "none" if name == reference else settings["registration"]
        estimated = registration == "auto"
        found = not estimated or int(said[0], 16) < 11
        given = registration["shift"] if isinstance(registration, Mapping) and registration.get("shift") else [0, 0]
        shift = [int(said[1], 16) / 4, int(said[2], 16) / 4] if estimated and found else [float(v) for v in given]
        nominal = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
        sensors[name] = {
            "width": images[name]["width"],
            "height": images[name]["height"],
            "bands": len(images[name]["values"]),
            "dtype": scans[name].dtype,
            "source": scans[name].digest,
            "nodata": settings["nodata"],
            "moments": [vars(band) for band in scans[name].moments],
            "facts": [],
            "nominal": nominal,
            "matrix": [[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]],
            "shift": shift,
            "apart": [],
            "accepted": found,
            "method": ("phase" if found else "identity") if estimated else "none",
            "origin": "size",
            "pixel": [8.0, 8.0],
            "error": None,
            "fallback": None if found else "refused",
            "motion": "translation",
            "attempts": [said],
        }
    if place is not None:
        labels = [own["path"] for own in job.sources["labels"].values()]
        classes = [own["class"] for own in spec["labels"]["classes"]]
        texts = [label.inputs for label in register._labels(job)]
        said = digest([spec["labels"]["max_shift"], texts, images[reference]])
        assert len(labels) == len(classes) == len(texts)
        shift = [int(said[0], 16) % 3, int(said[1], 16) % 2]
        sensors[LABELS] = {**sensors[reference], "shift": shift, "moments": [], "source": None, "attempts": [said]}
    registration = {
        "reference": {"sensor": reference, **size, "transform": None, "crs": None, "gsd": spec["gsd"]},
        "sensors": sensors,
    }
    work.json(registration, parts=sensors)


def _stack(job: Job, want: Wanted, work: Writing) -> None:
    places, counts, grid = want.work
    onto = [grid.height, grid.width, grid.matrix]
    for name, count in counts.items():
        if place := places.get(name):
            assert SensorReader is not scan.SensorReader
            read = [_images(job, name), count, job.spec["nodata"][name]]
            work.parts[name] = digest([read, place["matrix"], place["apart"], place["dtype"], onto])
        else:
            work.parts[name] = digest([count, onto])
    _write(work, {"sensors": list(counts), "channels": list(counts.values()), "parts": work.parts})


def _mask(job: Job, want: Wanted, work: Writing) -> None:
    labels, grid = want.work
    polygons = sorted(digest(_held(job, item)) for item in labels.values())
    _write(work, [polygons, grid.height, grid.width, grid.matrix])


def _label(job: Job, want: Wanted, work: Writing) -> None:
    decided, _ = want.work.polygons()
    work.facts = {"polygons": len(decided["polygons"]), **want.work.facts}
    _write(work, {"scene": want.name, "class": job.spec["class"], **decided})


def _train(job: Job, want: Wanted, work: Writing) -> None:
    spec, (stacks, masks, statistics, others) = job.spec, want.work
    network, training = is_network(spec["model"]), dict(spec["training"])
    more, sure, _ = train._unlabelled(job, others)
    watched, truth, own = train._labelled(job, others if network and training["keep"] == "best" else [])
    training |= {"keep": "last"} if not watched and training.get("keep") == "best" else {}
    training = {
        key: value for key, value in training.items() if network or key == "seed" or threads_matter(model_of(spec))
    }
    measured = [[_statistics(job, item) for item in found.values()] for found in statistics.values()]
    content = [model_of(spec), training, reference_place(spec), measured, Outputs.of(spec).settings]
    seen = {s: _all(job, own) for s, own in stacked_items(job, [*stacks, *more, *watched]).items()}
    content += [[_channels(job, item), _all(job, masks[s]), seen[s]] for s, item in stacks.items()]
    content += [[_channels(job, item), _all(job, sure[s]), seen[s], "unlabelled"] for s, item in more.items()]
    if watched:
        measured = [[_statistics(job, item) for item in found.values()] for found in own.values()]
        content += [[_channels(job, item), _all(job, truth[s]), seen[s]] for s, item in watched.items()]
        content += [measured, spec["window"]]
    _write(work, content)


def model_of(spec: Mapping[str, Any]) -> Table:
    """A model's settings by the names that they have today, without those that a later version added, if off."""
    known = {new: old for old, new in RENAMED.items()}
    model = {known.get(key, key): value for key, value in spec["model"].items()}
    return {key: value for key, value in model.items() if key != "novelty" or value}


def _statistics(job: Job, item: Item | OwnStatistics) -> Any:
    return item.table if isinstance(item, OwnStatistics) else _held(job, item)


def _channels(job: Job, item: Item) -> list[str]:
    """What a member sees of a stack."""
    parts = _held(job, item)["parts"]
    return [parts[name] for name in (job.spec["reference"], *job.spec["sensors"])]


def _all(job: Job, items: Sequence[Item]) -> list[Any]:
    return [digest(_held(job, item)) for item in items]


def _predict(job: Job, want: Wanted, work: Writing) -> None:
    spec, (stack, models, own, others) = job.spec, want.work
    settings = spec["prediction"] if is_network(spec["model"]) else {}
    measured = None if own is None else [_statistics(job, item) for item in own.values()]
    seen = [_channels(job, stack), _all(job, others), reference_place(spec), measured, Outputs.of(spec).settings]
    said, planes = [settings, *seen, _all(job, list(models.values()))], Outputs.of(spec).planes
    work.parts.update({str(plane): digest([said, plane]) for plane in range(*planes)} if planes else {})
    _write(work, work.parts or said)


def _weigh(job: Job, want: Wanted, work: Writing) -> None:
    ensemble, members = job.spec["ensemble"], len(job.spec["members"])
    seen = {}
    for scene, (found, item, size) in want.work.items():
        seen[scene] = [scene, job.spec["ground"][scene], _members(job, found), _held(job, item), size]

    def weights(scenes: Sequence[str]) -> Table:
        said = digest([ensemble, [seen[scene] for scene in scenes]])
        if ensemble == "mean" or not scenes:
            return {"weights": [1.0] * members}
        if ensemble == "best":
            return {"weights": [float(own == int(said[0], 16) % members) for own in range(members)]}
        return {"weights": [float(int(digit, 16) % 3) for digit in said[: members - 1]] + [1.0]}

    ground = job.spec["ground"]
    own = {scene: weights([other for other in seen if ground[other] != ground[scene]]) for scene in seen}
    work.json({**weights(list(seen)), "reason": None, "scenes": own, "seen": digest([ensemble, seen])})


def _members(job: Job, found: Sequence[Any]) -> list[Any]:
    """What is read of members: their predictions, and where the reference is valid."""
    reference = job.spec["reference"]
    valid = [_held(job, own.stack)["parts"][reference] for own in found]
    read = [_held(job, own.prediction) for own in found]
    shown = [value if own.plane is None else value[str(own.plane)] for value, own in zip(read, found, strict=True)]
    return [list(pair) for pair in zip(shown, valid, strict=True)]


def _ensemble(job: Job, want: Wanted, work: Writing) -> None:
    found, weights = want.work
    _write(work, [_members(job, found), weights])


def _tune(job: Job, want: Wanted, work: Writing) -> None:
    spec = job.spec

    def read(chosen: Mapping[str, Any]) -> Table:
        return {
            scene: [spec["ground"][scene], _held(job, ensemble), _held(job, item), *rest]
            for scene, (ensemble, item, *rest) in chosen.items()
        }

    scenes, prior = (read(chosen) for chosen in want.work)

    def entry(without: str | None) -> Table:
        said = digest([spec["polygons"], {s: v for s, v in scenes.items() if v[0] != without}, prior])
        values = {key: spec["polygons"][key] for key in SETTINGS}
        # few values, so that another input often leads to the same settings
        found = {key: int(said[0], 16) % 2 if value == "auto" else value for key, value in values.items()}
        numbers = {key: 0.0 if value == "none" else float(value) for key, value in found.items()}
        return {**numbers, "confidence": [int(said[1], 16) % 2], "reason": None}

    own = {scene: entry(value[0]) for scene, value in scenes.items()}
    work.json({**entry(None), "scenes": own, "seen": digest([spec["polygons"], scenes, prior])})


def _vectorise(job: Job, want: Wanted, work: Writing) -> None:
    images = {name: _held(job, item) for name, item in want.work.items()}
    tuned = job.read("tuning", job.spec["class"])
    settings = [job.spec["polygons"], settings_of(tuned, want.name)]
    confidence = tuned["scenes"].get(want.name, tuned)["confidence"]
    _write(work, [want.name, job.spec["class"], settings, confidence, images, want.inputs["reference"]])


def _write(work: Writing, value: Any) -> None:
    parts = work.parts
    work.json(value)
    work.parts = parts


_MAKE: dict[str, Callable[[Job, Wanted, Writing], None]] = {
    "register": _register,
    "stack": _stack,
    "label": _label,
    "mask": _mask,
    "train": _train,
    "predict": _predict,
    "weigh": _weigh,
    "ensemble": _ensemble,
    "tune": _tune,
    "vectorise": _vectorise,
}
"""By stage what is computed in place of it; place, normalisation and split are quick enough as they are."""


# Tables ---------------------------------------------------------------------------------------------------


def _table(job: Job) -> None:
    """Write a table, or the report: all that it reads."""
    read: Table = {}
    for path in module_of(job.stage).inputs(job.spec):
        if path.endswith(".json"):
            items = job.manifest(path.removesuffix(".json")).items
            read[path] = {name: [_held(job, item), job.store.facts(item)] for name, item in items.items()}
        else:
            read[path] = (job.results / path).read_text("utf-8")
    write_text(job.output, json.dumps([job.spec, digest(read)], sort_keys=True))
