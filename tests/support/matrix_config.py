"""Rows of the matrix of partial reruns: changes of the configuration (see `matrix`)."""

from __future__ import annotations

from typing import Any

from matrix import LABELLED, NEW, OF_ALL, OF_CLASS, OF_ENSEMBLE, Change, Project, Row, both, nothing, put

Table = dict[str, Any]


# Configuration: what is written, not what it means --------------------------------------------------------


def comment(path: str) -> Change:
    """A comment at the end of a file."""
    mark = "<!-- a remark -->" if path.endswith(".html") else "# a remark"

    def change(project: Project) -> None:
        if path.startswith("workflow/"):
            project.own_code()
        with (project.folder / path).open("a", encoding="utf-8") as file:
            file.write(f"\n{mark}\n")

    return change


def reversed_keys(project: Project) -> None:
    """Every table of the recipe in the opposite order, but for `sensors`, whose order is that of the channels."""

    def reverse(value: Any, name: str = "") -> Any:
        if isinstance(value, list):
            return [reverse(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        keys = list(value) if name == "sensors" else list(reversed(value))
        return {key: reverse(value[key], key) for key in keys}

    project.write(reverse(project.read()))


def defaults_written(project: Project) -> None:
    """The defaults written out of every table that holds any (a model has keys of its own kind alone)."""
    from rasterloom.config import load_config
    from rasterloom.config.load import recorded

    table = project.read()
    full = recorded(load_config(table), table)
    for name in ("dataset", "sensors", "scales", "models", "defaults", "validation", "execution"):
        table[name] = full[name]
    project.write(table)


def overlay(text: str) -> Change:
    """A file of settings that is laid over config.yaml."""
    return lambda project: (project.folder / "mine.yaml").write_text(text, encoding="utf-8") and None


WRITTEN = [
    Row("nothing", "nothing", nothing, "none", "none"),
    Row("comment", "a comment in config.yaml", comment("config.yaml"), "none", "none"),
    Row(
        "order-of-keys",
        "keys of config.yaml in another order (but for `sensors`, whose order is that of the channels)",
        reversed_keys,
        "none",
        "none",
    ),
    Row("defaults-written", "defaults written out", defaults_written, "none", "none"),
    Row(
        "overlay-of-a-default",
        "an overlay that sets a key to its default",
        overlay("defaults: {polygons: {simplify: 0.25}}\n"),
        "none",
        "none",
    ),
    Row(
        "scenes-per-job",
        "`execution.scenes_per_job: 1` (up to 64 scenes)",
        put("execution.scenes_per_job", 1),
        "none",
        "none",
        keys=("execution.scenes_per_job",),
    ),
    Row(
        "sanity-steps",
        "`sanity.steps`, of a check that is no part of a full run",
        put("sanity.steps", 7),
        "none",
        "none",
        keys=("sanity.steps",),
    ),
    Row("scale-unused", "a scale that no member uses", put("scales.huge", {"size": 512}), "none", "none"),
    Row("target-unused", "a target that no member uses", put("targets.all", ["buildings", "trees"]), "none", "none"),
]


# Configuration: polygons, training, prediction ------------------------------------------------------------

THRESHOLD = put("classes.buildings.polygons.threshold", 0.8)

SETTINGS = [
    Row(
        "threshold",
        "one class's `polygons.threshold`",
        THRESHOLD,
        "tune 1, vectorise S, tables(1)",
        "tune 1, vectorise S",
        keys=("classes.*.polygons.threshold",),
    ),
    Row(
        "min-area",
        "one class's `polygons.open`, `min_area` or any other setting that is tuned",
        put("classes.buildings.polygons.min_area", 30),
        "tune 1, vectorise S, tables(1)",
        "tune 1, vectorise S",
        keys=("classes.*.polygons.min_area",),
    ),
    Row(
        "simplify",
        "`defaults.polygons.simplify`",
        put("defaults.polygons.simplify", 0.5),
        "tune C, vectorise C*S, tables(C)",
        "tune C, vectorise C*S",
        keys=("defaults.polygons.simplify",),
    ),
    Row(
        "ensemble",
        "one class's `ensemble: best` for `mean` (but for the one scene that validates: no other ground weighs it)",
        put("classes.buildings.ensemble", "best"),
        f"{OF_ENSEMBLE}, tables(1)",
        "weigh 1, ensemble S - 1, tune 1, vectorise S",
        keys=("classes.*.ensemble",),
    ),
    Row(
        "training-of-a-class",
        "one class's `training`",
        put("classes.buildings.training.seed", 1),
        f"train m*F, predict m*S, {OF_ENSEMBLE}, tables(1)",
        f"train m*F, predict m*S, {OF_ENSEMBLE}",
        keys=("classes.*.training.seed",),
    ),
    Row(
        "network",
        "another model for the only member of a class",
        put("classes.trees.members.0.model", "unet"),
        f"train F, predict S, {OF_CLASS}, tables(1)",
        f"train F, predict S, {OF_CLASS}",
        keys=("classes.*.members.model", "models.*.kind"),
    ),
    Row(
        "networks",
        "another model for one of two members of a class",
        put("classes.buildings.members.0.model", "unet"),
        f"train F, predict S, {OF_ENSEMBLE}, tables(1)",
        f"train F, predict S, {OF_ENSEMBLE}",
        start="network",
        keys=("classes.*.members.model",),
    ),
    Row(
        "training-steps",
        "`defaults.training.steps`, which a network alone has",
        put("defaults.training.steps", 3),
        f"train F, predict S, {OF_CLASS}, tables(1)",
        f"train F, predict S, {OF_CLASS}",
        start="network",
        keys=("defaults.training.steps",),
    ),
    Row(
        "stride",
        "`defaults.prediction.stride`, which a network alone has",
        put("defaults.prediction.stride", 8),
        f"predict S, {OF_CLASS}, tables(1)",
        f"predict S, {OF_CLASS}",
        start="network",
        keys=("defaults.prediction.stride",),
    ),
]


# Configuration: statistics, validation, data set ----------------------------------------------------------


def data_moved(project: Project) -> None:
    """The data set in another folder."""
    project.data.rename(project.folder / "imagery")
    project.write({**project.read(), "dataset": {**project.read()["dataset"], "root": "imagery"}})


DIVISION = [
    Row(
        "statistics-all",
        "`statistics: all` for `train`",
        put("statistics", "all"),
        "normalisation 1, from(train)",
        f"normalisation 2, train M*F, predict M*S, {OF_ALL}",
        start="networks",  # what a forest says may stay the same
        keys=("statistics",),
    ),
    Row(
        "statistics-list",
        "`statistics` as a list of the scenes that it stood for, in any order",
        put("statistics", list(reversed(LABELLED))),
        "none",
        "none",
    ),
    Row(
        "normalise-by-scene",
        "`normalise_by: scene`",
        put("normalise_by", "scene"),
        "from(train)",
        "train M*F, predict M*S, weigh 1, ensemble C*S, tune C, vectorise C*S",
        start="networks",
        keys=("normalise_by",),
    ),
    Row(
        "split",
        "`validation.split`",
        put("validation.split", 0.4),
        "split C, from(train)",
        f"split C, train M*F, predict M*S, {OF_ALL}",
        keys=("validation.split",),
    ),
    Row(
        "folds",
        "two `folds` in place of a split",
        both(put("validation.split", None), put("validation.folds", 2)),
        f"split C, train M*F, predict M*S, {OF_ALL}, tables(C)",
        f"split C, train M*F, predict M*S, {OF_ALL}",
        keys=("validation.folds",),
        numbers={"F": 2},
    ),
    Row(
        "refit-all",
        "`validation.predict_with: refit`",
        put("validation.predict_with", "refit"),
        f"train M, predict M*S, {OF_ALL}, tables(C)",
        "train M, predict M*N, ensemble C*N, vectorise C*N",
        keys=("validation.predict_with",),
    ),
    Row(
        "predict",
        "`dataset.predict` without a scene that has truth",
        put("dataset.predict", []),
        "wkt C + 1, submission 1, score 1, measure 1, quality 2, report 1",
        "none",
        keys=("dataset.predict",),
        numbers={"S": 3},
    ),
    Row(
        "predict-list",
        "`dataset.predict` as a list of the scenes that it stood for",
        put("dataset.predict", [NEW]),
        "none",
        "none",
    ),
    Row(
        "data-moved",
        "the data set in another folder, `dataset.root`",
        data_moved,
        "submission 1",
        "none",
        keys=("dataset.root",),
    ),
]
