"""From a checked configuration to the recipe: members, targets, groups and settings, with all defaults filled in."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from rasterloom.config.checks import name_checks, others_checks, rounds_checks, settings_checks
from rasterloom.config.explain import refuse
from rasterloom.config.model import CONTENT, ClassConfig, Config, DefaultsConfig, JointConfig, MemberConfig, by_quality
from rasterloom.config.named import named_contents
from rasterloom.config.overlays import merge
from rasterloom.config.recipe import ClassRecipe, Groups, MemberRecipe, Recipe, scale_table
from rasterloom.errors import ConfigError

Layer = TypeVar("Layer", DefaultsConfig, ClassConfig, MemberConfig)


def resolve(config: Config) -> Recipe:
    """Work out members, groups and settings.

    Raises
    ------
    ConfigError
        If two classes define the same member with different settings, or overrides do not fit together.
    """
    members: dict[str, MemberRecipe] = {}
    owners: dict[str, str] = {}
    names: dict[str, list[str]] = {name: [] for name in config.classes}
    contents, problems = _contents(config)
    differing: set[tuple[str, str]] = set()
    for class_name, entry in config.classes.items():
        for index, member in enumerate(entry.members):
            found = _member(config, class_name, member)
            found.model.update(contents.get(member.model, {}))
            problems += settings_checks(config, class_name, index, found)
            place = f"`classes.{class_name}.members[{index}]`"
            owner = owners.setdefault(found.name, class_name)
            last = found if found.training.pop("rounds", 1) == 1 else found.second_round
            if last.name in names[class_name]:
                problems.append(f"{place}: class {class_name} lists member {found.name} twice; remove one of them")
            elif members.setdefault(found.name, found) != found and (owner, class_name) not in differing:
                differing.add((owner, class_name))
                problems.append(
                    f"{place}: member {found.name} is shared by the classes {owner} and {class_name}, which give it "
                    "different settings; give both the same `training` and `prediction`"
                )
            members.setdefault(last.name, last)
            names[class_name].append(last.name)
    groups = _groups(names, members)
    recipe = Recipe(members, {}, groups)
    for name, entry in config.classes.items():
        polygons = _settings(config.defaults.polygons, entry.polygons)
        group = recipe.group_of(names[name][0])
        ensemble = entry.ensemble if len(names[name]) > 1 else "mean"
        recipe.classes[name] = ClassRecipe(name, entry.id, tuple(names[name]), ensemble, group, polygons)
    refuse([*problems, *name_checks(recipe), *others_checks(recipe), *rounds_checks(config, recipe)])
    return recipe


def with_quality(config: Config, quality: str) -> Recipe:
    """The recipe if every prediction had a quality; what is set beside it stays."""

    def asked(layer: Layer) -> Layer:
        return layer.model_copy(update={"prediction": layer.prediction.model_copy(update={"quality": quality})})

    classes = {
        name: asked(entry).model_copy(update={"members": list(map(asked, entry.members))})
        for name, entry in config.classes.items()
    }
    return resolve(config.model_copy(update={"defaults": asked(config.defaults), "classes": classes}))


def _member(config: Config, class_name: str, member: MemberConfig) -> MemberRecipe:
    layers = (config.defaults, config.classes[class_name], member)
    target = member.target or class_name
    model = config.models[member.model]
    classes, entry = config.classes_of(target), config.targets.get(target)
    seen = config.channels[member.channels]

    def settings(section: str) -> dict[str, Any]:
        merged = _settings(*(getattr(layer, section) for layer in layers))
        merged = by_quality(merged) if section == "prediction" else merged
        return {key: merged[key] for key in model.SETTINGS.get(section, merged)}

    return MemberRecipe(
        name=f"{target}-{member.model}-{member.channels}-{member.scale}",
        target=target,
        classes=classes,
        model=model.model_dump(),
        sensors=tuple(name for name in seen if name in config.sensors),
        stacked=tuple(name for name in seen if name not in config.sensors),
        scale=scale_table(config, member.scale),
        training=settings("training"),
        prediction=settings("prediction"),
        outputs=classes if isinstance(entry, JointConfig) else (),
        exclusive=isinstance(entry, JointConfig) and not entry.overlap,
    )


def _contents(config: Config) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What the keys of members need to know of files that their models name, by model; and what is wrong with them."""
    found: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for name in dict.fromkeys(member.model for entry in config.classes.values() for member in entry.members):
        try:
            digests = named_contents(config.models[name])
            found[name] = {CONTENT: digests} if digests else {}
        except ConfigError as error:
            problems.append(f"`models.{name}.{error}")
    return found, problems


def _settings(*layers: BaseModel) -> dict[str, Any]:
    """Settings laid over each other: the defaults of their table, and of each layer the keys that were written."""
    merged = type(layers[0])().model_dump()
    for layer in layers:
        merged = merge(merged, layer.model_dump(exclude_unset=True))
    return merged


def _groups(names: Mapping[str, Iterable[str]], members: Mapping[str, MemberRecipe]) -> Groups:
    """Targets that meet in an ensemble, directly or through others, by the name of their group."""
    components: list[set[str]] = []
    for ensemble in names.values():
        targets = {target for name in ensemble for target in members[name].targets}
        touching = [component for component in components if component & targets]
        components = [component for component in components if not component & targets]
        components.append(targets.union(*touching))
    classes = {target: own for member in members.values() for target, own in member.targets.items()}
    return {"+".join(targets): {target: classes[target] for target in targets} for targets in map(sorted, components)}
