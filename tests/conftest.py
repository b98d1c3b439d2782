"""What the tests share: folders, stand-in scenes, subprocesses that know the library."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from rasterloom.config import load_config
from rasterloom.store import Item, Store

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "workflow" / "rasterloom"

settings.register_profile("rasterloom", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("rasterloom")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker waits for another at the end."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own store, or wish to recompute, must not reach the tests."""
    for name in ("RASTERLOOM_STORE", "RASTERLOOM_RECOMPUTE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real imagery that ``RASTERLOOM_TEST_DATA`` names."""
    given = os.environ.get("RASTERLOOM_TEST_DATA")
    if not given:
        pytest.skip("RASTERLOOM_TEST_DATA is not set: it names the folder of real imagery")
    folder = Path(given)
    assert folder.is_dir(), f"RASTERLOOM_TEST_DATA is {given}, which is not a folder"
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty results folder."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def store(results: Path) -> Store:
    """The store of `results`, empty."""
    return Store.of(results)


@pytest.fixture
def put(store: Store) -> Callable[..., Item]:
    """Put bytes into the store: ``put(stage, key, content)`` gives the item."""

    def write(stage: str, key: str, content: bytes = b"content", suffix: str = ".bin") -> Item:
        with store.writing(stage, key, suffix) as work:
            work.path.write_bytes(content)
            work.digest = "d" * 64
        return work.committed()

    return write


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python code that can import the library: ``python(code, *arguments)`` gives its process."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY.parent)}

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture(scope="session")
def settings_table() -> dict[str, Any]:
    """What config.yaml holds; copy it before you change it."""
    table: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return table


def stand_in_dag(table: dict[str, Any], train: Iterable[str], predict: Iterable[str]) -> Any:
    """The graph of a configuration over scenes that are mere names: no file is there."""
    from rasterloom.dag import Dag
    from rasterloom.dataset import Dataset, Scene, SourceFile
    from rasterloom.dataset.contest_ids import acquisition_of

    config = load_config(table)
    classes = {name: entry.id for name, entry in config.classes.items()}
    labelled = set(train)

    def file(path: str) -> SourceFile:
        return SourceFile(path, size=len(path), mtime_ns=1)

    scenes = {
        scene: Scene(
            id=scene,
            ground=scene,
            role="train" if scene in labelled else "predict",
            sensors={sensor: (file(f"raw/{scene}_{sensor}.tif"),) for sensor in config.sensors},
            labelled=tuple(classes) if scene in labelled else (),
            grid=file("raw/grid_sizes.csv"),
            acquisition=acquisition_of(scene),
        )
        for scene in sorted({*labelled, *predict})
    }
    names = ("train_wkt", "grid_sizes", "sample_submission")
    tables = {name: file(f"raw/{name}.csv") for name in names}
    return Dag(config, Dataset("dstl", scenes, "rgb", classes, tables))
