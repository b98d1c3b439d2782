"""Fingerprints of the stages' code, so that nobody has to remember to raise a version.

A stage's code is its module and every module of the library that it imports, directly or through others, without
what only moves data about (`INFRASTRUCTURE`). A module's digest is that of its syntax tree: comments, docstrings,
layout and its own `VERSION` do not count.

    python tests/support/fingerprints.py              what has changed since it was last confirmed
    python tests/support/fingerprints.py --confirm    record the code and the versions as they are
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "workflow" / "rasterloom"
RECORD = Path(__file__).with_name("stage_versions.json")

INFRASTRUCTURE = frozenset(
    {"", "errors", "cli", "stages", "project", "project.project", "project.checks"}
    | {"planning.guard", "planning.rules", "planning.graph"}
    | {"store", "store.files", "store.store", "store.manifest", "store.job", "store.lock"}
    | {"dataset", "dataset.index", "config", "config.load", "config.model", "config.networks"}
    | {"config.tables", "config.recipe"}
)
"""Modules that decide where data lie and when a job runs, not what it computes."""

DATA = {"quality": "report/templates", "report": "report/templates"}
"""Folders of the library that belong to the code of a stage."""


def module_path(name: str, library: Path = LIBRARY) -> Path | None:
    """The file of a module of the library (``dataset.dstl``), or None if there is no such module."""
    place = library.joinpath(*name.split(".")) if name else library
    found = [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()]
    return found[0] if found else None


def imported(name: str, library: Path = LIBRARY) -> set[str]:
    """The modules of the library that a module imports, also within functions, but not for type checking alone."""
    path = module_path(name, library)
    assert path is not None, name
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*(["rasterloom", *parts] if node.level else []), node.module]))
            found.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    ours = {entry for entry in found if entry.split(".")[0] == "rasterloom"}
    names = {entry.removeprefix("rasterloom").removeprefix(".") for entry in ours}
    return {entry for entry in names if module_path(entry, library)} - {name}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """A tree's nodes without what stands under ``if TYPE_CHECKING``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from _running(other)
        else:
            yield from _running(child)


def closure(stage: str, library: Path = LIBRARY, known: dict[str, set[str]] | None = None) -> list[str]:
    """The modules that a stage's output may depend on, sorted; `known` keeps imports from one stage to the next."""
    known = {} if known is None else known
    found: set[str] = set()
    waiting = {f"stages.{stage}"}
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name not in known:
            known[name] = imported(name, library)
        waiting |= known[name] - INFRASTRUCTURE - found
    return sorted(found)


def module_digest(path: Path) -> str:
    """Digest of what a module says to the interpreter."""
    lines = _dumped(ast.parse(path.read_text(encoding="utf-8")))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _dumped(node: Any, depth: int = 0) -> Iterator[str]:
    """A tree as lines; empty fields are left out, since versions of Python differ in them."""
    indent = " " * depth
    if isinstance(node, ast.AST):
        yield f"{indent}{type(node).__name__}"
        for field, value in ast.iter_fields(node):
            if value is not None and value != [] and not (isinstance(node, ast.Constant) and field == "kind"):
                yield f"{indent} {field}:"
                yield from _dumped(value, depth + 2)
    elif isinstance(node, list):
        for entry in node:
            if not _is_inert(entry):
                yield from _dumped(entry, depth)
    else:
        yield f"{indent}{node!r}"


PLANNING = frozenset({"OUTPUT", "OWN_FOLDER", "HELP", "VERSION", "KEYS", "NAMES", "jobs", "spec", "sources"})
"""What a stage's module says of its jobs; the values are in the keys."""


def _is_inert(node: Any) -> bool:
    """Whether a statement is a docstring (of whatever), or says which jobs there are rather than what they compute."""
    if isinstance(node, ast.FunctionDef):
        return node.name in PLANNING
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id in PLANNING for target in targets)


def version_in(stage: str, library: Path = LIBRARY) -> int:
    """The number that a stage's module sets VERSION to, read without importing it."""
    path = module_path(f"stages.{stage}", library)
    assert path is not None, f"stage {stage} has no module"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["VERSION"]:
            version = ast.literal_eval(node.value)
            assert isinstance(version, int), f"{path}: VERSION is not a whole number"
            return version
    raise AssertionError(f"{path} does not set VERSION to a number")


def current(stages: tuple[str, ...], library: Path = LIBRARY) -> dict[str, Any]:
    """Versions and modules of the stages, and the digests of all these modules, as they are."""
    table: dict[str, Any] = {"stages": {}, "modules": {}}
    known: dict[str, set[str]] = {}
    for stage in stages:
        names = closure(stage, library, known)
        for name in set(names) - table["modules"].keys():
            path = module_path(name, library)
            assert path is not None
            table["modules"][name] = module_digest(path)
        folder = library / DATA[stage] if stage in DATA else None
        for path in sorted(folder.rglob("*")) if folder else []:
            if path.is_file():
                names.append(str(path.relative_to(library)))
                table["modules"][names[-1]] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        table["stages"][stage] = {"version": version_in(stage, library), "modules": names}
    return table


def disagreements(recorded: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """One line for each stage whose code or version is not what was recorded, with the remedy."""
    lines = []
    for stage in sorted({*recorded["stages"], *found["stages"]}):
        old, new = recorded["stages"].get(stage), found["stages"].get(stage)
        if old is None or new is None:
            lines.append(f"stage {stage} is {'new' if old is None else 'gone'}: run `make fingerprints` to record that")
            continue
        names = sorted({*old["modules"], *new["modules"]})
        changed = [
            name
            for name in names
            if (name in old["modules"], recorded["modules"].get(name))
            != (name in new["modules"], found["modules"].get(name))
        ]
        if new["version"] < old["version"]:
            lines.append(
                f"stage {stage} went from version {old['version']} back to {new['version']}, whose artifacts may still "
                f"lie in stores: raise VERSION in stages/{stage}.py above {old['version']}"
            )
        elif new["version"] > old["version"]:
            lines.append(f"stage {stage} has version {new['version']} now: run `make fingerprints` to record it")
        elif changed:
            lines.append(
                f"stage {stage} is made of other code than version {old['version']} was ({', '.join(changed)}): if its "
                f"output changes, raise VERSION in stages/{stage}.py; then, or if the output is the same, "
                "run `make fingerprints`"
            )
    return lines


def main() -> None:
    """Say what has changed, or record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--confirm", action="store_true", help="record the code and the versions as they are")
    args = parser.parse_args()
    sys.path.insert(0, str(LIBRARY.parent))
    from rasterloom.stages import STAGES

    found = current(STAGES)
    recorded = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {"stages": {}, "modules": {}}
    for line in disagreements(recorded, found):
        print(line)
    if args.confirm:
        RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"recorded in {RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
