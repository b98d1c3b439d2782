"""The matrix of partial reruns: each change runs exactly the jobs, and computes exactly the items, that it must."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from matrix import READERS, ROOT, Matrix, Project, changed, counts, jobs_for, jobs_table
from matrix_keys import ELSEWHERE, KEYS, Key, leaves
from matrix_rows import CHAPTERS, ROWS
from matrix_table import document
from rasterloom.config import read_config_files
from rasterloom.learning.device import precision_on
from rasterloom.planning.graph import Dag
from rasterloom.stages import STAGES
from small_contest import write_labels, write_sample

BY_NAME = {row.name: row for row in ROWS}


def case(key: Key) -> str:
    return f"{key.key} at {key.path} is {key.value} after {key.start or 'the first run'}"


@pytest.fixture(scope="session")
def matrix(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Matrix]:
    """The outcomes of all rows that were selected, under way."""
    found = Matrix(tmp_path_factory.mktemp("matrix"), BY_NAME)
    own = [item for item in request.session.items if item.path == Path(__file__) and hasattr(item, "callspec")]
    selected = [str(item.callspec.params.get("name", "")) for item in own]
    found.begin(["", *(name for name in selected if name in BY_NAME)])
    yield found
    found.close()


@pytest.mark.workflow
def test_first_run_computes_everything(matrix: Matrix) -> None:
    outcome = matrix.outcome("")
    assert outcome.jobs == jobs_for("from(register)")
    assert outcome.items == counts(
        "register S, place S, stack K*S, normalisation 2, label C*S, mask M*T, split C, train M*F, predict M*S, "
        "weigh 1, ensemble C*S, tune C, vectorise C*S"
    )
    assert outcome.faults == []


@pytest.mark.workflow
@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_change_runs_and_computes_what_it_must(name: str, matrix: Matrix) -> None:
    row, outcome = BY_NAME[name], matrix.outcome(name)
    assert _ordered(outcome.jobs) == _ordered(row.expected_jobs)
    assert _ordered(outcome.items) == _ordered(row.expected_items)
    assert outcome.faults == []


@pytest.fixture(scope="session")
def swept(matrix: Matrix, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, int]]]:
    """Jobs and items that follow each of the other keys, by path."""
    found = {}
    for start in sorted({key.start for key in KEYS}):
        matrix.outcome(start)
        project = matrix.project(start)
        cases = {case(key): changed(project.read(), key.path, key.value) for key in KEYS if key.start == start}
        file = tmp_path_factory.mktemp("sweep") / "cases.json"
        file.write_text(json.dumps(cases), encoding="utf-8")
        found |= json.loads(
            project.call(str(ROOT / "tests/support/matrix_shadow.py"), "results", str(file)).splitlines()[-1]
        )
    return found


@pytest.mark.workflow
@pytest.mark.parametrize("key", KEYS, ids=case)
def test_key_runs_and_computes_what_it_must(key: Key, swept: dict[str, list[dict[str, int]]]) -> None:
    if key.path.endswith(".precision") and precision_on("cpu", "bfloat16") == "float32":
        pytest.skip("this processor lacks bfloat16: the network comes out as before, and nothing follows")
    jobs, items = swept[case(key)]
    assert _ordered(Counter(jobs)) == _ordered(jobs_for(key.jobs))
    stages = [key.alone] if key.alone else STAGES
    expected = counts(key.items)
    assert {stage: items.get(stage, 0) for stage in stages} == {stage: expected[stage] for stage in stages}


CONTEST = {
    "register": 25,
    "place": 5,
    "stack": 25 * 3,
    "label": 10,
    # seven classes at two scales, waterway at one, three targets of vehicles at two
    "mask": 25 * (7 * 2 + 1 + 3 * 2),
    "split": 9,
    "train": 28,
    "predict": 25 * 28,
    "weigh": 10,
    "ensemble": 25 * 10,
    "tune": 10,
    "vectorise": 25 * 10,
    "wkt": 11,
    "submission": 1,
    "score": 1,
    "export": 25,
    "measure": 1,
    "report": 1,
    **{stage: len(tables) for stage, tables in READERS.items()},
}
"""Jobs of the full recipe (ten classes, 28 members, three scales) over 25 labelled scenes."""


def _contest(folder: Path, table: dict[str, Any]) -> None:
    """A folder with config.yaml and 25 scenes of which only the names are there: no image is opened to plan a run."""
    ids = [f"60{n}0_{k}_0" for n in range(1, 6) for k in range(5)]
    root = folder / "data"
    for scene in ids:
        for name in ("three_band/{}.tif", *(f"sixteen_band/{{}}_{sensor}.tif" for sensor in "PMA")):
            path = root / name.format(scene)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    write_labels(root / "train_wkt_v4.csv", {scene: {} for scene in ids})
    write_sample(root, [])
    (root / "grid_sizes.csv").write_text(",Xmax,Ymin\n" + "".join(f"{s},0.009,-0.009\n" for s in ids), encoding="utf-8")
    table = {**table, "execution": {"scenes_per_job": 1}, "dataset": {"root": "data", "predict": "all"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")


def test_25_scenes_give_a_job_an_image_class_and_scale(
    settings_table: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _contest(tmp_path, settings_table)
    monkeypatch.chdir(tmp_path)
    outputs = Dag.load(read_config_files([Path("config.yaml")])).outputs()
    assert {stage: len(paths) for stage, paths in outputs.items() if paths} == CONTEST
    assert len({path for paths in outputs.values() for path in paths}) == sum(CONTEST.values())


@pytest.mark.workflow
def test_25_scenes_give_snakemake_as_many_jobs(settings_table: dict[str, Any], tmp_path: Path) -> None:
    _contest(tmp_path, settings_table)
    for name in ("Snakefile", "workflow", "profiles", "envs"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert jobs_table(Project(tmp_path).snakemake("-n")) == {**CONTEST, "all": 1, "total": sum(CONTEST.values()) + 1}


def test_every_key_of_the_configuration_is_in_the_matrix() -> None:
    known = {name for row in ROWS for name in row.keys} | {key.key for key in KEYS}
    assert leaves() - known == set(ELSEWHERE), "give each key a row (matrix_rows) or a place in matrix_keys.KEYS"
    tables = {f"{kind}.*" for kind in ("sensors", "scales", "classes")}
    assert known - leaves() <= tables, "no such keys"
    assert len({case(key) for key in KEYS}) == len(KEYS)


def test_table_in_the_docs_is_that_of_the_rows() -> None:
    """Remedy: python tests/support/matrix_table.py --write."""
    text = (ROOT / "docs/caching.md").read_text(encoding="utf-8")
    assert document(text, CHAPTERS) == text


def _ordered(found: dict[str, int]) -> dict[str, int]:
    return {stage: found[stage] for stage in STAGES if found.get(stage)}
