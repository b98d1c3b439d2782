"""What the types of single keys cannot say: names that are referred to exist, settings fit together, and the data."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rasterloom.config.model import CONTENT, ClassConfig, Config, JointConfig, Matrix, MemberConfig, ModelConfig, Shift
from rasterloom.config.named import WEIGHTS
from rasterloom.config.networks import NetworkConfig
from rasterloom.config.pixel_models import INDICES, PixelModelConfig, indices_of
from rasterloom.config.recipe import MemberRecipe, Recipe
from rasterloom.text import nearest

MOST_NAME = 200
"""Characters of a name that is made of several: it becomes part of file names, which end at 255."""

SCORE_ROWS = ("all", "mean")
"""What score.tsv has in place of a class or scene."""


def cross_checks(config: Config) -> Iterable[str]:
    """Mistakes, one line each, that follow from the configuration alone."""
    yield from _results_checks(config)
    yield from _name_checks(config)
    yield from _sensor_checks(config)
    for name, entry in config.targets.items():
        if name in config.classes:
            yield f"`targets.{name}`: a class has this name and is its own target; choose another name"
        place, own = (f"{name}.classes", entry.classes) if isinstance(entry, JointConfig) else (name, entry)
        yield from _list_checks(f"targets.{place}", "class", own, config.classes)
    if config.dataset.region is not None and (config.normalise_by, config.statistics) == ("dataset", "all"):
        yield "`statistics`: all would train anew in each `dataset.region`: set it to train, or normalise_by: scene"
    yield from _list_checks("water", "class", config.water or list(config.classes), config.classes)
    ids: dict[int, str] = {}
    for name, found in config.classes.items():
        if found.id in ids:
            yield f"`classes.{name}.id`: {found.id} is also the id of `{ids[found.id]}`; ids are unique"
        ids[found.id] = name
        if name in SCORE_ROWS:
            yield f"`classes.{name}`: rows of score.tsv for all classes together have this name; choose another one"
        for index, member in enumerate(found.members):
            yield from _member_checks(config, name, index, member)
        models = [config.models.get(member.model) for member in found.members]
        yield from _unused_settings(f"classes.{name}", models, found)


def _results_checks(config: Config) -> Iterable[str]:
    """The results folder is a folder of its own: not the working directory, nor around the data."""
    results = Path(os.path.realpath(config.results))
    if Path.cwd().is_relative_to(results):
        yield (
            f"`results`: {config.results!r} is the folder that the workflow runs in, or above it; a folder of its "
            "own is needed, for example `results`"
        )
        return
    for key, text in (("root", config.dataset.root), ("table", config.dataset.table)):
        if text and Path(os.path.realpath(text)).is_relative_to(results):
            yield (
                f"`results`: {config.results!r} holds the data ({text!r}, `dataset.{key}`); results and data must lie "
                "apart, as `rasterloom gc` tidies the results folder: name another folder"
            )


def _name_checks(config: Config) -> Iterable[str]:
    """Names that become part of paths differ in more than case, which many file systems do not tell apart."""
    kinds: dict[str, list[str]] = {
        "classes": [*config.classes, *config.targets],
        **{kind: list(getattr(config, kind)) for kind in ("sensors", "channels", "scales", "models")},
    }
    for kind, names in kinds.items():
        firsts = {name.lower(): name for name in reversed(names)}
        for name in names:
            if (first := firsts[name.lower()]) != name:
                section = "targets" if name in config.targets and name not in config.classes else kind
                yield (
                    f"`{section}.{name}`: it differs from `{first}` in case only, and both become names of files; "
                    "rename one"
                )


def _sensor_checks(config: Config) -> Iterable[str]:
    references = [name for name, sensor in config.sensors.items() if sensor.reference]
    if len(references) != 1:
        yield f"`sensors`: exactly one must have `reference: true`, not {len(references)} ({', '.join(references)})"
    for name in references:
        if isinstance(config.sensors[name].registration, Shift | Matrix):
            yield (
                f"`sensors.{name}.registration`: {name} is the reference, which stays where it is; give the other "
                "sensors a shift or matrix, and remove this one"
            )
    for name, sensors in config.channels.items():
        known = [*config.sensors, *(entry for entry in sensors if "-" in entry)]  # members: see `others_checks`
        yield from _list_checks(f"channels.{name}", "sensor", sensors, known)
        if known[len(config.sensors) :] == sensors != []:
            yield f"`channels.{name}`: members alone, {', '.join(sensors)}, were given; name a sensor as well"


def _list_checks(path: str, kind: str, names: Sequence[str], known: Iterable[str]) -> Iterable[str]:
    """A list of names has at least one, each once, and all are known."""
    if len(set(names)) != len(names) or not names:
        yield f"`{path}`: each {kind} once, and at least one, is needed; {names} was given"
    for name in names:
        if name not in known:
            yield f"`{path}`: no {kind} is called `{name}`; {nearest(name, known)}"


def _member_checks(config: Config, class_name: str, index: int, member: MemberConfig) -> Iterable[str]:
    place = f"classes.{class_name}.members[{index}]"
    target = member.target or class_name
    for key, noun, value, valid in (
        ("model", "model", member.model, config.models),
        ("channels", "set of channels", member.channels, config.channels),
        ("scale", "scale", member.scale, config.scales),
        ("target", "target", target, [*config.classes, *config.targets]),
    ):
        if value not in valid:
            yield f"`{place}.{key}`: no {noun} is called `{value}`; {nearest(value, valid)}"
    classes = (target,) if target in config.classes else config.classes_of(target)
    if class_name not in classes and classes and set(classes) <= set(config.classes):
        yield (
            f"`{place}.target`: target `{target}` ({', '.join(classes)}) does not include class {class_name}; use "
            f"{class_name}, or an entry of `targets` that includes it"
        )
    model = config.models.get(member.model)
    if isinstance(config.targets.get(target), JointConfig) and isinstance(model, PixelModelConfig):
        yield (
            f"`{place}.target`: a model of kind {model.kind} has one output, but `{target}` needs one for each of its "
            "classes; name a network as its `model`, or make the target a list"
        )
    yield from _unused_settings(place, [model], member)


def _unused_settings(
    place: str, models: Sequence[ModelConfig | None], layer: ClassConfig | MemberConfig
) -> Iterable[str]:
    """Settings of a class or a member that none of its models uses."""
    known = [model for model in models if model is not None]
    for section in ("training", "prediction"):
        written = getattr(layer, section).model_fields_set
        used = {key: None for model in known for key in model.SETTINGS.get(section, written)}
        unused = sorted(written - used.keys())
        if unused and len(known) == len(models):
            kinds = " and ".join(sorted({model.kind for model in known}))
            yield (
                f"`{place}.{section}.{unused[0]}`: it has no effect on models of kind {kinds} (of {section} "
                f"they use only {' and '.join(used)}): remove it"
            )


def settings_checks(config: Config, class_name: str, index: int, recipe: MemberRecipe) -> Iterable[str]:
    """Mistakes in the settings of a member that show only when those of its class and the defaults are there too.

    Parameters
    ----------
    config : Config
    class_name, index : which member of which class
    recipe : what it amounts to

    Notes
    -----
    A network pads its input by reflection to a multiple of the width of a pixel of its deepest level, so any size
    works; but an input smaller than such a pixel would consist mostly of its own mirror image.
    """
    entry = config.classes[class_name]
    member = entry.members[index]
    model = config.models[member.model]
    if isinstance(model, PixelModelConfig) and model.indices:
        yield from _index_checks(config, member.model, recipe.sensors)
    if not isinstance(model, NetworkConfig):
        return
    layers: dict[str, ClassConfig | MemberConfig] = {
        f"classes.{class_name}.members[{index}]": member,
        f"classes.{class_name}": entry,
    }
    deepest = model.deepest
    patch, batch = recipe.training["patch"], recipe.training["batch"]
    window, stride = recipe.prediction["window"], recipe.prediction["stride"]
    if stride > window:
        yield (
            f"`{_given(layers, 'prediction', 'stride', 'window')}`: stride {stride} is larger than window {window}: "
            "pixels between windows would never be predicted; make stride at most the window"
        )
    for section, key, side in (("training", "patch", patch), ("prediction", "window", window)):
        if side < deepest:
            smaller = ", or give the model less `depth`" if hasattr(model, "depth") else ""
            yield (
                f"`{_given(layers, section, key)}.{key}`: {side} was given, but a pixel of the network's deepest "
                f"level is {deepest} pixels wide; make it {deepest} or more{smaller}"
            )
    if batch == 1 and model.lonely(patch):
        larger = "it 2 or more" if model.lonely(patch + 1) else "either larger"
        yield (
            f"`{_given(layers, 'training', 'batch')}.batch`: 1 was given, and of a patch of {patch} alone a feature "
            f"map has one value in a layer; batch normalisation needs two: make {larger}"
        )
    size = recipe.scale.get("size")
    if size is not None and patch > size:
        yield (
            f"`{_given(layers, 'training', 'patch')}.patch`: {patch} was given, but scale {recipe.scale['name']} "
            f"has {size} pixels a side; make the patch that or less, or the scale's `size` larger"
        )


def _index_checks(config: Config, model: str, sensors: Sequence[str]) -> Iterable[str]:
    """A model with `indices` has a sensor whose bands allow one, and no sensor has more names than bands."""
    named = {name: config.sensors[name].bands_are or [] for name in sensors}
    for name, names in named.items():
        bands = config.sensors[name].bands
        if bands is not None and bands < len(names):
            yield (
                f"`sensors.{name}.bands_are`: {len(names)} names were given, but `bands` is {bands}: give a name (or "
                "null) for each band at most"
            )
    if not any(map(indices_of, named.values())):
        needs = "; ".join(f"{name}: {', '.join(dict.fromkeys(bands))}" for name, bands in INDICES.items())
        yield (
            f"`models.{model}.indices`: no sensor among {', '.join(sensors)} names the bands of an index ({needs}); "
            "name them in its `bands_are`, or remove `indices`"
        )


def _given(layers: Mapping[str, ClassConfig | MemberConfig], section: str, *keys: str) -> str:
    """Path of the section that gives one of the keys: that of a layer, or else the defaults'."""
    giving = (path for path, layer in layers.items() if getattr(layer, section).model_fields_set & set(keys))
    return f"{next(giving, 'defaults')}.{section}"


def others_checks(recipe: Recipe) -> Iterable[str]:
    """What a member begins with or sees of another one must be made before it, and on the same folds.

    A member that it begins with must also have the same network.
    """
    for name, member in recipe.members.items():
        _, model, channels, _ = name.rsplit("-", 3)
        circle = f"member {name} would need its own probability; take {{}} out of these channels"
        others = [(f"`channels.{channels}`", other, circle.format(other), "") for other in member.stacked]
        init = member.model.get("init") or WEIGHTS
        if not init.endswith(WEIGHTS):
            circle = f"member {name} would begin with its own weights; take `init` from one of this circle"
            others.append((f"`models.{model}.init`", init, circle, f" (a file of weights ends in {WEIGHTS})"))
        for place, other, circle, or_else in others:
            if other not in recipe.members:
                near = nearest(other, [known for known in recipe.members if known != name])
                yield f"{place}: no member is called `{other}`; {near}{or_else}"
            elif name in recipe.needed(name):
                yield f"{place}: {circle}"
            elif recipe.group_of(other) != recipe.group_of(name):
                yield (
                    f"{place}: the scenes of {other} and of {name} are divided into folds apart, so {other} may have "
                    f"seen scenes that {name} is judged by; name a member that learns {recipe.group_of(name)}"
                )
            elif or_else and (key := _differing(member.model, recipe.members[other].model)):
                yield f"{place}: the networks of {name} and {other} differ in `{key}`; the same network is needed"


def _differing(model: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first key in which two networks differ, but for their first weights."""
    keys = (key for key in model if key not in ("init", CONTENT))
    return next((key for key in keys if model[key] != other.get(key)), None)


def rounds_checks(config: Config, recipe: Recipe) -> Iterable[str]:
    """A second round is taught by models that have not seen what it is validated on, and by all scenes to predict."""
    if config.dataset.region is not None and any(member.teacher for member in recipe.members.values()):
        yield "`training.rounds`: 2 learns from all scenes to predict: give no `dataset.region`, or `rounds: 1`"
    if config.validation.predict_with == "refit" and any(member.teacher for member in recipe.members.values()):
        yield (
            "`training.rounds`: 2 was given, but with `validation.predict_with: refit` a model that has seen the "
            "labels of all validation scenes would teach the second round: give `predict_with: folds`, or `rounds: 1`"
        )


def name_checks(recipe: Recipe) -> Iterable[str]:
    """Names that are made of several names must fit into the name of a file."""
    for kind, names in (("member", recipe.members), ("group of targets", recipe.groups)):
        for name in names:
            if len(name) > MOST_NAME:
                yield (
                    f"the name of the {kind} {name[:60]}... has {len(name)} characters, and {MOST_NAME} at most fit "
                    "into the name of a file; give shorter names under `targets`, `classes`, `models`, `channels` or "
                    "`scales`"
                )
