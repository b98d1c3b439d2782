"""A stage's version is raised when its output changes: nobody has to remember."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fingerprints
from fingerprints import RECORD, closure, current, disagreements, imported, module_digest
from rasterloom.stages import STAGES, module_of, version_of

MODULE = '''"""Doc."""
from rasterloom.grid import area
VERSION = 1
LIMIT = 3
"""What the limit is."""


class Kind:
    """Doc."""

    def double(self, x: int) -> int:
        """Doc."""
        return 2 * x
'''


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The code and the versions as they are."""
    return current(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_code_is_that_of_its_version(stage: str, found: dict[str, Any]) -> None:
    """Remedy: raise VERSION in the stage's module if its output changes; then `make fingerprints`."""
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    lines = disagreements(recorded, found)
    assert [line for line in lines if line.startswith(f"stage {stage} ")] == []


def test_record_holds_the_stages_and_their_modules_alone() -> None:
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    assert sorted(recorded["stages"]) == sorted(STAGES)
    assert sorted(recorded["modules"]) == sorted({m for entry in recorded["stages"].values() for m in entry["modules"]})


@pytest.mark.parametrize("stage", STAGES)
def test_version_that_is_read_is_the_one_that_runs(stage: str) -> None:
    assert fingerprints.version_in(stage) == version_of(stage) == module_of(stage).VERSION >= 1


def test_closure_follows_imports_within_functions_and_leaves_infrastructure_out() -> None:
    found = closure("stack")
    assert {"stages.stack", "store.digest", "raster.grid", "raster.sensor", "raster.resample"} <= set(found)
    assert not set(found) & fingerprints.INFRASTRUCTURE
    assert "dataset.contest_tables" in closure("label"), "it reads the contest's tables"
    assert "raster.resample" in imported("raster.means"), "imported within a function"


def test_infrastructure_exists() -> None:
    assert [name for name in fingerprints.INFRASTRUCTURE if fingerprints.module_path(name) is None] == []
    assert [name for name in fingerprints.DATA.values() if not (fingerprints.LIBRARY / name).is_dir()] == []


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""Doc."""\nfrom', '"""Another."""\n\n# comment\nfrom', True),
        ('        """Doc."""\n', "", True),
        ('"""What the limit is."""\n', "", True),
        ("return 2 * x", "return (2*x)  # twice", True),
        ("VERSION = 1", "VERSION = 2", True),
        ("VERSION = 1", "VERSION: int = 1", True),
        ("return 2 * x", "return 3 * x", False),
        ("return 2 * x", "return x * 2", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("LIMIT = 3", 'LIMIT = "3"', False),
        ("def double", "def twice", False),
    ],
)
def test_module_digest_sees_code_alone(tmp_path: Path, old: str, new: str, same: bool) -> None:
    assert MODULE.count(old) == 1
    (tmp_path / "a.py").write_text(MODULE)
    (tmp_path / "b.py").write_text(MODULE.replace(old, new))
    assert (module_digest(tmp_path / "a.py") == module_digest(tmp_path / "b.py")) == same


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of one stage that uses two modules, one through the other."""
    for name, text in {
        "__init__.py": "",
        "errors.py": "X = 1\n",
        "stages/one.py": MODULE,
        "grid.py": "from .deep import inner\nfrom rasterloom.errors import X\n\ndef area():\n    return inner.SIZE\n",
        "deep/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import rasterloom.typed\n",
        "deep/inner.py": "SIZE = 1\n",
        "typed.py": "Y = 1\n",
        "stranger.py": "Z = 1\n",
    }.items():
        path = tmp_path / "rasterloom" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path / "rasterloom"


def test_closure_of_a_small_library(library: Path) -> None:
    assert closure("one", library) == ["deep", "deep.inner", "grid", "stages.one"]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (
            "stages/one.py",
            MODULE.replace("LIMIT = 3", "LIMIT = 4"),
            ["1 was (stages.one)", "raise VERSION", "make fingerprints"],
        ),
        ("deep/inner.py", "SIZE = 2\n", ["version 1 was (deep.inner)", "raise VERSION in stages/one.py"]),
        ("grid.py", "def area():\n    return 1\n", ["was (deep, deep.inner, grid)"]),
        ("stages/one.py", MODULE.replace("VERSION = 1", "VERSION = 2"), ["has version 2 now", "make fingerprints"]),
        ("stages/one.py", MODULE.replace("VERSION = 1", "VERSION = 0"), ["back to 0", "above 1"]),
        ("errors.py", "X = 2\n", []),
        ("typed.py", "Y = 2\n", []),
        ("stranger.py", "Z = 2\n", []),
        ("deep/inner.py", "# said otherwise\nSIZE = 1\n", []),
    ],
)
def test_disagreements_name_stage_module_and_remedy(library: Path, file: str, text: str, words: list[str]) -> None:
    recorded = json.loads(json.dumps(current(("one",), library)))
    assert disagreements(recorded, current(("one",), library)) == []
    (library / file).write_text(text)
    lines = disagreements(recorded, current(("one",), library))
    assert len(lines) == bool(words)
    assert all(word in lines[0] for word in words)
    assert not words or lines[0].startswith("stage one ")


def test_disagreements_of_a_stage_that_comes_or_goes(library: Path) -> None:
    one, none = current(("one",), library), current((), library)
    assert "stage one is new" in disagreements(none, one)[0]
    assert "stage one is gone" in disagreements(one, none)[0]
