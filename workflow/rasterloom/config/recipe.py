"""The recipe: what the configuration amounts to, member by member, with every default filled in."""

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

from rasterloom.config.model import Config, is_network

Groups = dict[str, dict[str, tuple[str, ...]]]
"""Targets that meet in an ensemble by the name of their group, each with its classes."""


@dataclass(frozen=True)
class MemberRecipe:
    """One model: target x model x channels x scale, with its settings.

    `outputs` are the classes that it has an output for each of, sorted; none if it has one output, for all `classes`.
    A pixel may be of one of them at most if they are `exclusive`. It sees the probability of the members `stacked`
    beside its sensors, and learns what its `teacher`, the member of the first round, is sure of in unlabelled scenes.
    """

    name: str
    target: str
    classes: tuple[str, ...]
    model: dict[str, Any]
    sensors: tuple[str, ...]
    scale: dict[str, Any]
    training: dict[str, Any]
    prediction: dict[str, Any]
    outputs: tuple[str, ...] = ()
    exclusive: bool = False
    stacked: tuple[str, ...] = ()
    teacher: str | None = None

    @property
    def targets(self) -> dict[str, tuple[str, ...]]:
        """What it learns, each with its classes: a target is what has a mask of its own."""
        return {name: (name,) for name in self.outputs} or {self.target: self.classes}

    def plane(self, class_name: str) -> dict[str, int]:
        """What a spec says of which plane of its predictions is a class's; nothing if they have but one."""
        return {"plane": self.outputs.index(class_name)} if self.outputs else {}

    @property
    def second_round(self) -> Self:
        """The member that this one teaches; it goes by another model's name."""
        target, model, channels, scale = self.name.rsplit("-", 3)
        return replace(self, name=f"{target}-{model}.round2-{channels}-{scale}", teacher=self.name)

    @property
    def is_network(self) -> bool:
        """Whether the model is a network, and not a model per pixel."""
        return is_network(self.model)


@dataclass(frozen=True)
class ClassRecipe:
    """One class: the names of its members and how they count, its group of targets, its polygon settings."""

    name: str
    id: int
    members: tuple[str, ...]
    ensemble: str
    group: str
    polygons: dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """All members and classes; `groups` maps a group of targets to its targets, each with its classes."""

    members: dict[str, MemberRecipe]
    classes: dict[str, ClassRecipe]
    groups: Groups

    def group_of(self, member: str) -> str:
        """The group that what a member learns belongs to."""
        learned = self.members[member].targets.keys()
        return next(name for name, targets in self.groups.items() if learned <= targets.keys())

    def needed(self, member: str) -> list[str]:
        """Members whose weights or predictions a member's training reads, directly or through others, nearest first.

        Itself in a circle; else it has more of them than each of them has.
        """
        found: list[str] = []
        for name in chain([member], found):  # which grows meanwhile
            own = self.members[name]
            read = (own.model.get("init"), *own.stacked, own.teacher)
            found += [other for other in read if other in self.members and other not in found]
        return found


def scale_table(config: Config, name: str) -> dict[str, Any]:
    """A scale as a spec holds it: its name and the one key that is set."""
    return {"name": name, **config.scales[name].model_dump(exclude_none=True)}
