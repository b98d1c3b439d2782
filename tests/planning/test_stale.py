"""What a run would compute: compared with what one does compute, in one process, on scenes of per-pixel models."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import says
from rasterloom.config.overlays import merge
from rasterloom.planning.graph import Dag
from rasterloom.planning.stale import Stale, main_stale, summary
from rasterloom.stages import artifact_stages, names_of
from rasterloom.store.store import Store
from small_models import FOREST, SCENES, TRAIN, Small, Table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    found = Small(tmp_path_factory.mktemp("small"))
    assert {entry.why for entry in found.stale()} == {"there was none before"}
    found.run()
    yield found


def counts(found: list[Stale], certain: bool = True) -> dict[str, int]:
    return dict(Counter(entry.stage for entry in found if entry.certain or not certain))


def test_nothing_is_stale_after_a_run_and_asking_leaves_no_trace(small: Small) -> None:
    def times() -> dict[Path, int]:  # but for what is remembered of source files
        found = [p for p in (small.folder / "results").rglob("*") if "sources" not in p.parts]
        return {p: p.lstat().st_mtime_ns for p in found if p.name != "store"}

    before = times()
    assert small.stale() == []
    assert times() == before
    assert small.run() == {}


def test_every_artifact_is_new_before_the_first_run(small: Small, tmp_path: Path) -> None:
    found = counts(small.stale({"results": str(tmp_path / "elsewhere")}))
    members, classes = 3, 2
    expected = {
        "register": SCENES,
        "place": SCENES,
        "stack": SCENES,
        "normalisation": 4,
        "label": classes * SCENES,
        "mask": classes * TRAIN,
        "split": classes,
        "train": members,
        "predict": members * SCENES,
        "weigh": 1,
        "ensemble": classes * SCENES,
        "tune": classes,
        "vectorise": classes * SCENES,
    }
    assert {stage: found[stage] for stage in expected} == expected
    assert found.keys() == set(artifact_stages())


CHANGES: list[tuple[str, Table, dict[str, int], str]] = [
    (
        "threshold",
        {"classes": {"buildings": {"polygons": {"threshold": 0.9}}}},
        {"tune": 1},
        "classes.buildings.polygons.threshold: auto -> 0.9",
    ),
    (
        "area",
        {"classes": {"buildings": {"polygons": {"min_area": 7}}}},
        {"tune": 1},
        "classes.buildings.polygons.min_area: auto -> 7.0",
    ),
    (
        "simplify",
        {"classes": {"buildings": {"polygons": {"simplify": 1}}}},
        {"tune": 1},
        "classes.buildings.polygons.simplify: 0.25 -> 1.0",
    ),
    (
        "ensemble",
        {"classes": {"buildings": {"ensemble": "best"}}},
        {"weigh": 1},
        "classes.buildings.ensemble: mean -> best",
    ),
    ("model", {"models": {"forest": {"max_depth": 5}}}, {"train": 2}, "models.forest.max_depth: 6 -> 5"),
    ("split", {"validation": {"seed": 3}}, {"split": 2}, "validation.seed: 0 -> 3"),
    ("scale", {"scales": {"s64": {"size": 70}}}, {"stack": SCENES, "mask": 2 * TRAIN}, "scales.s64.size: 64 -> 70"),
    ("shift", {"sensors": {"a": {"max_shift": 79}}}, {"register": SCENES}, "sensors.a.max_shift: 80.0 -> 79.0"),
]


@pytest.mark.parametrize(("overlay", "sure", "reason"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_setting_is_named_with_old_and_new_value(
    small: Small, overlay: Table, sure: dict[str, int], reason: str
) -> None:
    found = small.stale(overlay)
    assert counts(found) == sure
    assert reason in {entry.why for entry in found if entry.certain}
    assert {str(root) for entry in found if not entry.certain for root in entry.roots} <= {reason}


@pytest.mark.parametrize("overlay", [row[1] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_run_computes_all_that_is_sure_and_nothing_that_is_not_listed(small: Small, overlay: Table) -> None:
    found = small.stale(overlay)
    computed = small.run(overlay)
    least, most = counts(found), counts(found, certain=False)
    assert all(computed[stage] >= number for stage, number in least.items()), (computed, least)
    assert all(number <= most.get(stage, 0) for stage, number in computed.items()), (computed, most)
    assert small.run() == {}, "the earlier recipe costs nothing"


def test_members_that_read_predictions_of_others_are_looked_at_after_these(small: Small) -> None:
    stacked = {**FOREST, "channels": "stacked"}
    overlay = {
        "channels": {"stacked": ["rgb", "buildings-linear-all20-s64"]},
        "classes": {"buildings": {"members": [FOREST, {**FOREST, "model": "linear"}, stacked]}},
        "validation": {"split": None, "folds": 2},
    }
    place = "models/buildings-forest-stacked-s64/fold-0"
    assert {entry.place: entry.why for entry in small.stale(overlay)}[place] == "there was none before"
    small.run(overlay)
    assert small.stale(overlay) == []
    changed = merge(overlay, {"models": {"linear": {"samples": 1000}}})
    found = {entry.place: entry for entry in small.stale(changed)}
    read = [entry for entry in found if entry.startswith("predictions/buildings-linear-all20-s64/")]
    assert set(found[place].follows) <= set(read)
    assert found[place].why.startswith("if predictions/buildings-linear-all20-s64/")
    assert not found[place].certain, "predictions may turn out the same"
    small.run(changed)
    assert small.stale(changed) == []
    assert small.run() == {}, "the earlier recipe costs nothing"


def test_a_new_class_is_new_and_leaves_the_others_alone(small: Small) -> None:
    found = small.stale({"classes": {"trees": {"id": 5, "members": [FOREST]}}})
    assert {entry.why for entry in found} == {"there was none before"}
    assert all("trees" in entry.place for entry in found)
    assert counts(found)["predict"] == SCENES


def test_a_file_touched_is_not_stale_and_one_replaced_is_named(small: Small) -> None:
    image = next((small.folder / "data/sixteen_band").glob("*_P.tif"))
    scene = image.stem.removesuffix("_P")
    data, status = image.read_bytes(), image.stat()
    os.utime(image)
    assert small.stale() == []
    changed = bytearray(data)
    changed[-2] ^= 1
    image.write_bytes(changed)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns - 10**12))
    sure = [entry for entry in small.stale() if entry.certain]
    image.write_bytes(data)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [entry.place for entry in sure] == [f"registration/{scene}"]
    assert sure[0].changes[0].path == f"inputs.sensors.p ({image.name})"
    assert sure[0].changes[0].old.startswith("content ")


def test_a_lost_artifact_is_told_from_a_stale_one(small: Small) -> None:
    link = next((small.folder / "results/ensembles/waterway").glob("*.zarr.zip"))
    artifact = link.resolve()
    data = artifact.read_bytes()
    artifact.unlink()
    lost = [entry for entry in small.stale() if entry.lost]
    artifact.write_bytes(data)
    assert [entry.place for entry in lost] == [f"ensembles/waterway/{link.name.removesuffix('.zarr.zip')}"]
    assert "verify --mend" in lost[0].why


def test_recompute_is_a_reason(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASTERLOOM_RECOMPUTE", "tune")
    sure = [entry for entry in small.stale() if entry.certain]
    assert {entry.why for entry in sure} == {"RASTERLOOM_RECOMPUTE: nothing -> tune"}
    assert {entry.stage for entry in sure} == {"tune"}


def test_main_stale_prints_a_line_an_artifact_and_a_summary(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    merged = small.merged({"classes": {"waterway": {"polygons": {"threshold": 0.4}}}})
    dag = Dag.load(merged)
    main_stale(dag, Store.of(dag.results), merged)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tune\ttuning/waterway\tclasses.waterway.polygons.threshold: auto -> 0.4"
    assert len([line for line in lines if line.startswith("vectorise\tpolygons/waterway/")]) == SCENES
    assert lines[-3].startswith("1 of ")
    assert says(lines[-2], f"{SCENES} more ... vectorise {SCENES}")


def test_summary_of_nothing() -> None:
    assert says(summary([], 12), "Nothing is stale ... 12 artifacts")


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"stage": "register", "scene": "a"}, ["a"]),
        ({"stage": "predict", "batch": "bucket-01", "scenes": ["a", "b"]}, ["a", "b"]),
        ({"stage": "normalisation", "sensors": ["rgb", "p"], "scenes": ["a"]}, ["rgb", "p"]),
        ({"stage": "train", "fold": "fold-0", "scenes": ["a"]}, ["fold-0"]),
        ({"stage": "weigh", "class": "trees", "scenes": ["a"]}, ["trees"]),
        ({"stage": "tune", "class": "trees", "scenes": ["a"]}, ["trees"]),
        ({"stage": "split", "group": "trees", "scenes": ["a"]}, ["trees"]),
    ],
)
def test_names_of(spec: Table, names: list[str]) -> None:
    assert names_of(spec) == names
