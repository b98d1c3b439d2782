"""Registering and stacking a scene as the workflow does it, and resampling against rasterio and scikit-image.

A generated scene of the contest's full size, 20 channels: its registration, then its stacks of 1024 and 2048 pixels
side by side, each a process of its own as Snakemake starts it; seconds, and peak memory. Then, in this process and in
turn, the same sensors to the same grids by rasterloom, by `rasterio.warp.reproject` (average where it shrinks, else
bilinear) and by `skimage.transform.resize` (smoothed where it shrinks): medians, their ratio, and how far a ramp
comes out of its place.

    python benchmarks/stacking.py [--size 3396x3349] [--rounds 5]
    python benchmarks/stacking.py --large [--side 20000]     a reference and a sensor a fourth as fine, of four bands
                                                             each, registered and stacked at native size: 4 GB at most

The second needs three times the disk of its image, 3.2 GB, below `--folder` while it runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from arrays import resample
from numpy.typing import NDArray
from ratios import record

from rasterloom.config import read_config_files
from rasterloom.planning.graph import Dag
from rasterloom.raster.grid import Grid, Matrix, scale_grid
from rasterloom.raster.stacks import open_stack
from rasterloom.tools.scenes import parse_size

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
BANDS = 4
COARSER = 4
BLOCK = 500


@dataclass(frozen=True)
class Cost:
    """Seconds, seconds of processor and peak memory in MB of a process."""

    wall: float
    processor: float
    peak: float


def run_job(dag: Dag, stage: str, **names: str) -> Cost:
    """Run a job of a stage as Snakemake does, and give what it cost."""
    spec, sources = dag.argument(dag.spec(stage, **names)), dag.argument(dag.sources(stage, **names))
    command = ["-m", "rasterloom", stage, "--results", str(dag.results), "--spec", spec, "--sources", sources]
    with tempfile.TemporaryFile("w+") as said:
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, *command], env=ENVIRONMENT, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        said.seek(0)
        if process.returncode:
            raise SystemExit(said.read())
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def loaded(folder: Path, overlay: Mapping[str, Any]) -> Dag:
    """The jobs of the repository's configuration with tables laid over it."""
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(dict(overlay), sort_keys=False), encoding="utf-8")
    return Dag.load(read_config_files([ROOT / "config.yaml", path]))


# A scene of the contest ---------------------------------------------------------------------------------------


def contest_scene(folder: Path, size: tuple[int, int]) -> tuple[Dag, str]:
    """A generated scene in the contest's layout: the jobs of the full recipe over it, and its id.

    Made by a process of its own: the peak memory of a process counts what its parent had when it was started.
    """
    arguments = ["--train", "1", "--test", "0", "--size", "x".join(map(str, size))]
    subprocess.run(
        [sys.executable, "-m", "rasterloom", "scenes", str(folder / "data"), *arguments], env=ENVIRONMENT, check=True
    )
    dataset = {"root": str(folder / "data"), "predict": []}
    dag = loaded(folder, {"dataset": dataset, "normalise_by": "dataset", "results": str(folder / "results")})
    return dag, next(iter(dag.statistics_scenes))


def stack_once(dag: Dag, scene: str, scales: Sequence[str]) -> tuple[float, dict[str, Cost]]:
    """Register a scene, then stack it at scales side by side: seconds in all, and what each job cost."""
    shutil.rmtree(dag.results, ignore_errors=True)
    started = time.monotonic()
    costs = {"register": run_job(dag, "register", scene=scene)}
    costs["place"] = run_job(dag, "place", acquisition=next(iter(dag.acquisitions)))
    with ThreadPoolExecutor(len(scales)) as pool:
        jobs = {scale: pool.submit(run_job, dag, "stack", scene=scene, scale=scale) for scale in scales}
    costs.update({f"stack {scale}": job.result() for scale, job in jobs.items()})
    return time.monotonic() - started, costs


def print_jobs(dag: Dag, scene: str, rounds: int) -> None:
    """A row a job: medians and least, and what all together take."""
    scales = ("s1024", "s2048")
    runs = [stack_once(dag, scene, scales) for _ in range(rounds)]
    print("job            seconds: median   least   processor   peak MB")
    for name in runs[0][1]:
        costs = [costs[name] for _, costs in runs]
        walls, busy = [cost.wall for cost in costs], [cost.processor for cost in costs]
        peak = max(cost.peak for cost in costs)
        print(f"{name:14s} {statistics.median(walls):15.2f} {min(walls):7.2f} {min(busy):11.2f} {peak:9.0f}")
    walls = [wall for wall, _ in runs]
    peaks = [(costs["register"].peak, sum(costs[f"stack {s}"].peak for s in scales)) for _, costs in runs]
    together = max(max(pair) for pair in peaks)
    print(f"{'all':14s} {statistics.median(walls):15.2f} {min(walls):7.2f} {'':11s} {together:9.0f}", flush=True)


Way = Callable[[NDArray[Any], Grid], NDArray[Any]]
"""Brings an image (C, h, w) to a grid that covers the same ground: (C, H, W)."""


def by_rasterloom(image: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """As the stage `stack`, without files."""
    _, height, width = image.shape
    matrix: Matrix = [[width / grid.width, 0.0, 0.0], [0.0, height / grid.height, 0.0]]
    return resample(image, matrix, (grid.height, grid.width))[0]


def by_rasterio(image: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """GDAL's warper: average where the image shrinks, else bilinear."""
    from rasterio.crs import CRS
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    _, height, width = image.shape
    across, down = width / grid.width, height / grid.height
    out = np.empty((len(image), grid.height, grid.width), np.float32)
    reproject(
        image.astype(np.float32),
        out,
        src_transform=Affine(1, 0, 0, 0, -1, height),
        dst_transform=Affine(across, 0, 0, 0, -down, height),
        src_crs=CRS.from_epsg(32631),
        dst_crs=CRS.from_epsg(32631),
        resampling=Resampling.average if across > 1 else Resampling.bilinear,
        num_threads=1,
    )
    return out


def by_skimage(image: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """scikit-image: a Gaussian where the image shrinks, then linear interpolation."""
    from skimage.transform import resize

    planes = [
        resize(plane, (grid.height, grid.width), order=1, mode="edge", anti_aliasing=True, preserve_range=True)
        for plane in image.astype(np.float32)
    ]
    return np.stack(planes)


WAYS: dict[str, Way] = {"rasterloom": by_rasterloom, "rasterio": by_rasterio, "scikit-image": by_skimage}


def out_of_place(way: Way, shape: tuple[int, int], grid: Grid) -> float:
    """How far, in pixels of the image, a ramp comes out of its place at most, away from the borders."""
    height, width = shape
    ramp = np.tile(np.arange(width, dtype=np.float32) + 0.5, (1, height, 1))
    found = way(ramp, grid)[0]
    centre = (np.arange(grid.width) + 0.5) * width / grid.width
    inner = (centre > 4) & (centre < width - 4)
    return float(np.abs(found[8:-8] - centre)[:, inner].max())


def print_ways(folder: Path, scene: str, rounds: int) -> None:
    """A row a sensor and scale: each way's median, its ratio to rasterloom's, and what it does to a ramp."""
    import tifffile

    names = {"rgb": f"three_band/{scene}.tif", **{s: f"sixteen_band/{scene}_{s.upper()}.tif" for s in "pma"}}
    images = {name: np.atleast_3d(tifffile.imread(folder / "data" / path)) for name, path in names.items()}
    images["p"] = np.moveaxis(images["p"], 2, 0)
    _, height, width = images["rgb"].shape
    print("\nsensor  grid   ", "".join(f"{name + ': s':>16s}  ratio  ramp off" for name in WAYS))
    for size in (1024, 2048):
        grid = scale_grid({"size": size}, width, height)
        for sensor, image in images.items():
            times: dict[str, list[float]] = {name: [] for name in WAYS}
            for _ in range(rounds):
                for name, way in WAYS.items():
                    started = time.perf_counter()
                    way(image, grid)
                    times[name].append(time.perf_counter() - started)
            medians = {name: statistics.median(found) for name, found in times.items()}
            cells = [
                f"{median:16.3f} {median / medians['rasterloom']:6.1f} "
                f"{out_of_place(WAYS[name], image.shape[1:], grid):9.4f}"
                for name, median in medians.items()
            ]
            print(f"{sensor:7s} {size:5d}   {''.join(cells)}", flush=True)
            for name, median in medians.items():
                if name != "rasterloom":
                    record(f"{sensor} brought to {size} pixels", name, median / medians["rasterloom"])


# A large scene ------------------------------------------------------------------------------------------------


def ground(x: NDArray[Any], y: NDArray[Any], band: int) -> NDArray[np.uint16]:
    """Digital numbers of a patchwork of fields, with tracks between and texture within, at places in pixels."""
    row, column = np.floor(y / 173 + 0.3 * np.sin(x / 911)), np.floor(x / 211 + 0.3 * np.sin(y / 787))
    field = np.modf(np.sin(row * 12.9898 + column * 78.233 + band) * 43758.5453)[0]
    texture = np.sin(x / 7.3 + band) * np.sin(y / 9.1) + np.sin((x + y) / 31)
    return (900 + 500 * field + 40 * texture).astype(np.uint16)


def write_large(path: Path, side: int, pixel: float, shift: tuple[float, float]) -> None:
    """A tiled GeoTIFF of four bands: the ground of `side` pixels of `pixel` reference pixels, written in blocks."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    place = Affine(pixel, 0, 500_000, 0, -pixel, 5_000_000)
    profile = {"count": BANDS, "height": side, "width": side, "dtype": "uint16", "crs": "EPSG:32631"}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "YES"}
    x = (np.arange(side) + 0.5)[None, :] * pixel + shift[0]
    with rasterio.open(path, "w", driver="GTiff", transform=place, **profile, **tiles) as file:
        for top in range(0, side, 256):
            rows = min(256, side - top)
            y = (top + np.arange(rows) + 0.5)[:, None] * pixel + shift[1]
            block = np.stack([ground(x, y, band) for band in range(BANDS)])
            file.write(block, window=Window(0, top, side, rows))


SHEET = {
    "sensors": {
        "rgb": {"bands": BANDS, "nodata": 0},
        "p": None,
        "m": {"bands": BANDS, "registration": "auto", "max_shift": 24},
        "a": None,
    },
    "channels": {"all20": None, "rgbp": None, "all": ["rgb", "m"]},
    "scales": {"s1024": None, "s2048": None, "native": {}},
    "targets": {"vehicles": None},
    "validation": {"split": None, "folds": 2},
}


def large_scene(folder: Path, side: int) -> Dag:
    """A scene of two sensors in a sheet, the second a fourth as fine and off by 5.3, -3.6 pixels; its jobs."""
    data = folder / "data"
    data.mkdir(parents=True)
    write_large(data / "rgb.tif", side, 1.0, (0.0, 0.0))
    write_large(data / "m.tif", side // COARSER, float(COARSER), (-5.3, 3.6))
    rows = [("scene", "split", "rgb", "m", "labels:objects")]
    for name in ("large", "same", "again"):
        (data / f"{name}.geojson").write_text(LABEL, encoding="utf-8")
        rows.append((name, "train", "rgb.tif", "m.tif", f"{name}.geojson"))
    text = "".join("\t".join(row) + "\n" for row in rows)
    (data / "scenes.tsv").write_text(text, encoding="utf-8")
    classes = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["classes"]
    members = [{"model": "unet64", "channels": "all", "scale": "native"}]
    overlay = {
        **SHEET,
        "results": str(folder / "results"),
        "dataset": {"layout": "sheet", "table": str(data / "scenes.tsv"), "root": None, "predict": None},
        "classes": {**dict.fromkeys(classes), "objects": {"id": 1, "members": members}},
    }
    return loaded(folder, overlay)


LABEL = (
    '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": '
    '{"type": "Polygon", "coordinates": [[[10, 10], [20, 10], [20, 20], [10, 10]]]}}]}'
)


def windows(side: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Rows and columns of a few windows, corners among them."""
    for top in (0, side // 2, side - BLOCK):
        for left in (0, side // 3, side - BLOCK):
            yield (top, top + BLOCK), (left, left + BLOCK)


def print_large(folder: Path, side: int) -> None:
    """A row a job, and whether the stack holds what was written."""
    started = time.monotonic()
    dag = large_scene(folder, side)
    print(f"written in {time.monotonic() - started:.0f} s", flush=True)
    print("job            seconds   processor   peak MB")
    place = {"acquisition": next(name for name, scenes in dag.acquisitions.items() if "large" in scenes)}
    jobs = {"register": {"scene": "large"}, "place": place, "stack": {"scene": "large", "scale": "native"}}
    for stage, names in jobs.items():
        cost = run_job(dag, stage, **names)
        print(f"{stage:14s} {cost.wall:7.1f} {cost.processor:11.1f} {cost.peak:9.0f}", flush=True)
    path = next((dag.results / "stacks/native").glob("*.zarr.zip")).resolve()
    wrong, apart = 0, []
    with open_stack(path) as stack:
        for (top, bottom), (left, right) in windows(side):
            data = stack.data[:, top:bottom, left:right]
            x, y = np.arange(left, right)[None, :] + 0.5, np.arange(top, bottom)[:, None] + 0.5
            expected = np.stack([ground(x, y, band) for band in range(BANDS)])
            wrong += int((data[:BANDS] != expected).sum())
            apart.append(float(np.median(np.abs(data[BANDS:].astype(int) - expected))))
    size = path.stat().st_size / 1e9
    print(f"{wrong} numbers of the reference differ; the coarser sensor by {statistics.median(apart):.0f} (median)")
    print(f"the stack has {size:.1f} GB, its images {2 * BANDS * side**2 * (1 + 1 / COARSER**2) / 1e9:.1f} GB")


def main() -> None:
    """Run one of the two benchmarks in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="the large scene instead")
    parser.add_argument("--size", default="3396x3349", help="RGB pixels of the generated scene")
    parser.add_argument("--side", type=int, default=20_000, help="pixels a side of the large scene")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder is made there and removed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        if args.large:
            print_large(folder, args.side)
            return
        dag, scene = contest_scene(folder, parse_size(args.size))
        print_jobs(dag, scene, args.rounds)
        print_ways(folder, scene, max(3, args.rounds // 2))


if __name__ == "__main__":
    main()
