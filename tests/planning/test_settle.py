"""What a run finds before Snakemake builds its graph: on scenes of per-pixel models, without Snakemake."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rasterloom.planning import settle
from rasterloom.planning.settle import Settled
from rasterloom.stages import artifact_stages
from rasterloom.store.store import Store
from small_models import SCENES, Small, Table

THRESHOLD: Table = {"classes": {"buildings": {"polygons": {"threshold": 0.9}}}}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Small:
    found = Small(tmp_path_factory.mktemp("finished"))
    for path in found.folder.rglob("*.*"):
        os.utime(path, (9 * 10**8, 9 * 10**8))
    found.run()
    return found


@pytest.fixture
def small(finished: Small) -> Iterator[Small]:
    """A finished project, which is put back afterwards."""
    kept = finished.folder.with_name("kept")
    shutil.copytree(finished.folder, kept, symlinks=True)
    yield finished
    shutil.rmtree(finished.folder)
    kept.rename(finished.folder)


def settled(small: Small, overlay: Table | None = None, looks: bool = True, writes: bool = True) -> Settled:
    dag = small.dag(overlay)
    return Settled(dag, Store.of(dag.results), looks=looks, writes=writes)


def manifests(small: Small) -> set[str]:
    """Every output that is a manifest."""
    return {path for stage, paths in small.dag().outputs().items() if stage in artifact_stages() for path in paths}


def state(small: Small) -> dict[str, tuple[int, str]]:
    """Every file of the results: its time (but of what is remembered of source files), and where a link leads."""
    found = (path for path in (small.folder / "results").rglob("*") if not path.is_dir())
    return {
        str(path): (
            0 if path.parent.name == "sources" else path.lstat().st_mtime_ns,
            str(path.readlink()) if path.is_symlink() else "",
        )
        for path in found
    }


def image(small: Small) -> Path:
    return sorted((small.folder / "data/three_band").glob("*.tif"))[0]


def test_finished_run_is_as_it_should_be_without_a_look_at_the_store(small: Small) -> None:
    shutil.rmtree(small.folder / "results/store")
    found = settled(small)
    assert found.fresh == manifests(small)
    assert (found.jobs, found.found) == (0, 0)


def test_touched_image_makes_no_job_run(small: Small) -> None:
    os.utime(image(small), (10**9, 10**9))
    assert len(settled(small, looks=False).fresh) < len(manifests(small))
    found = settled(small)
    assert found.fresh == manifests(small)
    assert found.jobs >= 1
    again = settled(small)
    assert (again.fresh, again.jobs) == (found.fresh, 0)


def test_dry_run_says_the_same_and_writes_nothing(small: Small) -> None:
    os.utime(image(small), (10**9, 10**9))
    shutil.rmtree(small.folder / "results/folds")
    before = state(small)
    would = settled(small, writes=False)
    assert state(small) == before
    did = settled(small)
    assert (would.fresh, would.jobs, would.found) == (did.fresh, did.jobs, did.found)
    assert state(small) != before


def test_earlier_recipe_is_found_again(small: Small) -> None:
    path = small.folder / "results/tuning/buildings.json"
    first = path.read_bytes()
    assert small.run(THRESHOLD) == {"tune": 1, "vectorise": SCENES}
    assert path.read_bytes() != first
    tables = {"wkt.csv", "score.tsv"}
    assert not settled(small, THRESHOLD).fresh & tables, "no table has been written"
    found = settled(small)
    assert found.fresh == manifests(small)
    assert path.read_bytes() == first
    assert (found.jobs, found.found) == (1 + SCENES, 1 + SCENES)
    assert small.run() == {}


def test_manifest_of_another_recipe_is_noticed_though_its_note_is_not_there(small: Small) -> None:
    """As where somebody puts back a part of a backup."""
    path, other = small.folder / "results/tuning/buildings.json", small.folder / "results/tuning/waterway.json"
    first = path.read_bytes()
    path.write_bytes(other.read_bytes())
    assert settled(small).jobs == 1
    assert path.read_bytes() == first


@pytest.mark.parametrize("damage", ["missing", "short", "record"])
def test_manifest_of_a_damaged_artifact_is_not_written(damage: str, small: Small) -> None:
    manifest = sorted((small.folder / "results/polygons/waterway").glob("*.json"))[0]
    artifact = next(manifest.parent.glob(f"{manifest.stem}.*parquet")).resolve()
    manifest.unlink()
    if damage == "record":
        artifact.with_suffix(".json").write_text("{", encoding="utf-8")
    elif damage == "short":
        os.truncate(artifact, artifact.stat().st_size - 1)
    else:
        artifact.unlink()
    lost = str(manifest.relative_to(small.folder / "results"))
    assert settled(small).fresh == manifests(small) - {lost}
    assert not manifest.exists()


def test_what_reads_something_that_is_to_be_made_waits(small: Small) -> None:
    for record in (small.folder / "results/store/tune").iterdir():
        record.unlink()
    (small.folder / "results/tuning/buildings.json").unlink()
    scenes = {path for path in manifests(small) if path.startswith("polygons/buildings/")}
    assert len(scenes) == SCENES
    assert settled(small).fresh == manifests(small) - scenes - {"tuning/buildings.json"}


def test_image_with_other_content_is_left_to_jobs(small: Small) -> None:
    path = image(small)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = settled(small).fresh
    assert f"registration/{path.stem}.json" not in found
    assert not [name for name in found if name.endswith(f"/{path.stem}.json")]


def test_many_changed_images_are_left_to_jobs(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "READ", image(small).stat().st_size)
    for path in sorted((small.folder / "data/three_band").glob("*.tif")):
        os.utime(path, (10**9, 10**9))
    kept = {path for path in settled(small).fresh if path.startswith("registration/")}
    assert kept == {f"registration/{image(small).stem}.json"}, "one was read, and no more"


def test_new_images_are_not_read_one_after_the_other(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not found after a read is new; what was only touched is found."""
    monkeypatch.setattr(settle, "IN_VAIN", 1)
    first, *others = sorted((small.folder / "data/three_band").glob("*.tif"))
    for path in (first, *others):
        os.utime(path, (10**9, 10**9))
    assert settled(small, writes=False).fresh == manifests(small), "all were only touched"
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    kept = {path for path in settled(small, writes=False).fresh if path.startswith("registration/")}
    assert kept == set(), "the first was read in vain, and no other"


def test_everything_is_found_where_the_store_alone_is_left(small: Small) -> None:
    for path in (small.folder / "results").iterdir():
        if path.name != "store":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert settled(small).fresh == manifests(small)


def test_nothing_is_read_where_nothing_was_made(small: Small) -> None:
    shutil.rmtree(small.folder / "results")
    assert settled(small).fresh == set()
    assert not (small.folder / "results").exists()


def test_settling_may_be_killed_at_any_write(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(image(small), (10**9, 10**9))
    shutil.rmtree(small.folder / "results/polygons")
    left, real = 0, Path.replace

    def replace(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    kills = 0
    for allowed in range(100):
        left = allowed % 3
        try:
            found = settled(small)
        except KeyboardInterrupt:
            kills += 1
        else:
            break
    assert kills > 5
    monkeypatch.undo()
    assert found.fresh == manifests(small)
    assert small.run() == {}
