"""Ask for everything once more, in another results folder over the same store, without Snakemake.

Where nothing stale has survived and nothing fresh would be computed again, this computes nothing and writes, byte for
byte, the manifests and tables that are there. Run as a program in a project's folder: what it prints are faults.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = 0o444
"""Mode of the records that were there before: one that is written (again) has another."""
SHADOW = ".shadow"


def mark(store: Path) -> None:
    """Mark every record of an artifact as known."""
    for path in records(store):
        path.chmod(MARK)


def computed(store: Path) -> Counter[str]:
    """Number of artifacts, by stage, that were made since `mark`."""
    return Counter(path.parent.name for path in records(store) if path.stat().st_mode & 0o777 != MARK)


def records(store: Path) -> list[Path]:
    """Records of artifacts: ``<stage>/<key>.json``."""
    found = [path for path in store.glob("*/*.json") if path.parent.name not in {"sources", "results"}]
    return [path for path in found if "." not in path.stem]


def run_all(merged: Mapping[str, Any], store: Path, stages: frozenset[str] | None = None) -> Any:
    """Run every job of a configuration (or those of some stages) here, one after the other; gives the graph."""
    from rasterloom.planning.graph import Dag
    from rasterloom.stages import job_of, module_of
    from rasterloom.store.digest import canonical
    from rasterloom.store.store import Store

    dag = Dag.load(merged)
    for stage, names in dag.in_order():
        if stages is None or stage in stages:
            spec, sources = (json.loads(canonical(f(stage, **names))) for f in (dag.spec, dag.sources))
            job = job_of(spec, sources, dag.results, Store(store))
            job.log = lambda text: None  # type: ignore[method-assign]
            job.output.parent.mkdir(parents=True, exist_ok=True)
            module_of(stage).run(job)
    return dag


def jobs_that_run(dag: Any, store: Path) -> Counter[str]:
    """Jobs by stage that a run of a graph leaves to Snakemake."""
    from rasterloom.planning.settle import Settled
    from rasterloom.store.store import Store

    fresh = Settled(dag, Store(store), looks=True, writes=False).fresh
    return +Counter({stage: len(set(paths) - fresh) for stage, paths in dag.outputs().items()})


def sweep(cases: Mapping[str, Mapping[str, Any]], results: Path) -> dict[str, list[dict[str, int]]]:
    """Jobs and items of changed configurations, each for itself, in a project that has finished; by name.

    Every case works on a copy of the store's records, so that none finds what another has made.
    """
    from rasterloom.planning.graph import Dag

    stages = frozenset(["register", "place", "stack", "normalisation", "label", "mask", "split"])
    stages |= {"train", "predict", "weigh", "ensemble", "tune", "vectorise"}
    found = {}
    for name, merged in cases.items():
        shutil.rmtree(SHADOW, ignore_errors=True)
        shutil.copytree(results / "store", f"{SHADOW}/store", copy_function=os.link)
        store = Path(SHADOW) / "store"
        known = {path.stat().st_ino for path in records(store)}
        run_all({**merged, "results": SHADOW}, store, stages)
        items = Counter(path.parent.name for path in records(store) if path.stat().st_ino not in known)
        found[name] = [dict(jobs_that_run(Dag.load(merged), results / "store")), dict(items)]
    shutil.rmtree(SHADOW, ignore_errors=True)
    return found


def faults(results: Path) -> list[str]:
    """What is wrong with a results folder that a run has just finished."""
    from rasterloom.config import read_config_files
    from rasterloom.store.folders import manifests_of
    from rasterloom.store.store import Store
    from rasterloom.tools.verify import find_faults

    store = results / "store"
    found = [f"{path} was left behind" for path in results.rglob(".tmp-*")]
    found += [
        f"{fault.manifest}: {fault.name}: {fault.reason}"
        for fault in find_faults(Store(store), list(manifests_of(results)))
    ]
    files = [Path("config.yaml"), *(Path(name) for name in ("mine.yaml",) if Path(name).is_file())]
    mark(store)
    notes = {path.name for path in (store / "results").glob("*.json")}
    dag = run_all({**read_config_files(files), "results": SHADOW}, store)
    found += [f"{count} of {stage} would be computed again" for stage, count in computed(store).items()]
    for paths in dag.outputs().values():
        for path in paths:
            mine, theirs = results / path, Path(SHADOW) / path
            if not mine.is_file():
                found.append(f"{mine} is not there")
            elif mine.read_bytes() != theirs.read_bytes():
                found.append(f"{mine} is not what a run from scratch gives")
    shutil.rmtree(SHADOW)
    for path in (store / "results").glob("*.json"):
        if path.name not in notes:
            path.unlink()
    return found


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(*faults(Path(sys.argv[1])), sep="\n")
    else:  # a file of configurations by name
        print(json.dumps(sweep(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), Path(sys.argv[1]))))
