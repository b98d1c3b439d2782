"""The plan in words: what it says of generated scenes, of the contest's recipe, and of scenes to come."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml

from common import ROOT, stand_in_dag
from contest_sizes import PREDICT, TRAIN, contest_sizes
from rasterloom.cli import main
from rasterloom.config.resolve import with_quality
from rasterloom.planning.disk import Space
from rasterloom.planning.graph import Dag
from rasterloom.planning.rates import Kind, checkpoints, job_minutes, tasks
from rasterloom.stages import full_run
from rasterloom.store.files import write_json
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store
from rasterloom.text import duration
from rasterloom.tools import plan
from rasterloom.tools.scenes.writing import write_scenes

Say = Callable[..., str]


@pytest.fixture
def contest(settings_table: dict[str, Any]) -> Callable[..., Dag]:
    """The contest's recipe over names of scenes, with keys changed."""

    def build(**changes: Any) -> Dag:
        found: Dag = stand_in_dag({**settings_table, "results": "results-nowhere", **changes}, TRAIN, PREDICT)
        return found

    return build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with tiny scenes, config.yaml and an overlay."""
    found = tmp_path_factory.mktemp("plan")
    write_scenes(found / "data/tiny", train=3, test=2, size=(256, 256), seed=3)
    (found / "config.yaml").symlink_to(ROOT / "config.yaml")
    (found / "presets").symlink_to(ROOT / "presets")
    return found


@pytest.fixture
def say(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """The plan of the tiny recipe, printed in its folder, with an overlay on top."""
    monkeypatch.chdir(folder)

    def run(code: int = 0, **overlay: Any) -> str:
        (folder / "mine.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            main(["plan", "--configfile", "presets/tiny.yaml", "mine.yaml"])
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        return printed.err if code else printed.out

    return run


@pytest.mark.slow
def test_plan_of_generated_scenes_names_everything(say: Say) -> None:
    text = say()
    for words in (
        "3 labelled, 2 to predict (2 with held-out truth)",
        "rgb 3, p 1, m 8, a 8: 20 in all",
        "4 members of 2 classes, 4 checkpoints: 1 fold each",
        f"of {len(full_run()) - 1} stages",  # each scene has its own normalisation
        "free in results-tiny/store",
        "by built-in constants",
        "unknown for 2 members",
        "`normalise_by: scene`",
    ):
        assert words in text, words
    assert max(len(line) for line in text.splitlines()) <= 100


def test_plan_counts_jobs_as_snakemake_would(say: Say, folder: Path) -> None:
    from rasterloom.config import read_configuration

    dag = Dag.load(read_configuration([Path("presets/tiny.yaml")]))
    lines = say().splitlines()
    found = {stage: len(paths) for stage, paths in dag.outputs().items() if paths}
    for stage, count in found.items():
        (row,) = [line.split() for line in lines if line.startswith(f"  {stage} ")]
        assert row[1] == str(count), stage
    assert f"Jobs: {sum(found.values())} of {len(found)} stages" in lines


def test_plan_writes_nothing(say: Say, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    say()
    assert sorted(folder.rglob("*")) == sorted({*before, folder / "mine.yaml"})


def test_plan_opens_no_pixels_and_no_torch(folder: Path) -> None:
    code = (
        "import sys; from rasterloom.raster import files as raster_files\n"
        "def refuse(*_): raise SystemExit('pixels were read')\n"
        "raster_files.Raster.read = refuse\n"
        "from rasterloom.cli import main\n"
        "try: main(['plan', '--configfile', 'presets/tiny.yaml'])\n"
        "except SystemExit as end: sys.exit(end.code or ('torch' in sys.modules and 'torch was imported'))"
    )
    environment = {"PYTHONPATH": str(ROOT / "workflow"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_plan_says_what_is_wrong_with_the_configuration(say: Say) -> None:
    message = say(code=1, statistics="everything")
    assert "statistics" in message
    assert "Traceback" not in message


def test_plan_stale_lists_what_a_run_would_compute(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rasterloom.planning.stale")
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--stale", "--configfile", "presets/tiny.yaml"])
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert sum(line.startswith("stack\t") for line in lines) == 10
    assert not any(line.startswith("Data:") for line in lines)


def test_plan_without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["plan"])
    assert "no configuration: run this beside config.yaml" in capsys.readouterr().err


def test_model_lines_of_the_contest(contest: Callable[..., Dag]) -> None:
    dag = contest(validation={"folds": 5, "predict_with": "refit"})
    lines = plan.model_lines(dag, contest_sizes(dag))
    assert lines[0] == (
        "Models: 28 members of 10 classes, 168 checkpoints: 5 folds each and one trained once more on everything"
    )
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in lines[2:]}
    assert rows["unet64", "all20", "s2048"] == ["10", "20", "1,638,593", "40,000", "4", "256"]
    assert rows["unet64", "rgbp", "native"] == ["3", "4", "1,629,377", "40,000", "4", "256"]
    assert rows["forest", "all20", "s1024"] == ["1", "20", "-", "-", "-", "-"]


def rates_of(dag: Dag, seconds: float = 1e-6) -> dict[Kind, float]:
    """A device that does every work of a recipe in so many seconds per pixel."""
    return {task.kind: seconds for task in tasks(dag, contest_sizes(dag))}


def test_hours_are_pixels_times_the_rate_of_the_network(contest: Callable[..., Dag]) -> None:
    """26 networks, 40,000 steps of 4 images of 256 x 256 pixels each."""
    dag = contest()
    found = list(tasks(dag, contest_sizes(dag)))
    training = [task for task in found if task.kind[0] == "training"]
    whole = duration(26 * 40_000 * 4 * 256**2 * 1e-6)
    assert [(task.pixels, task.done) for task in training] == [(40_000 * 4 * 256**2, False)] * 26
    assert plan.hours(found, "training", rates_of(dag)) == f"{whole} to do of {whole}"


def test_job_minutes_are_twice_the_work_of_the_slowest_device_of_each_job(contest: Callable[..., Dag]) -> None:
    dag = contest()
    slow, fast = rates_of(dag, 2e-6), rates_of(dag, 1e-6)
    of_nothing = job_minutes(dag, contest_sizes(dag), {})
    found = job_minutes(dag, contest_sizes(dag), {"fast": fast, "slow": slow})
    training = 20 + ceil(2 * 40_000 * 4 * 256**2 * 2e-6 / 60)
    assert of_nothing == {} and len(found) == 26 * (1 + len(dag.batches))
    assert {minutes for output, minutes in found.items() if output.startswith("models/")} == {training}
    assert all((dag.results / output).suffix == ".json" and minutes > 20 for output, minutes in found.items())


def test_hours_of_what_is_done_are_not_left(contest: Callable[..., Dag], tmp_path: Path) -> None:
    dag = contest(results=str(tmp_path))
    members = list(dict.fromkeys(task.member for task in tasks(dag, contest_sizes(dag))))
    assert len(members) == 26
    for member in members[:13]:
        write_json(tmp_path / f"models/{member}/fold-0.json", {})
    write_json(tmp_path / f"predictions/{members[0]}/{PREDICT[0]}.json", {})
    found = list(tasks(dag, contest_sizes(dag)))
    assert Counter(task.kind[0] for task in found if task.done) == {"training": 13, "prediction": 1}
    one = duration(40_000 * 4 * 256**2 * 1e-6 * 13)
    assert plan.hours(found, "training", rates_of(dag)).startswith(f"{one} to do of ")


def test_hours_of_a_network_without_a_record_are_unknown(contest: Callable[..., Dag]) -> None:
    dag = contest()
    found = list(tasks(dag, contest_sizes(dag)))
    known = rates_of(dag)
    assert plan.hours(found, "training", {}) == "unknown"
    rgbp = {task.member for task in found if "rgbp" in task.member}
    del known[next(task.kind for task in found if task.kind[0] == "training" and task.member in rgbp)]
    assert plan.hours(found, "training", known).endswith(f", unknown for {len(rgbp)} members")
    assert "unknown" not in plan.hours(found, "prediction", known)


def test_checkpoints_that_predict_a_scene(contest: Callable[..., Dag]) -> None:
    dag = contest(validation={"folds": 3})
    member = next(iter(dag.recipe.members.values()))
    assert checkpoints(dag, member, TRAIN[0]) == 1, "the one that it was held out from"
    assert checkpoints(dag, member, PREDICT[0]) == 3
    refit = contest(validation={"folds": 3, "predict_with": "refit"})
    assert checkpoints(refit, member, PREDICT[0]) == 1


def test_time_lines_name_devices_and_what_is_unknown(contest: Callable[..., Dag]) -> None:
    dag = contest()
    known = {kind: rate for kind, rate in rates_of(dag).items() if kind[0] == "training"}
    text = "\n".join(plan.time_lines(dag, contest_sizes(dag), {"NVIDIA X": known}))
    assert "NVIDIA X: training " in text
    assert "prediction unknown" in text
    assert "unknown for 26 members" in text
    assert "rasterloom plan --benchmark" in text
    assert "unknown" not in "\n".join(plan.time_lines(dag, contest_sizes(dag), {"NVIDIA X": rates_of(dag)}))


def test_time_lines_have_the_hours_of_each_quality(contest: Callable[..., Dag]) -> None:
    """What the contest's scenes take; keys that are given stay, and the plan says so."""

    def line(**changes: Any) -> str:
        dag = contest(**changes)
        return next(own for own in plan.time_lines(dag, contest_sizes(dag), {"X": rates_of(dag)}) if "quality" in own)

    dag = contest()
    seconds = {
        quality: sum(
            1e-6 * task.pixels
            for task in tasks(dag, contest_sizes(dag), with_quality(dag.config, quality).members)
            if task.kind[0] == "prediction"
        )
        for quality in ("authors", "fast", "preview")
    }
    assert 25 < seconds["authors"] / seconds["fast"] < 35 and 90 < seconds["authors"] / seconds["preview"] < 130
    assert line() == "    by `quality`: " + ", ".join(f"{name} {duration(own)}" for name, own in seconds.items())
    given = line(defaults={"prediction": {"quality": "preview", "window": 128, "stride": 64}})
    assert given.endswith("; `window`, `stride` of the configuration take precedence")


def test_time_lines_without_a_network(contest: Callable[..., Dag], settings_table: dict[str, Any]) -> None:
    dag = contest(classes={"waterway": settings_table["classes"]["waterway"]}, targets={})
    assert plan.networks(dag, contest_sizes(dag)) == []
    assert plan.time_lines(dag, contest_sizes(dag), {}) == [
        "Time: no member is a network, which would take nearly all of it"
    ]


def test_networks_that_are_timed_are_those_that_differ(contest: Callable[..., Dag]) -> None:
    dag = contest()
    assert sorted(channels for _, channels in plan.networks(dag, contest_sizes(dag))) == [4, 20]


def test_split_lines_are_the_notes_of_divisions_that_are_there(contest: Callable[..., Dag], tmp_path: Path) -> None:
    dag, store = contest(results=str(tmp_path)), Store(tmp_path / "store")
    assert plan.split_lines(dag, store) == []
    for group, note in {"waterway": "waterway is not validated", "trees": None}.items():
        with store.writing("split", group, ".folds.json") as work:
            work.json({"note": note})
        Manifest("split", {group: work.committed()}).write(tmp_path / f"folds/{group}.json")
    assert plan.split_lines(dag, store) == [
        "Splits, as the latest run made them:",
        "  waterway: waterway is not validated",
    ]


BY_DATASET = {"normalise_by": "dataset"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({**BY_DATASET, "statistics": "all"}, ["WARNING", "all 28 checkpoints and predicts all scenes again"]),
        ({**BY_DATASET, "statistics": "train"}, ["nothing (`statistics: train`)", "labelled scene trains all 28"]),
        ({**BY_DATASET, "statistics": ["6010_1_1"]}, ["retrains nothing", "every class that it is labelled for"]),
        ({"normalise_by": "scene"}, ["nothing (`normalise_by: scene`)", "every class that it is labelled for"]),
        ({"normalise_by": "acquisition"}, ["unless it was taken together with a labelled scene (`normalise_by"]),
    ],
)
def test_retrained_by_a_new_scene(contest: Callable[..., Dag], settings: dict[str, Any], words: list[str]) -> None:
    text = " ".join(" ".join(plan.retrained(contest(**settings))).split())
    assert all(word in text for word in words), text
    assert ("WARNING" in text) == (settings.get("statistics") == "all")


def test_disk_lines_warn_of_a_full_disk(tmp_path: Path) -> None:
    text = "\n".join(plan.disk_lines(Space(there=1e9, total=5e18), Store(tmp_path)))
    assert "WARNING" in text
    assert "RASTERLOOM_STORE" in text
    assert "WARNING" not in "\n".join(plan.disk_lines(Space(there=5e9, total=5e9), Store(tmp_path)))
