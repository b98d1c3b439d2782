"""The command line: help for everything, one line for mistakes, a traceback for bugs."""

from __future__ import annotations

import errno
import json
import os
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from common import says, stand_in_dag
from rasterloom import __version__, cli
from rasterloom.cli import main
from rasterloom.errors import LabelError
from rasterloom.planning import guard
from rasterloom.planning.graph import Dag
from rasterloom.stages import STAGES, WORKING_FOLDER, module_of
from rasterloom.store.files import write_text
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest

TOOLS = tuple(cli.TOOLS)
Capture = pytest.CaptureFixture[str]


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def fields_of(stage: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(module_of(stage).OUTPUT) if name]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that the stages are given; nothing is run, and this process stays when its parent dies."""
    given: list[Job] = []
    for stage in STAGES:
        monkeypatch.setattr(module_of(stage), "run", given.append)
    monkeypatch.setattr(guard, "end_with_parent", lambda: None)
    return given


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings_table: dict[str, Any]) -> Path:
    """A folder with a configuration of two scenes."""

    def load(merged: dict[str, Any]) -> Any:
        return stand_in_dag({**settings_table, **merged}, ["6010_0_0"], ["6020_0_0"])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Dag, "load", load)
    monkeypatch.setattr("rasterloom.planning.graph.version_of", lambda stage: 1)
    (tmp_path / "config.yaml").write_text("results: mine\n")
    return tmp_path


@pytest.mark.parametrize("spec", ["{bad", "@nowhere.json", "[1]"])
def test_unusable_spec_is_one_line(spec: str, jobs: list[Job], capsys: Capture) -> None:
    assert code_of("stack", "--spec", spec) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rasterloom: {spec!r} is")


def test_missing_names_are_said_before_the_data_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert code_of("stack") == 1
    assert says(capsys.readouterr().err, "rasterloom stack ... --scale and --scene")


@pytest.mark.parametrize("names", [("results/x",), ("results/.tmp-1-x", None, "results/x")])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOTDIR])
def test_failing_file_system_is_one_line_with_the_remedy(
    number: int, names: tuple[str | None, ...], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Of a rename or a link, what is named is the new name."""

    def fail(job: Job) -> None:
        raise OSError(number, os.strerror(number), *names)

    monkeypatch.setattr(module_of("stack"), "run", fail)
    monkeypatch.setattr(guard, "end_with_parent", lambda: None)
    assert code_of("stack", "--spec", '{"stage": "stack", "scale": {"name": "x"}, "scene": "a"}') == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rasterloom: cannot write results/x: {os.strerror(number)}; ")


def test_help_of_the_whole_lists_every_command(capsys: Capture) -> None:
    assert code_of("--help") == 0
    out = capsys.readouterr().out
    for command in (*STAGES, *TOOLS):
        assert re.search(rf"^    {command}\s", out, re.MULTILINE), command


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_names_its_output_and_options(stage: str, capsys: Capture) -> None:
    assert code_of(stage, "--help") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert module_of(stage).HELP.split()[0].capitalize() in out
    for option in (
        "--configfile",
        "--results",
        "--inputs",
        "--output",
        "--spec",
        "--sources",
        *(f"--{name}" for name in fields_of(stage)),
    ):
        assert option in out


@pytest.mark.parametrize("tool", TOOLS)
def test_help_of_a_tool_is_more_than_its_line(tool: str, capsys: Capture) -> None:
    assert code_of(tool, "--help") == 0
    assert len(capsys.readouterr().out.splitlines()) > 4


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(chosen: str | None) -> None:
    code = (
        "import os, sys\nfrom rasterloom import cli\nfrom rasterloom.stages import module_of\n"
        "module_of('train').run = lambda _: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)\n"
        """cli.main(["train", "--spec", '{"stage": "train", "member": "m", "fold": "f"}'])"""
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if chosen is None else {"OMP_WAIT_POLICY": chosen}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"{chosen or 'PASSIVE'} False\n", 0), done.stderr


def test_version(capsys: Capture) -> None:
    assert code_of("--version") == 0
    assert capsys.readouterr().out == f"rasterloom {__version__}\n"


@pytest.mark.parametrize("arguments", [["stak"], [], ["stack", "--scenes", "x"], ["verify", "--fix"]])
def test_unusable_arguments_are_code_2(arguments: list[str], capsys: Capture) -> None:
    assert code_of(*arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("usage: rasterloom")
    assert "Traceback" not in err


def test_stage_of_the_workflow_gets_spec_sources_and_results(jobs: list[Job], tmp_path: Path, capsys: Capture) -> None:
    spec = {"stage": "stack", "version": 1, "scene": "a", "scale": {"name": "s1"}}
    (tmp_path / "sources.json").write_text('{"grid": null}')
    arguments = ["--results", str(tmp_path), "--spec", json.dumps(spec), "--sources", f"@{tmp_path}/sources.json"]
    assert code_of("stack", *arguments) == 0
    (job,) = jobs
    assert (job.spec, job.sources, job.results) == (spec, {"grid": None}, tmp_path)
    assert job.store.root == tmp_path / "store"
    assert f"stack: wrote {tmp_path}/stacks/s1/a.json" in capsys.readouterr().err


def test_stage_of_the_workflow_does_a_batch_of_jobs_and_ends_it(jobs: list[Job], tmp_path: Path) -> None:
    specs = [{"stage": "stack", "version": 1, "scene": scene, "scale": {"name": "s1"}} for scene in "ab"]
    batch = tmp_path / "stacks/s1/bucket-00.json"
    arguments = ["--results", str(tmp_path), "--output", str(batch), "--sources", '[{"grid": 1}, {"grid": 2}]']
    assert code_of("stack", *arguments, "--spec", json.dumps(specs)) == 0
    assert [(job.spec, job.sources["grid"]) for job in jobs] == list(zip(specs, (1, 2), strict=True))
    assert Manifest.read(batch) == Manifest("stack")
    assert code_of("stack", "--results", str(tmp_path), "--spec", json.dumps(specs)) == 0
    assert [job.sources for job in jobs[2:]] == [{}, {}], "of a stage that reads none"


EMPTY = {"stage": "measure", "version": 1, "classes": {}, "scenes": [], "batches": {}}
"""The spec of a table without rows."""


def test_stage_of_the_workflow_reads_and_writes_where_snakemake_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job in a shadow folder: what it reads is a copy, its output goes there, all else to the folder of the run."""
    (shadow := tmp_path / "shadow").mkdir()
    monkeypatch.chdir(shadow)
    monkeypatch.setenv(WORKING_FOLDER, str(tmp_path))
    write_text(tmp_path / "copies/score.tsv", "scored")
    monkeypatch.setattr(guard, "end_with_parent", lambda: None)
    monkeypatch.setattr(
        module_of("measure"), "run", lambda job: write_text(job.output, job.path("score.tsv").read_text() + "\r\n")
    )
    arguments = ["--inputs", '{"score.tsv": "copies/score.tsv"}', "--output", "there/summary.tsv"]
    assert code_of("measure", *arguments, "--spec", json.dumps(EMPTY)) == 0
    assert (shadow / "there/summary.tsv").read_bytes() == b"scored\r\n"
    assert (tmp_path / "results/summary.tsv").read_bytes() == b"scored\r\n"
    assert (tmp_path / "results/.asked/summary.tsv.txt").is_file()
    assert [path.name for path in shadow.iterdir()] == ["there"]


def test_output_in_the_results_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guard, "end_with_parent", lambda: None)
    written: list[tuple[int, int]] = []

    def run(job: Job) -> None:
        write_text(job.output, "x")
        written.append((job.output.stat().st_ino, job.output.stat().st_mtime_ns))

    monkeypatch.setattr(module_of("measure"), "run", run)
    arguments = ["--output", "results/summary.tsv", "--spec", json.dumps(EMPTY)]
    assert code_of("measure", *arguments) == 0
    found = (tmp_path / "results/summary.tsv").stat()
    assert written == [(found.st_ino, found.st_mtime_ns)]


def test_stage_of_the_workflow_ends_with_its_parent(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(guard, "end_with_parent", lambda: asked.append(True))
    assert code_of("score", "--spec", '{"stage": "score", "version": 1}') == 0
    assert asked == [True]
    assert len(jobs) == 1


def test_stage_by_hand_takes_the_spec_of_the_configuration(jobs: list[Job], configured: Path) -> None:
    (configured / "mine.yaml").write_text("results: other\n")
    assert code_of("stack", "--scene", "6020_0_0", "--scale", "native", "--configfile", "mine.yaml") == 0
    (job,) = jobs
    assert job.spec["stage"] == "stack"
    assert (job.spec["scene"], job.spec["scale"]) == ("6020_0_0", {"name": "native"})
    assert job.sources["sensors"]["p"][0]["path"] == "raw/6020_0_0_p.tif"
    assert job.results == Path("other")


def test_stage_by_hand_says_what_there_is(
    jobs: list[Job], configured: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert code_of("place", "--acquisition", "nowhere") == 1
    assert says(capsys.readouterr().err, "no placement/nowhere.json; it has placement/ ... .json")
    monkeypatch.setattr(module_of("place"), "jobs", lambda project: iter(()))
    assert code_of("place", "--acquisition", "nowhere") == 1
    assert capsys.readouterr().err.rstrip().endswith("it has nothing for `rasterloom place` to do")
    assert not jobs


def test_stage_by_hand_has_the_order_of_keys_that_the_workflow_gives(jobs: list[Job], configured: Path) -> None:
    """A table's rows come in the order of the classes of the spec, whatever that of the configuration is."""
    assert code_of("score") == 0
    classes = list(jobs[0].spec["classes"])
    assert classes == sorted(classes)


@pytest.mark.parametrize("stage", ["label", "tune"])
def test_stage_by_hand_knows_the_option_class(jobs: list[Job], configured: Path, stage: str) -> None:
    assert code_of(stage, "--class", "trees") == 0
    assert jobs[0].spec["class"] == "trees"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stack", "--scene", "6020_0_0"], "rasterloom stack ... --scale ... stacks/{scale}/{scene}.json"),
        (["mask"], "rasterloom mask ... --scale and --target and --scene"),
        (["stack", "--scene", "6020_0_0", "--scale", "s99"], "no stacks/s99/6020_0_0.json ... has stacks/"),
        (["label", "--class", "tree"], "no labels/tree.json ... has labels/trees.json"),
        (["score", "--configfile", "none.yaml"], "none.yaml ... not there"),
        (["score", "--configfile", "broken.yaml"], "broken.yaml ... not valid YAML"),
        (["score", "--configfile", "list.yaml"], "list.yaml ... table of keys ... list"),
        (["score", "--configfile", "typo.yaml"], "`clases` ... did you mean `classes`"),
        (["verify", "--results", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_mistakes_are_one_line_and_code_1(
    jobs: list[Job], configured: Path, arguments: list[str], words: str, capsys: Capture
) -> None:
    (configured / "broken.yaml").write_text("a: [1\nb: 2\n")
    (configured / "list.yaml").write_text("- 1\n")
    (configured / "typo.yaml").write_text("clases: {}\n")
    assert code_of(*arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rasterloom: ")
    assert says(line, words)
    assert jobs == []


def test_no_configuration_is_one_line_and_code_1(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert code_of("score") == 1
    assert says(capsys.readouterr().err, "rasterloom: no configuration ... config.yaml")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (LabelError("class trees of scene a"), 1, "rasterloom: class trees of scene a\n"),
        (KeyboardInterrupt(), 130, "the same command goes on from there\n"),
        (BrokenPipeError(), 1, ""),
        (MemoryError("Unable to allocate 3 GiB"), 1, "then run the same command again\n"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried 2 GiB"), 1, "then run the same command again\n"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"), 1, "then run the same command again\n"),
    ],
)
def test_errors_of_a_stage(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: BaseException, code: int, words: str
) -> None:
    def run(job: Job) -> None:
        raise error

    monkeypatch.setattr(module_of("score"), "run", run)
    assert code_of("score", "--spec", '{"stage": "score", "version": 1}') == code
    err = capsys.readouterr().err
    assert err.endswith(words)
    assert len(err.splitlines()) == (1 if words else 0)


@pytest.mark.parametrize("bug", [ZeroDivisionError, RuntimeError])
def test_a_bug_keeps_its_traceback(jobs: list[Job], monkeypatch: pytest.MonkeyPatch, bug: type[Exception]) -> None:
    def run(job: Job) -> None:
        raise bug

    monkeypatch.setattr(module_of("score"), "run", run)
    with pytest.raises(bug):
        main(["score", "--spec", '{"stage": "score", "version": 1}'])


def test_schema_is_printed(capsys: Capture) -> None:
    assert code_of("schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Config"
