"""Whole runs of presets/tiny.yaml, and what is compared of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ASIDE = {"store", "logs", "benchmarks", "training", "runs", "report", "vectors", "config.json"}
"""What holds times, names of folders, or bytes of databases."""


def project(folder: Path) -> Path:
    """A new folder with the repository's files."""
    folder.mkdir()
    for name in ("Snakefile", "config.yaml", "workflow", "presets", "envs", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(
    folder: Path,
    *arguments: str,
    python: Path | str = sys.executable,
    environment: Mapping[str, str] | None = None,
    limit: float = 3600.0,
) -> str:
    """What Snakemake says; it must end well, within a limit: some mistakes make it wait for a job without end."""
    command = [str(python), "-m", "snakemake", *arguments]
    given = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=limit)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout + done.stderr


def digests(results: Path) -> dict[str, str]:
    """SHA-256 of every manifest and table of a results folder, by path."""
    files = (path for path in sorted(results.rglob("*")) if path.is_file() and not path.is_symlink())
    named = ((path.relative_to(results), path) for path in files)
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named
        if name.parts[0] not in ASIDE and not any(part.startswith(".") for part in name.parts)
    }
