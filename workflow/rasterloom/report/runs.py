"""Runs: what a finished run was made with and what it scored, kept for comparison, with the curves of its trainings.

A run is a file ``<results>/runs/<name>.json``. Its name is a digest of recipe and scores, so running the same again
adds nothing. The learning curves of its trainings are copied to ``runs/curves/``, one file per checkpoint. Nothing in
this folder is declared to Snakemake or part of a key: it holds times.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rasterloom import __version__
from rasterloom.errors import InputError, StoreError
from rasterloom.polygons.scores import HELD_OUT, OUT_OF_FOLD
from rasterloom.store.digest import digest
from rasterloom.store.files import read_json, write_text
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store
from rasterloom.text import nearest

PARTS = (HELD_OUT, OUT_OF_FOLD)

NAME_DIGITS = 8
_CURVE_DIGITS = 32

_WITHOUT_EFFECT = ("results", "sanity", "execution")
"""Sections of the configuration that change no result."""

Curve = list[dict[str, Any]]
"""Rows of a learning curve, as `rasterloom.learning.curves` writes them; numbers, None where there is none."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    name : eight hexadecimal digits.
    when : ISO time (UTC) at which the run finished for the first time.
    recipe : the merged configuration with its defaults, without what changes no result.
    versions : of the library (``rasterloom``) and of each stage.
    scores : by part the pooled Jaccard of each class, and of their ``mean``; None where there is nothing to score.
    trainings : by ``member/fold`` the checkpoint's ``digest`` and what it cost (``seconds``, ``device``).
    """

    name: str
    when: str
    recipe: dict[str, Any]
    versions: dict[str, Any]
    scores: dict[str, dict[str, float | None]]
    trainings: dict[str, dict[str, Any]]

    @property
    def seconds(self) -> float:
        """What the trainings took, those included that an earlier run had made."""
        return float(sum(cost.get("seconds") or 0.0 for cost in self.trainings.values()))


def record(results: Path, recipe: Mapping[str, Any], versions: Mapping[str, int], models: Iterable[str]) -> Run | None:
    """Keep the run that has just finished.

    Parameters
    ----------
    results : the results folder, whose ``score.tsv`` is that of this recipe.
    recipe : the merged configuration with its defaults.
    versions : of the stages.
    models : paths of the manifests of checkpoints, relative to `results`.

    Returns
    -------
    Run or None
        None if a run with this recipe and these scores is known.
    """
    from rasterloom.report.classes import read_scores

    own = {key: value for key, value in recipe.items() if key not in _WITHOUT_EFFECT}
    pooled = read_scores(results / "score.tsv").pooled
    scores = {part: {name: value for (name, own_part), value in pooled.items() if own_part == part} for part in PARTS}
    name = digest([own, scores])[:NAME_DIGITS]
    path = results / "runs" / f"{name}.json"
    if path.exists():
        return None
    store, trainings = Store.of(results), {}
    for model in (path for path in models if (results / path).is_file()):
        training = model.removeprefix("models/").removesuffix(".json")
        for item in Manifest.read(results / model).items.values():
            cost = store.cost(item)
            trainings[training] = {"digest": item.digest, **{k: cost.get(k) for k in ("seconds", "device")}}
            copy = _curve_copy(results, item.digest)
            with suppress(FileNotFoundError):  # models per pixel have no curve
                if not copy.exists():
                    write_text(copy, (results / "training" / f"{training}.jsonl").read_text(encoding="utf-8"))
    when = datetime.now(UTC).isoformat(timespec="seconds")
    run = Run(name, when, own, {"rasterloom": __version__, **versions}, scores, trainings)
    write_text(path, json.dumps(asdict(run), indent=1, ensure_ascii=False) + "\n")  # not sorted: sensors have an order
    return run


def _curve_copy(results: Path, checkpoint: str) -> Path:
    return results / "runs/curves" / f"{checkpoint[:_CURVE_DIGITS]}.jsonl"


def read_runs(results: Path) -> list[Run]:
    """The runs of a results folder, oldest first; StoreError if a file is none."""
    found = []
    for path in (results / "runs").glob("*.json"):
        try:
            found.append(Run(**read_json(path)))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{path} is not the record of a run ({error}): delete it") from None
    return sorted(found, key=lambda run: (run.when, run.name))


def find_run(runs: Sequence[Run], name: str) -> int:
    """The place of the run whose name begins so; InputError if none or several do."""
    found = [place for place, run in enumerate(runs) if run.name.startswith(name)]
    if len(found) != 1:
        what = "several runs begin" if found else "no run begins"
        raise InputError(f"{what} with {name!r}; {nearest(name, (run.name for run in runs))}")
    return found[0]


def run_curves(results: Path, run: Run) -> dict[str, Curve]:
    """The learning curves of a run's networks, by ``member/fold``."""
    paths = {name: _curve_copy(results, training["digest"]) for name, training in run.trainings.items()}
    return {name: read_curve(path) for name, path in paths.items() if path.is_file()}


def current_curves(results: Path) -> dict[str, Curve]:
    """The learning curves of the trainings that a results folder has now, those under way included."""
    folder = results / "training"
    paths = sorted(folder.glob("*/*.jsonl"))
    return {path.relative_to(folder).with_suffix("").as_posix(): read_curve(path) for path in paths}


def read_curve(path: Path) -> Curve:
    """A learning curve; a last line that is being written is left out.

    Raises
    ------
    StoreError
        If another line is no JSON.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except ValueError as error:
        raise StoreError(f"{path} is not a learning curve ({error}): delete it") from None


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Paths of keys and their values as text; a list of plain values is one value.

    Examples
    --------
    >>> dict(flat({"a": {"b": [1, 2]}, "c": [{"d": None}]}))
    {'a.b': '[1, 2]', 'c[0].d': 'null'}
    """
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from flat(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        for index, entry in enumerate(value):
            yield from flat(entry, f"{path}[{index}]")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def differences(old: Run, new: Run) -> list[tuple[str, str | None, str | None]]:
    """Where two runs differ in their recipe or in the versions that made them: path, old and new value, None if absent.

    The order of sensors, which is that of channels, counts as a value.
    """
    tables = []
    for run in (old, new):
        versions = {f"version of {name}": str(value) for name, value in run.versions.items()}
        tables.append(dict(flat(run.recipe)) | {"sensors": ", ".join(run.recipe["sensors"])} | versions)
    before, after = tables
    paths = dict.fromkeys([*before, *after])
    return [(path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)]
