"""A training that is killed at random steps, again and again, ends with the bits of one that was not.

    python benchmarks/resume.py --work FOLDER      `keep: ema` and `keep: best`, watched, five kills each; two minutes

The processes are those of `rasterloom train`, on generated scenes and the smallest network; SIGKILL ends them. They
save their state more often than every two minutes, so that there is something to go on from.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from ablation import prepare, shell

STEPS = 400
MEMBERS = [{"model": "unet8", "channels": "all20", "scale": "s128"}]
CLASSES = {"waterway": None, "buildings": {"members": MEMBERS}}
COMMAND = """
import sys
from rasterloom import cli
from rasterloom.learning.training import train
train.__kwdefaults__["save_seconds"] = 0.2
cli.main(["train", *sys.argv[1:]])
"""


def main() -> None:
    """Train once whole and once with kills; end with 1 if the checkpoints differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of data, results and store")
    parser.add_argument("--kills", type=int, default=5, help="of each training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the kills (default: the time)")
    args = parser.parse_args()
    folder, rng = args.work.resolve(), np.random.default_rng(args.seed)
    prepare(folder)
    shell(folder, ["rasterloom", "scenes", "data/tiny", "--train", "4", "--test", "1", "--size", "256", "--seed", "1"])
    same = [check(folder, keep, kill_steps(rng, args.kills)) for keep in ("ema", "best")]
    print(f"seed {args.seed}: {'the same bits' if all(same) else 'OTHER BITS'}")
    sys.exit(not all(same))


def kill_steps(rng: np.random.Generator, count: int) -> list[int]:
    """Random steps, ascending, at which to kill; a step near the beginning or the end would be missed."""
    return sorted(int(step) for step in rng.choice(np.arange(20, STEPS - 20), count, replace=False))


def check(folder: Path, keep: str, kills: list[int]) -> bool:
    """Whether a training with kills ends with the checkpoint of one without."""
    results, files = folder / f"results-{keep}", ["presets/tiny.yaml", f"{keep}.yaml"]
    training = {"steps": STEPS, "keep": keep}
    config = {"results": results.name, "classes": CLASSES, "defaults": {"training": training}}
    (folder / files[1]).write_text(yaml.safe_dump(config), encoding="utf-8")
    shell(folder, ["snakemake", "--cores", "all", "--until", "train", "--configfile", *files])
    (manifest,) = (results / "models").glob("*/*.json")
    whole = digest_of(manifest)
    shutil.rmtree(folder / "store/train")
    curve = results / "training" / manifest.parent.name / f"{manifest.stem}.jsonl"
    curve.unlink()
    names = ["--member", manifest.parent.name, "--fold", manifest.stem]
    for kill in [*kills, None]:
        code, began = run(folder, [*names, "--configfile", *files], curve, kill)
        print(f"{keep}: {began}; ended with {code} at step {last_step(curve)}", flush=True)
    return digest_of(manifest) == whole


def run(folder: Path, arguments: list[str], curve: Path, kill: int | None) -> tuple[int, str]:
    """Train in a process, killed when its curve has reached a step; its exit code, and where it began."""
    environment = os.environ | {"PYTHONPATH": str(folder / "workflow"), "RASTERLOOM_STORE": str(folder / "store")}
    command = [sys.executable, "-c", COMMAND, *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while kill is not None and process.poll() is None:
            if last_step(curve) >= kill:
                process.kill()
            time.sleep(0.01)
        said = process.communicate()[1].splitlines()
    return process.returncode, next((line for line in said if "goes on" in line), "from the beginning")


def last_step(curve: Path) -> int:
    """The last step that a curve tells of; 0 without any."""
    lines = curve.read_text(encoding="utf-8").splitlines(keepends=True) if curve.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    return int(json.loads(whole[-1])["step"]) if whole else 0


def digest_of(manifest: Path) -> str:
    """The content digest of the checkpoint that a manifest names."""
    return str(json.loads(manifest.read_text(encoding="utf-8"))["items"][manifest.stem]["digest"])


if __name__ == "__main__":
    main()
