"""Keys of the configuration that behave as those of the matrix: each with the jobs and items that follow it.

They are not run by Snakemake. The jobs are those that settling leaves to it, the items are counted in the store of one
process that goes through them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matrix import AFTER_REGISTRATION, OF_ALL, OF_CLASS, OF_ENSEMBLE, OF_TWO
from rasterloom.config.model import MODELS, AugmentConfig, Config, PredictionConfig, TrainingConfig

RETRAINED = f"train F, predict S, {OF_CLASS}"
OF_SEVERAL = f"train F, predict S, {OF_ENSEMBLE}"
"""What follows another model for one member of the class that has several."""
REPREDICTED = f"predict S, {OF_CLASS}"
ALL_RETRAINED = f"train M*F, predict M*S, {OF_ALL}"


@dataclass(frozen=True)
class Key:
    """A key, a value for it in a finished project, and what must follow.

    Attributes
    ----------
    key : str
        As in the model, ``*`` standing for any name.
    path : str
        Where it is set.
    value : Any
    jobs, items : str
        Expectations, as `matrix.counts` reads them.
    start : str
        The row whose finished project is changed.
    alone : str
        The stage whose items alone are expected; empty: all stages'. With other compute threads, or windows in other
        batches, numbers may differ in their last bits or not, by the processor, and so what follows.
    """

    key: str
    path: str
    value: Any
    jobs: str
    items: str
    start: str = "network"
    alone: str = ""


TRAINING: dict[str, Any] = {
    "steps": 3,
    "batch": 3,
    "patch": 24,
    "positive_fraction": 1.0,
    "learning_rate": 0.01,
    "weight_decay": 0.9,
    "gradient_clip": 1e-6,
    "soft_jaccard": 0.25,
    "keep": "ema",
    "augment.flips": False,
    "augment.rotation": False,
    "augment.colour": 1.0,
    "augment.contrast": 1.0,
    "augment.zoom": 0.5,
    "augment.sensor_dropout": 1.0,
    "augment.channel_dropout": 0.5,
    "precision": "bfloat16",
    "threads": 2,
    "seed": 1,
}
PREDICTION: dict[str, Any] = {
    "quality": "fast",
    "window": 24,
    "stride": 8,
    "symmetries": True,
    "batch": 3,
    "precision": "bfloat16",
    "threads": 2,
}
LEVELS = {
    "defaults": "defaults",
    "classes.*": "classes.trees",
    "classes.*.members": "classes.trees.members.0",
}
"""Where training and prediction are set: in the model, and in a recipe whose class `trees` has one network."""


def _settings() -> list[Key]:
    found = []
    for level, place in LEVELS.items():
        for name, value in TRAINING.items():
            jobs, items = f"{RETRAINED}, tables(1)", RETRAINED
            if level == "defaults" and name == "seed":
                jobs, items = f"{ALL_RETRAINED}, tables(C)", ALL_RETRAINED
            if level == "defaults" and name == "threads":  # a forest is the same on any number of threads
                jobs, items = f"train 2*F, predict 2*S, {OF_ALL}, tables(C)", "train 2*F"
            # over as few steps as here the average of weights are the last ones
            alone = "train" if name in {"threads", "keep"} else ""
            key, path = f"{level}.training.{name}", f"{place}.training.{name}"
            found.append(Key(key, path, value, jobs, items, alone=alone))
        for name, value in PREDICTION.items():
            jobs = f"{REPREDICTED}, tables(1)"
            alone = "predict" if name in {"threads", "batch"} else ""
            key, path = f"{level}.prediction.{name}", f"{place}.prediction.{name}"
            found.append(Key(key, path, value, jobs, REPREDICTED, alone=alone))
    return found


def _polygons() -> list[Key]:
    found = []
    for name, value in {
        "threshold": 0.8,
        "open": 1,
        "close": 1,
        "min_area": 30,
        "max_area": 9000,
        "min_hole": 5,
        "min_peak": 0.9,
        "divide": "none",
        "simplify": 0.5,
        "shape": "rectangular",
    }.items():
        for level, place, classes in (("defaults", "defaults", "C"), ("classes.*", "classes.trees", "1")):
            items = f"tune {classes}, vectorise {classes}*S"
            drawn = f"tune {classes}" if name == "divide" else items  # nothing is divided in these scenes
            key, path, jobs = f"{level}.polygons.{name}", f"{place}.polygons.{name}", f"{items}, tables({classes})"
            found.append(Key(key, path, value, jobs, drawn, start=""))
    return found


def _model(name: str, path: str, value: Any, start: str = "") -> Key:
    follows = RETRAINED if start else OF_SEVERAL
    return Key(f"models.*.{name}", path, value, f"{follows}, tables(1)", follows, start)


def _network(name: str, **table: Any) -> Key:
    """Another network in the place of the recipe's: a table with the key."""
    return _model(name, "models.unet", {"depth": 1, "width": 4, "convs_per_block": 1, **table}, "network")


def _sensor(name: str, value: Any, items: str) -> Key:
    return Key(f"sensors.*.{name}", f"sensors.m.{name}", value, f"register S, {AFTER_REGISTRATION}", items, start="")


KEYS = [
    *_settings(),
    *_polygons(),
    _model("max_depth", "models.forest.max_depth", 2),
    _model("trees", "models.forest.trees", 5),
    _model("samples", "models.forest.samples", 100),
    _model("indices", "models.forest.indices", True),
    _model("neighbourhood", "models.forest.neighbourhood", [3, 5]),
    _model("width", "models.unet.width", 6, "network"),
    _model("depth", "models.unet.depth", 2, "network"),
    _model("convs_per_block", "models.unet.convs_per_block", 2, "network"),
    _model("widths", "models.unet.widths", "doubling", "network"),
    _model("norm", "models.unet.norm", "group", "network"),
    _network("growth", kind="tiramisu", growth=3),
    _network("sweeps", kind="reseg", sweeps=1),
    _network("units", kind="reseg", units=3),
    *(
        _model(name, "models.unet", {"kind": "module", "factory": "user_network:build", **changes}, "network")
        for name, changes in (
            ("factory", {"multiple": 2}),
            ("options.*", {"multiple": 2, "options": {"width": 5}}),
            ("multiple", {"multiple": 4}),
        )
    ),
    Key(
        "models.*.samples",
        "models.linear.samples",
        100,
        f"train 2*F, predict 2*S, {OF_ALL}, tables(C)",
        f"train 2*F, predict 2*S, {OF_ALL}",
        start="",
    ),
    *(
        Key(
            f"scales.*.{name}",
            "scales.coarse",
            {name: value},
            f"stack S, mask 2*T, {OF_TWO}, tables(C)",
            f"stack S, mask 2*T, {OF_TWO}",
            start="",
        )
        for name, value in {"size": 40, "gsd": 0.5, "factor": 0.6}.items()
    ),
    Key(
        "scales.*.factor",
        "scales.coarse",
        {"factor": 0.5},  # half of 64 pixels: the same grid as size 32
        "report 1",
        "none",
        start="",
    ),
    Key(
        "classes.*.members.training.seed",
        "classes.buildings.members.0.training.seed",
        1,
        f"{OF_SEVERAL}, tables(1)",
        OF_SEVERAL,
        start="",
    ),
    Key(
        "classes.*.members.channels",
        "classes.buildings.members.1.channels",
        "both",
        f"stack S, {OF_SEVERAL}, tables(1)",
        f"stack S, {OF_SEVERAL}",
        start="",
    ),
    Key("classes.*.ensemble", "classes.trees.ensemble", "best", "none", "none", start=""),  # of one member
    Key(
        "classes.*.ensemble",
        "classes.buildings.ensemble",
        "weighted",
        f"{OF_ENSEMBLE}, tables(1)",
        "weigh 1, ensemble S - 1, tune 1, vectorise S",
        start="",
    ),
    Key(
        "defaults.prediction.threads",  # without a network, whose results alone may depend on it
        "defaults.prediction.threads",
        2,
        "none",
        "none",
        start="",
    ),
    Key("sensors.*.bands_are", "sensors.m.bands_are", None, "none", "none", start=""),  # no model has `indices`
    Key("execution.gpu_share", "execution.gpu_share", 2, "none", "none", start=""),
    Key("sensors.*.pixel", "sensors.m.pixel", 4, "none", "none", start=""),  # as is known of the contest's
    _sensor("motion", "euclidean", f"register S, place S, stack S, {OF_TWO}"),
    _sensor("alignment", "apart", "register S"),  # no band of which lies apart
    _sensor("max_shift", 9, "register S, place 1"),  # which one scene's record names
    _sensor("bands", None, "register S"),  # as many as the files have
    _sensor("nodata", 0, "register S, place S, stack S"),  # which no pixel is
    Key(
        "validation.seed",  # where the best division is the same
        "validation.seed",
        7,
        "split C, from(train)",
        "split C",
        start="",
    ),
    Key(
        "classes.*.buffer",  # no label is a point or a line
        "classes.trees.buffer",
        {"metres": 2.0},
        "none",
        "none",
        start="",
    ),
    Key(
        "water",
        "water",
        ["trees", "buildings"],
        "vectorise 2*S, tables(2)",
        "vectorise 2*S",
        start="",
    ),
    Key("dataset.truth", "dataset.truth", None, "score 1, measure 1, quality 1, report 1", "none", start=""),
    Key("dataset.labels.max_shift", "dataset.labels.max_shift", 9, "none", "none", start=""),  # the contest's lie right
]

ELSEWHERE = {
    "dataset.layout": "another kind of data set: other files, and nothing is shared but by chance",
    "models.*.init": "needs weights of the same network (tests/stages/test_fine_tuning.py)",
    **{f"{level}.training.rounds": "needs unlabelled scenes (tests/stages/test_other_members.py)" for level in LEVELS},
    **{f"models.*.{name}": "needs the extra `smp`" for name in ("architecture", "encoder", "weights")},
    "dataset.labels.registration": "of the layout `sheet` (tests/stages/test_label_places.py)",
    "dataset.region": "of the layout `sheet` (tests/dataset/test_sheet.py)",
    "dataset.table": "of the layout `sheet`, which the project of the matrix does not have",
}
"""Keys that no change of one project is about."""


def leaves(model: Any = Config, path: str = "") -> set[str]:
    """Every key of the typed model that holds a value and not a table, ``*`` standing for any name."""
    import types
    import typing

    found: set[str] = set()
    for name, entry in model.model_fields.items():
        place, kind = f"{path}{name}", entry.annotation
        if typing.get_origin(kind) is dict:
            place, kind = f"{place}.*", typing.get_args(kind)[1]
        if typing.get_origin(kind) is list and hasattr(typing.get_args(kind)[0], "model_fields"):
            found.add(place)
            kind = typing.get_args(kind)[0]
        if name == "models":
            found |= {leaf for table in MODELS.values() for leaf in leaves(table, f"{place}.")}
        elif hasattr(kind, "model_fields"):
            found |= leaves(kind, f"{place}.")
        else:
            assert typing.get_origin(kind) is not dict, place
            assert not isinstance(kind, types.FunctionType), place
            found.add(place)
    return found


assert set(TRAINING) == {n for n in TrainingConfig.model_fields if n not in {"augment", "rounds"}} | {
    f"augment.{name}" for name in AugmentConfig.model_fields
}
assert set(PREDICTION) == set(PredictionConfig.model_fields)
