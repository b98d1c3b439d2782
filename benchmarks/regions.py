"""What it costs to find out what a run of one region has to do, of a sheet with very many scenes.

Stand-in data as in graph.py: a sheet of images of 8 pixels, 25 of them labelled, one class, one member. Measured as
there: seconds, those of the processor, peak memory, and the jobs that would run.

- `nothing`: a dry run of the first region where nothing is there;
- `finished`: a run of it where everything is there;
- `second`: a dry run of the second region, whose models the first one has trained;
- `whole`: a dry run of the sheet without regions, where nothing else is there.

    python benchmarks/regions.py [SCENES] [SCENES PER REGION]       20,000 and 500, if none are given
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import yaml
from graph import DRY, ROOT, RUN, say, write_results

LABELLED = 25
MEMBER = "presets/rio.yaml"
"""The configuration of one class and one member that is laid over config.yaml."""


def write_project(folder: Path, scenes: int, each: int) -> None:
    """A sheet of so many scenes to predict, so many in a region; a configuration for two regions and for the whole."""
    for name in ("Snakefile", "workflow", "profiles", "envs", "presets", "config.yaml"):
        (folder / name).symlink_to(ROOT / name)
    data = folder / "data"
    data.mkdir()
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    (data / "labels.geojson").write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    lines = ["scene\tsplit\tregion\trgb\tlabels"]
    for number in range(LABELLED + scenes):
        (data / f"{number}.tif").write_bytes(buffer.getvalue()[:-4] + number.to_bytes(4))  # its last pixels
        learnt, region = number < LABELLED, (number - LABELLED) // each
        role = "train\t" if learnt else f"predict\tr{region}"
        lines.append(f"s{number}\t{role}\t{number}.tif\t{'labels.geojson' if learnt else ''}")
    (data / "scenes.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, region in (("first", "r0"), ("second", "r1"), ("whole", None)):
        given = {"dataset": {"table": "data/scenes.tsv", "region": region}, "results": f"results-{name}"}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")


def main() -> None:
    """Print one row per command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("scenes", nargs="?", type=int, default=20_000, help="scenes to predict (default: %(default)s)")
    parser.add_argument("each", nargs="?", type=int, default=500, help="of a region (default: %(default)s)")
    given = parser.parse_args()
    print("scenes  what             seconds  processor  peak MB    jobs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["RASTERLOOM_STORE"] = str(folder / "store")
        write_project(folder, given.scenes, given.each)

        def region(what: str, configuration: str, how: list[str]) -> None:
            count = given.scenes if configuration == "whole" else given.each
            say(count, what, folder, ["snakemake", *how, "--configfile", MEMBER, f"{configuration}.yaml"])

        region("nothing", "first", DRY)
        write_results(folder, MEMBER, "first.yaml")
        region("finished", "first", RUN)
        region("second", "second", DRY)
        region("whole", "whole", DRY)


if __name__ == "__main__":
    main()
