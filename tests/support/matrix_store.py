"""Rows of the matrix of partial reruns: changes of code, of results and of the store (see `matrix`)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from matrix import NEW, OF_CLASS, Change, Project, Row, both, put
from matrix_config import THRESHOLD, comment
from rasterloom.stages import STAGES, module_of
from small_contest import set_age

# Code -----------------------------------------------------------------------------------------------------


def raised(stage: str) -> Change:
    """The version of a stage raised by one."""

    def change(project: Project) -> None:
        path = project.own_code() / f"rasterloom/stages/{stage}.py"
        head, number, rest = path.read_text(encoding="utf-8").partition("\nVERSION = ")
        version, tail = rest.split("\n", 1)
        path.write_text(f"{head}{number}{int(version) + 1}\n{tail}", encoding="utf-8")

    return change


def rule_edited(project: Project) -> None:
    """Another command in a rule, that does the same."""
    path = project.own_code() / "rules/tune.smk"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"exec python -m', '"exec  python -m'), encoding="utf-8")


def limit_lowered(project: Project) -> None:
    """As if four scenes were many: jobs go in batches of two or so."""
    path = project.own_code() / "rasterloom/project/project.py"
    text = path.read_text(encoding="utf-8")
    assert "LIMIT = 64" in text and "LEAST = 32" in text
    path.write_text(text.replace("LIMIT = 64", "LIMIT = 2").replace("LEAST = 32", "LEAST = 3"), encoding="utf-8")


def begun_in_batches(project: Project) -> None:
    """The same, and nothing is there."""
    limit_lowered(project)
    shutil.rmtree(project.results)


CODE = [
    Row(
        "batches",
        "more scenes than go one by one (64; here: more than 2), which from then on go in batches",
        limit_lowered,
        "wkt C + 1, submission 1, score 1, export 2, measure 1, report 1",
        "none",
    ),
    Row(
        "begun-in-batches",
        "the same, with nothing there",
        begun_in_batches,
        "register 2, place A, stack 2*K, normalisation 1, label C, mask 2*M, split C, train M*F, predict 2*M, weigh 1, "
        "ensemble 2*C, tune C, vectorise 2*C, wkt C + 1, submission 1, score 1, export 2, measure 1, report 1",
        "register S, place S, stack K*S, normalisation 2, label C*S, mask M*T, split C, train M*F, predict M*S, "
        "weigh 1, ensemble C*S, tune C, vectorise C*S",
    ),
    Row(
        "comment-in-a-stage",
        "a comment in a stage's module",
        comment("workflow/rasterloom/ensemble.py"),
        "none",
        "none",
    ),
    Row("comment-in-a-rule", "a comment in a .smk file", comment("workflow/rules/tune.smk"), "none", "none"),
    Row("unrelated-module", "a module that no stage uses", comment("workflow/rasterloom/schema.py"), "none", "none"),
    Row(
        "rule-edited",
        "the command in a .smk file",
        rule_edited,
        "none",
        "none",
    ),
    Row(
        "version-of-stack",
        "the version of `stack` raised, with the same output",
        raised("stack"),
        "stack K*S, from(train)",
        "stack K*S",
    ),
    Row(
        "version-of-vectorise",
        "the version of `vectorise` raised",
        raised("vectorise"),
        "vectorise C*S, tables(C)",
        "vectorise C*S",
    ),
    Row(
        "version-of-score",
        "the version of `score` raised",
        raised("score"),
        "score 1, measure 1, report 1",
        "none",
    ),
]


# Results and store ----------------------------------------------------------------------------------------


def manifest_deleted(project: Project) -> None:
    (project.results / f"stacks/coarse/{NEW}.json").unlink()


def all_but_store_deleted(project: Project) -> None:
    for path in project.results.iterdir():
        if path.name != "store":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def damaged(manifest: str, reader: str, how: Callable[[Path], None]) -> Change:
    """An artifact damaged, named by the job that reads it (or by `verify` if that one cannot see it), and mended."""

    def change(project: Project) -> None:
        (item,) = project.manifest(manifest).values()
        artifact = project.store / item["path"]
        how(artifact)
        if reader:  # which reads it only if its own artifact is to be made again
            project.environment = {"RASTERLOOM_RECOMPUTE": ",".join(STAGES)}
            output = project.snakemake("--force", f"results/{reader}", code=1)
            project.environment = {}
            assert artifact.name in output and "rasterloom verify --mend" in output, output[-2000:]
            assert "Traceback" not in output
        assert artifact.name in project.rasterloom("verify", code=1)
        project.rasterloom("verify", "--mend")

    return change


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def record_deleted(path: Path) -> None:
    path.with_name(path.name.split(".")[0] + ".json").unlink()


def old_and_collected(project: Project) -> None:
    """`gc` two days later, and then the first recipe again."""
    for path in project.store.rglob("*"):
        if path.is_file():
            set_age(path, 2)
    assert "removed" in project.rasterloom("gc")
    put("classes.buildings.polygons.threshold", None)(project)


def copied(project: Project) -> None:
    """The results in another folder, as the key `results` says then."""
    shutil.copytree(project.results, project.folder / "elsewhere", symlinks=True)
    put("results", "elsewhere")(project)


def times_reversed(project: Project) -> None:
    """Whatever a job reads is newer than what it writes, as it may come out where times are not copied."""
    now = time.time()
    for age, stage in enumerate(STAGES):
        top = module_of(stage).OUTPUT.split("/")[0].split(".")[0].replace("{file}", "wkt")
        for path in [*project.results.glob(f"{top}*"), *project.results.glob(f"{top}/**/*")]:
            if path.is_file() and not path.is_symlink():
                os.utime(path, (now - age / 100, now - age / 100))


def forgotten(project: Project) -> None:
    """Everything that Snakemake knows of earlier runs is gone."""
    shutil.rmtree(project.folder / ".snakemake")


def backup(project: Project) -> None:
    """The results of the first recipe put back in place of those of the second, which Snakemake remembers."""
    base = Project(project.folder.parent / "base")
    shutil.rmtree(project.results)
    shutil.copytree(base.results, project.results, symlinks=True)


def by_hand(project: Project) -> None:
    """A stage run by hand with another recipe, into the same results."""
    (project.folder / "other.yaml").write_text("defaults: {polygons: {threshold: 0.8}}\n", encoding="utf-8")
    project.rasterloom("tune", "--configfile", "other.yaml", "--class", "buildings")


def moved(project: Project) -> None:
    """The whole project under another path; `Project` knows it by a link."""
    elsewhere = project.folder.with_name(f"{project.folder.name}-moved")
    project.folder.rename(elsewhere)
    project.folder.symlink_to(elsewhere)


def recompute(stage: str) -> Change:
    return lambda project: project.environment.update(RASTERLOOM_RECOMPUTE=stage)


UNKNOWN = [
    Row(
        "earlier-recipe",
        "an earlier recipe restored",
        put("classes.buildings.polygons.threshold", None),
        "tables(1)",
        "none",
        start="threshold",
    ),
    Row(
        "earlier-recipe-after-gc",
        "`rasterloom gc` two days later, and then the earlier recipe",
        old_and_collected,
        "tune 1, vectorise S, tables(1)",
        "tune 1, vectorise S",
        start="threshold",
    ),
    Row(
        "manifest-deleted",
        "a manifest deleted: the stack of a new scene",
        manifest_deleted,
        "none",
        "none",
    ),
    Row(
        "all-manifests-deleted",
        "everything deleted but `store/`",
        all_but_store_deleted,
        "tables(C), quality 2",
        "none",
    ),
    Row(
        "artifact-deleted",
        "an artifact deleted (an ensemble of a new scene), `rasterloom verify --mend`",
        damaged(f"ensembles/buildings/{NEW}.json", f"polygons/buildings/{NEW}.json", Path.unlink),
        "ensemble 1, vectorise 1, wkt 2, submission 1, score 1, export 1, measure 1, report 1",
        "ensemble 1",
    ),
    Row(
        "artifact-shortened",
        "an artifact cut off (a placement of a new scene), `rasterloom verify --mend`",
        damaged("placement/6040.json", f"stacks/coarse/{NEW}.json", shortened),
        "place 1, stack K, predict M, ensemble C, vectorise C, "
        "wkt C + 1, submission 1, score 1, export 1, measure 1, report 1",
        "place 1",
    ),
    Row(
        "artifact-changed",
        "a byte of an artifact changed (a model of one class), `rasterloom verify --mend`",
        damaged("models/trees-linear-both-coarse/fold-0.json", "", flipped),
        f"train F, predict S, {OF_CLASS}, tables(1)",
        "train F",
    ),
    Row(
        "record-deleted",
        "the record beside an artifact deleted (a prediction of a new scene), `rasterloom verify --mend`",
        damaged(f"predictions/trees-linear-both-coarse/{NEW}.json", f"ensembles/trees/{NEW}.json", record_deleted),
        "predict 1, ensemble 1, vectorise 1, wkt 2, submission 1, score 1, export 1, measure 1, report 1",
        "predict 1",
    ),
    Row(
        "results-copied",
        "the results copied to another folder with their times, `results`",
        copied,
        "none",
        "none",
        keys=("results",),
    ),
    Row(
        "results-copied-without-times",
        "the results copied to another folder without their times, in the worst order",
        both(copied, times_reversed),
        "none",
        "none",
    ),
    Row(
        "results-copied-and-threshold",
        "the results copied to another folder, and one class's `polygons.threshold` changed",
        both(copied, THRESHOLD),
        "tune 1, vectorise S, tables(1)",
        "tune 1, vectorise S",
    ),
    Row(
        "snakemake-forgotten",
        "the folder `.snakemake` deleted",
        forgotten,
        "none",
        "none",
    ),
    Row(
        "snakemake-forgotten-and-threshold",
        "the folder `.snakemake` deleted and then one class's `polygons.threshold` changed",
        both(forgotten, THRESHOLD),
        "tune 1, vectorise S, tables(1)",
        "tune 1, vectorise S",
    ),
    Row("project-moved", "the project's whole folder moved", moved, "none", "none"),
    Row(
        "by-hand",
        "`rasterloom tune` by hand with another recipe",
        by_hand,
        "none",
        "none",
    ),
    Row(
        "backup",
        "the results of an earlier recipe put in place of the present ones",
        backup,
        "tune 1, vectorise S, tables(1)",
        "tune 1, vectorise S",
        start="threshold",
    ),
]
