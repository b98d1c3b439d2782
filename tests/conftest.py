"""What the tests share: folders, stand-in scenes, subprocesses that know the library."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from common import LIBRARY, ROOT
from rasterloom.store.store import Item, Store

settings.register_profile("rasterloom", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("rasterloom")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker waits for another at the end."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own store, or wish to recompute, must not reach the tests."""
    for name in ("RASTERLOOM_STORE", "RASTERLOOM_RECOMPUTE", "RASTERLOOM_WORKING_FOLDER"):
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
