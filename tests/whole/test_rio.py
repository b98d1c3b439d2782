"""Real imagery through a sheet: the SpaceNet Rio chips, black ones and all, with a short training."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import geopandas
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHIPS = ("rio_52", "rio_54", "rio_61", "rio_58", "rio_64")
"""Houses, houses, sea; to predict: no data, houses. `make rio` runs all fifteen."""
pytestmark = pytest.mark.workflow


def test_rio_chips_through_a_sheet(tmp_path: Path, test_data: Path) -> None:
    for name in ("Snakefile", "config.yaml", "workflow", "presets", "envs", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    short = {"defaults": {"training": {"steps": 40, "patch": 64}, "prediction": {"stride": 192, "symmetries": False}}}
    short |= {"validation": {"split": 0.7, "folds": None}}
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(short))
    environment = {"RASTERLOOM_TEST_DATA": str(test_data), "PATH": os.environ["PATH"]}

    def run(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]

    run("presets/rio.py")
    sheet = tmp_path / "data/rio/scenes.tsv"
    lines = sheet.read_text().splitlines()
    assert len(lines) == 16
    sheet.write_text("\n".join(line for line in lines if line.split("\t")[0] in {"scene", *CHIPS}) + "\n")
    run("-m", "snakemake", "--cores", "2", "--configfile", "presets/rio.yaml", "short.yaml")
    results = tmp_path / "results-rio"
    with (results / "score.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    held_out = {row["scene"]: row for row in rows if row["part"] == "held-out" and row["class"] == "buildings"}
    assert set(held_out) == {"all", "rio_58", "rio_64"}
    assert held_out["rio_58"]["jaccard"] == "", "a black chip holds neither truth nor prediction"
    assert float(held_out["rio_64"]["fn"]) + float(held_out["rio_64"]["tp"]) > 10_000
    assert float(held_out["rio_64"]["tp"]) > 0
    black = geopandas.read_parquet(results / "polygons/buildings/rio_58.parquet")
    assert len(black) == 0
    chip = geopandas.read_parquet(results / "polygons/buildings/rio_64.parquet")
    assert chip.crs.to_epsg() == 4326
    assert chip.total_bounds[0] > -44
    assert chip.total_bounds[2] < -42, "in Rio, where the image is"
