"""What it costs to find that nothing is to be done: a finished run of the full recipe over many scenes.

Stand-in data (the names of a contest's files, images of 8 pixels) and a finished state that nobody has computed:
manifests and tables as every stage leaves them, which `snakemake --touch` enters into its records. Then each command
is run once to warm the file system's cache and once to be measured: seconds, those of the processor, and peak memory.

    python benchmarks/graph.py [SCENES ...]       57 and 450 scenes, if none are given; the first 25 are labelled
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml

from rasterloom.config import read_config_files
from rasterloom.planning.graph import Dag
from rasterloom.stages import artifact_stages, module_of
from rasterloom.store.digest import digest
from rasterloom.store.files import write_json
from rasterloom.store.job import asked_digest, asked_path

ROOT = Path(__file__).resolve().parent.parent
LABELLED = 25
COMMANDS = {
    "snakemake": ["-m", "snakemake", "--cores", "1"],
    "snakemake -n": ["-m", "snakemake", "-n"],
    "rasterloom plan": ["-m", "rasterloom", "plan"],
}
NAMES = {
    "three_band/{}.tif": 3,
    **{f"sixteen_band/{{}}_{sensor}.tif": n for sensor, n in (("P", 1), ("M", 8), ("A", 8))},
}
"""Files of a scene, and their bands."""


def write_data(folder: Path, scenes: int) -> None:
    """The contest's files for so many scenes, and the repository's files, in a project's folder."""
    for name in ("Snakefile", "workflow", "profiles", "envs"):
        (folder / name).symlink_to(ROOT / name)
    ids = [f"{6010 + 10 * (n // 25)}_{n % 25 // 5}_{n % 5}" for n in range(scenes)]
    root = folder / "data/dstl"
    for name, bands in NAMES.items():
        buffer = io.BytesIO()
        planes = {"planarconfig": "separate"} if bands > 1 else {}
        tifffile.imwrite(buffer, np.zeros((bands, 8, 8), np.uint16), photometric="minisblack", **planes)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        for scene in ids:
            (root / name.format(scene)).write_bytes(buffer.getvalue())
    tables = {
        "train_wkt_v4.csv": [(s, number, "MULTIPOLYGON EMPTY") for s in ids[:LABELLED] for number in range(1, 11)],
        "sample_submission.csv": [(s, number, "POLYGON EMPTY") for s in ids[LABELLED:] for number in range(1, 11)],
        "grid_sizes.csv": [(scene, 0.009, -0.009) for scene in ids],
    }
    for name, rows in tables.items():
        header = ("", "Xmax", "Ymin") if name == "grid_sizes.csv" else ("ImageId", "ClassType", "MultipolygonWKT")
        with (root / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    table = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    table["dataset"]["predict"] = "all"
    (folder / "config.yaml").write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")


def write_results(folder: Path) -> int:
    """Every output of a finished run, stage by stage, none of it computed; gives their number."""
    os.chdir(folder)
    dag = Dag.load(read_config_files([Path("config.yaml")]))
    count = 0
    for stage, jobs in dag.jobs().items():
        for names in jobs:
            output = module_of(stage).OUTPUT.format(**names)
            spec, sources = dag.spec(stage, **names), dag.sources(stage, **names)
            path = dag.results / output
            if path.suffix == ".json":
                write_json(path, {"stage": stage, "items": {name: item(stage, name) for name in items_of(stage, spec)}})
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("a table\n", encoding="utf-8")
            record = asked_path(dag.results, output)
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(asked_digest(spec, sources), encoding="utf-8")
            count += 1
    os.chdir(ROOT)
    return count


def items_of(stage: str, spec: dict[str, Any]) -> list[str]:
    """Names of the items in the manifest of a job; nothing reads those of a table."""
    return module_of(stage).names(spec) if stage in artifact_stages() else []


def item(stage: str, name: str) -> dict[str, str]:
    """An item that no store has."""
    key = digest([stage, name])
    return {"key": key[:32], "digest": key, "path": f"{stage}/{key[:32]}.bin"}


def measured(folder: Path, arguments: list[str]) -> tuple[float, float, float, str]:
    """Seconds, seconds of processor, peak memory in MB and last line of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        said.seek(0)
        lines = said.read().strip().splitlines()
    if process.returncode:
        raise SystemExit("\n".join(lines[-20:]))
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, lines[-1] if lines else ""


def main() -> None:
    """Print one row per command and number of scenes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("scenes", nargs="*", type=int, default=[57, 450], help="numbers of scenes")
    scenes = parser.parse_args().scenes
    print("scenes   jobs  command           seconds  processor  peak MB  said")
    for count in scenes:
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder), count)
            jobs = write_results(Path(folder))
            measured(Path(folder), ["-m", "snakemake", "--cores", "500", "--touch", "--forceall", "--quiet", "all"])
            for name, arguments in COMMANDS.items():
                measured(Path(folder), arguments)
                seconds, processor, peak, said = measured(Path(folder), arguments)
                print(
                    f"{count:6d}  {jobs:5d}  {name:16s}  {seconds:7.1f}  {processor:9.1f}  {peak:7.0f}  {said[:40]}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
