"""Rows of the matrix of partial reruns: members, scales, targets, classes and sensors come and go (see `matrix`)."""

from __future__ import annotations

from typing import Any

from matrix import AFTER_REGISTRATION, OF_ALL, OF_CLASS, OF_ENSEMBLE, OF_TWO, Change, Project, Row, both, put

Table = dict[str, Any]
MEMBERS: Table = {"model": "forest", "channels": "colours", "scale": "coarse"}


def without_scale(project: Project) -> None:
    """One scale, and the member that uses it, taken away."""
    table = project.read()
    del table["scales"]["native"]
    del table["classes"]["buildings"]["members"][1]
    project.write(table)


def renamed(kind: str, old: str, new: str) -> Change:
    """Another name for a scale, model, input or class, wherever it stands."""

    def change(project: Project) -> None:
        table = project.read()
        table[f"{kind}s" if kind != "class" else "classes"] = {
            new if name == old else name: value
            for name, value in table[f"{kind}s" if kind != "class" else "classes"].items()
        }
        for entry in table["classes"].values():
            for member in entry["members"]:
                if member.get(kind) == old:
                    member[kind] = new
        project.write(table)

    return change


def reordered_sensors(project: Project) -> None:
    table = project.read()
    table["sensors"] = dict(reversed(table["sensors"].items()))
    project.write(table)


ROAD = {"id": 3, "members": [{"model": "linear", "channels": "both", "scale": "coarse"}]}
"""Where no shift is left to estimate."""
WITHOUT_M = both(put("sensors.m", None), put("channels.both", ["rgb"]))

PARTS = [
    Row(
        "member-added",
        "a member added",
        put("classes.buildings.members.2", MEMBERS),
        f"train F, predict S, {OF_ENSEMBLE}, tables(1)",
        f"train F, predict S, {OF_ENSEMBLE}",
        keys=("classes.*.members",),
    ),
    Row(
        "member-removed",
        "a member removed, and with it a scale",
        without_scale,
        f"{OF_CLASS}, tables(1)",
        OF_CLASS,
        keys=("scales.*",),
    ),
    Row(
        "scale-added",
        "a scale added, and a member that uses it",
        both(put("scales.fine", {"size": 48}), put("classes.buildings.members.2", {**MEMBERS, "scale": "fine"})),
        f"stack S, mask T, train F, predict S, {OF_ENSEMBLE}, tables(1)",
        f"stack S, mask T, train F, predict S, {OF_ENSEMBLE}",
        keys=("classes.*.members.scale",),
    ),
    Row(
        "scale-changed",
        "the size of a scale that one member of each class uses",
        put("scales.coarse.size", 40),
        f"stack S, mask 2*T, {OF_TWO}, tables(C)",
        f"stack S, mask 2*T, {OF_TWO}",
        keys=("scales.*.size",),
    ),
    Row(
        "scale-renamed",
        "a scale renamed",
        renamed("scale", "coarse", "half"),
        "report 1",
        "none",
    ),
    Row(
        "model-renamed",
        "a model renamed",
        renamed("model", "forest", "wood"),
        "report 1",
        "none",
    ),
    Row(
        "target-added",
        "a target that unites two classes, in the ensemble of one of them, whose folds then heed both",
        both(
            put("targets.cover", ["buildings", "trees"]),
            put("classes.buildings.members.2", {**MEMBERS, "target": "cover"}),
        ),
        f"mask T, split 1, train 3*F, predict 3*S, {OF_ENSEMBLE}, tables(1)",
        f"mask T, split 1, train 3*F, predict 3*S, {OF_ENSEMBLE}",
        keys=("targets.*", "classes.*.members.target"),
    ),
    Row(
        "joint-target-added",
        "a network with an output for each of two classes, in the ensemble of one of them; they share folds then",
        both(
            put("targets.both", {"classes": ["buildings", "trees"], "overlap": False}),
            put("classes.buildings.members.2", {**MEMBERS, "model": "unet", "target": "both"}),
        ),
        f"split 1, train 4*F, predict 4*S, {OF_ENSEMBLE}, {OF_CLASS}, tables(C)",
        f"split 1, train 3*F, predict 3*S, {OF_ENSEMBLE}",  # the scenes of the other class are divided as before
        keys=("targets.*",),
    ),
    Row(
        "class-added",
        "a class added",
        put("classes.road", ROAD),
        f"label 1, mask T, split 1, train F, predict S, {OF_CLASS}, tables(1)",
        f"label S, mask T, split 1, train F, predict S, {OF_CLASS}",
        keys=("classes.*",),
    ),
    Row(
        "class-removed",
        "a class removed",
        put("classes.trees", None),
        "wkt 1, submission 1, score 1, export S, measure 1, quality 1, report 1",
        "none",
    ),
    Row(
        "class-relabelled",
        "another `id` for a class: other rows of the tables",
        put("classes.trees.id", 6),
        f"label 1, mask T, split 1, train F, predict S, {OF_CLASS}, tables(1)",
        f"label S, mask T, split 1, train F, predict S, {OF_CLASS}",
        keys=("classes.*.id",),
    ),
    Row(
        "class-renamed",
        "a class renamed: what carries its name, and no model",
        renamed("class", "trees", "wood"),
        f"label 1, mask T, split 1, train F, predict S, {OF_CLASS}, tables(1)",
        "label S, mask T, split 1, tune 1, vectorise S",
    ),
    Row(
        "sensor-added",
        "a sensor added that no input has",
        put("sensors.p", {"bands": 1, "registration": "auto", "max_shift": 8}),
        f"register S, {AFTER_REGISTRATION}",
        "register S, place S, normalisation 1",
        keys=("sensors.*",),
    ),
    Row(
        "sensor-used",
        "that sensor added to an input of one member of each class",
        put("channels.both", ["rgb", "p", "m"]),
        f"stack S, {OF_TWO}, tables(C)",
        f"stack S, {OF_TWO}",
        start="sensor-added",
        keys=("channels.*",),
    ),
    Row(
        "sensor-removed",
        "a sensor removed from `sensors` and from the input of one member of each class",
        WITHOUT_M,
        f"register S, {AFTER_REGISTRATION}",
        f"register S, place S, stack S, {OF_TWO}",
    ),
    Row(
        "sensors-reordered",
        "the order of `sensors`, that is of a stack's channels",
        reordered_sensors,
        f"stack S, {OF_TWO}, tables(C)",
        "stack S",
    ),
    Row(
        "registration",
        "the `registration` of a sensor",
        put("sensors.m.registration", "none"),
        f"register S, {AFTER_REGISTRATION}",
        f"register S, place S, stack S, {OF_TWO}",
        keys=("sensors.*.registration",),
    ),
    Row(
        "reference",
        "another `reference` sensor, with pixels of the same size",
        both(
            put("sensors.p", {"reference": True, "bands": 1, "registration": "none"}),
            put("sensors.rgb", {"bands": 3, "registration": "auto"}),
        ),
        f"register S, {AFTER_REGISTRATION}",
        f"register S, place S, stack K*S, normalisation 1, train M*F, predict M*S, {OF_ALL}",
        keys=("sensors.*.reference",),
    ),
]
