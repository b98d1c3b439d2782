"""Checks of a configuration that need the data set: are there scenes, labels and classes to learn from?"""

import re
from collections.abc import Iterable

from rasterloom.config import Config, Recipe
from rasterloom.dataset import Dataset


def data_checks(dataset: Dataset) -> Iterable[str]:
    """Names in the data that stand for something else in the results."""
    folds = {scene.fold for scene in dataset.scenes.values()}
    if "all" in folds:
        yield "a fold is called `all`, as is the model that is trained on everything: rename it in the column `fold`"
    if "sanity" in folds:
        yield "a fold is called `sanity`, as is the model that learns by heart: rename it in the column `fold`"
    if "all" in dataset.scenes:
        yield "a scene is called `all`, as are the sums over scenes in score.tsv: rename it"
    for name in filter(re.compile(r"bucket-\d+").fullmatch, dataset.scenes):
        yield f"a scene is called `{name}`, as are batches of scenes: rename it"


def learning_checks(config: Config, recipe: Recipe, dataset: Dataset, group: str) -> Iterable[str]:
    """What a group of targets lacks to be learned; if labels, the other groups that lack some are named, too."""
    training = [dataset.scenes[scene] for scene in dataset.training()]
    grounds = {scene.ground for scene in training}
    wanted = config.validation.folds
    if wanted is not None and wanted > len(grounds) > 0 and all(scene.fold is None for scene in training):
        remedy = f"give 2 to {len(grounds)}" if len(grounds) > 1 else "give `validation.split`: all of it trains"
        yield (
            f"`validation.folds`: {wanted} was given, but each fold needs ground of its own, and that of the labelled "
            f"scenes is {len(grounds)}: {remedy}"
        )
    given = {scene.fold for scene in training if scene.fold is not None}
    if max(len(given), 0 if given else wanted or 1) < 2:
        for name, member in recipe.members.items():
            if member.stacked and group == recipe.group_of(name):
                yield (
                    f"member {name} sees the probability of {member.stacked[0]}, which with a single fold has seen "
                    "every scene that trains: give `validation.folds` instead of `split`"
                )
    grouped = {name: {class_ for own in targets.values() for class_ in own} for name, targets in recipe.groups.items()}
    labelled = [set(scene.labelled) for scene in training]
    lacking = {name: own for name, own in grouped.items() if not any(own <= known for known in labelled)}
    for classes in lacking.values() if group in lacking else ():
        yield (
            f"no training scene is labelled for {', '.join(sorted(classes))}{' together' * (len(classes) > 1)}, so "
            "there is nothing to learn from: label one, or set the class to null under `classes`"
        )
