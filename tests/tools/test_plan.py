"""The plan in words: what it says of generated scenes, of the contest's recipe, and of scenes to come."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, stand_in_dag
from contest_sizes import PREDICT, TRAIN, contest_sizes
from rasterloom.cli import main
from rasterloom.errors import ConfigError
from rasterloom.learning.cost import Speed
from rasterloom.planning.disk import Disk, Space, space
from rasterloom.planning.graph import Dag
from rasterloom.planning.rates import Rates, built_in
from rasterloom.stages import STAGES
from rasterloom.store.files import write_json
from rasterloom.store.store import Store
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


def test_plan_of_generated_scenes_names_everything(say: Say) -> None:
    text = say()
    for words in (
        "3 labelled, 2 to predict (2 with held-out truth)",
        "rgb 3, p 1, m 8, a 8: 20 in all",
        "4 members of 2 classes, 4 checkpoints: 1 fold each",
        f"of {len(STAGES)} stages",
        "free in results-tiny/store",
        "built-in rate",
        "GPU-hours are not known",
        "One scene more to predict: 2 stacks, 4 predictions, 2 sets of polygons",
        "WARNING: `statistics: all`",
    ):
        assert words in text, words
    assert max(len(line) for line in text.splitlines()) <= 100


def test_plan_counts_jobs_as_snakemake_would(say: Say, folder: Path) -> None:
    from rasterloom.config import read_configuration

    dag = Dag.load(read_configuration([Path("presets/tiny.yaml")]))
    lines = say().splitlines()
    for stage, paths in dag.outputs().items():
        (row,) = [line.split() for line in lines if line.startswith(f"  {stage} ")]
        assert row[1] == str(len(paths)), stage
    assert f"Jobs: {sum(len(paths) for paths in dag.outputs().values())} of {len(STAGES)} stages" in lines


def test_plan_writes_nothing(say: Say, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    say()
    assert sorted(folder.rglob("*")) == sorted({*before, folder / "mine.yaml"})


def test_plan_opens_no_pixels_and_no_torch(folder: Path) -> None:
    code = (
        "import sys; from rasterloom.raster import files as raster_files\n"
        "def refuse(*_): raise SystemExit('pixels were read')\n"
        "raster_files._GdalRaster.read = raster_files._PlanarRaster.read = refuse\n"
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


def test_training_hours_are_steps_times_a_step(contest: Callable[..., Dag]) -> None:
    """26 networks, 40,000 steps each, at 0.69 s a step of 20 channels."""
    dag = contest()
    hours = plan.training_hours(dag, contest_sizes(dag), built_in())
    assert hours.total is not None
    assert 180 * 3600 < hours.total < 26 * 40_000 * 0.69 == pytest.approx(199 * 3600, rel=0.01)
    assert hours.left == hours.total


def test_hours_of_what_is_done_are_not_left(contest: Callable[..., Dag], tmp_path: Path) -> None:
    dag = contest(results=str(tmp_path))
    sizes = contest_sizes(dag)
    members = plan.networks(dag)
    assert len(members) == 26
    for member in members[:13]:
        write_json(tmp_path / f"models/{member.name}/fold-0.json", {})
    write_json(tmp_path / f"predictions/{members[0].name}/{PREDICT[0]}.json", {})
    training = plan.training_hours(dag, sizes, built_in())
    prediction = plan.prediction_hours(dag, sizes, built_in())
    assert training.left == pytest.approx(training.total / 2, rel=0.1)  # type: ignore[operator]
    one = plan.prediction_seconds(dag, members[0], PREDICT[0], sizes, built_in())
    assert prediction.total - prediction.left == pytest.approx(one)  # type: ignore[operator]


def test_checkpoints_that_predict_a_scene(contest: Callable[..., Dag]) -> None:
    dag = contest(validation={"folds": 3})
    member = plan.networks(dag)[0]
    assert plan.checkpoints(dag, member, TRAIN[0]) == 1, "the one that it was held out from"
    assert plan.checkpoints(dag, member, PREDICT[0]) == 3
    refit = contest(validation={"folds": 3, "predict_with": "refit"})
    assert plan.checkpoints(refit, member, PREDICT[0]) == 1


def test_time_lines_of_a_gpu(contest: Callable[..., Dag]) -> None:
    dag = contest()
    gpu = Rates("NVIDIA X", "2 records of the store", [Speed("training", "NVIDIA X", "bfloat16", 1.0, 1e12, 3e6)])
    text = "\n".join(plan.time_lines(dag, contest_sizes(dag), [gpu]))
    assert "NVIDIA X: 2 records of the store" in text
    assert "prediction not known" in text
    assert "GPU-hours are not known" not in text


@pytest.mark.parametrize(
    ("statistics", "words"),
    [
        ("all", ["WARNING", "all 28 checkpoints and predicts all scenes again"]),
        ("train", ["It retrains nothing (`statistics: train`)", "One labelled scene more trains all 28 checkpoints"]),
        (["6010_1_1"], ["It retrains nothing", "every class that it is labelled for"]),
    ],
)
def test_retrained_by_a_new_scene(contest: Callable[..., Dag], statistics: Any, words: list[str]) -> None:
    text = " ".join(" ".join(plan.retrained(contest(statistics=statistics))).split())
    assert all(word in text for word in words), text
    assert ("WARNING" in text) == (statistics == "all")


def test_scene_lines_give_a_scene_s_share(contest: Callable[..., Dag]) -> None:
    dag = contest()
    sizes = contest_sizes(dag)
    disk = space(dag, sizes, Store(Path("nowhere")))
    lines = plan.scene_lines(dag, sizes, disk, [built_in()])
    assert lines[0].startswith("One scene more to predict: 3 stacks, 28 predictions, 10 sets of polygons, 3")
    assert lines[1].startswith("  2.9 h of prediction on 2 CPU cores")


def test_disk_lines_warn_of_a_full_disk(tmp_path: Path) -> None:
    disk = Disk({"stack": Space(there=1e9, total=5e18)})
    text = "\n".join(plan.disk_lines(disk, Store(tmp_path)))
    assert "WARNING" in text
    assert "RASTERLOOM_STORE" in text
    assert "WARNING" not in "\n".join(plan.disk_lines(Disk({"stack": Space(there=5e9, total=5e9)}), Store(tmp_path)))


def test_largest_network_is_what_is_measured(contest: Callable[..., Dag]) -> None:
    dag = contest()
    assert "all20" in plan.largest(dag, contest_sizes(dag)).name


def test_largest_of_no_network(contest: Callable[..., Dag], settings_table: dict[str, Any]) -> None:
    classes = {"waterway": settings_table["classes"]["waterway"]}
    dag = contest(classes=classes, targets={})
    with pytest.raises(ConfigError, match="nothing to measure"):
        plan.largest(dag, contest_sizes(dag))
    assert "GPU" not in "\n".join(plan.time_lines(dag, contest_sizes(dag), [built_in()]))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3.04, "3.0 s"), (90.0, "1.5 min"), (5400.0, "1.5 h"), (36_000.0, "10 h"), (3.6e7, "10,000 h")],
)
def test_duration(seconds: float, words: str) -> None:
    assert plan.duration(seconds) == words


@pytest.mark.parametrize(("number", "words"), [(1e5, "0.1 MB"), (2.5e9, "2.5 GB"), (1.5e11, "150 GB")])
def test_gigabytes(number: float, words: str) -> None:
    assert plan.gigabytes(number) == words


def test_table_aligns_its_columns() -> None:
    assert list(plan.table([("a", "long", "1"), ("bcd", "x", "1,000")])) == ["  a    long      1", "  bcd     x  1,000"]
