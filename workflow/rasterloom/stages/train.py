"""Stage `train`: one checkpoint of one member, from stacks, masks, statistics and folds.

A checkpoint is one safetensors file: weights, normalisation, learning curve, and the recipe as metadata.
Training state lies beside it while the training runs, is resumed by the next run of the same key, and then
removed.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rasterloom.config.model import TrainingConfig, is_network
from rasterloom.config.pixel_models import indices_of
from rasterloom.config.recipe import MemberRecipe
from rasterloom.errors import ConfigError, TrainingError, concerning
from rasterloom.labels.record import scenes_by_heart, validation_scenes
from rasterloom.learning import normalisation as norms
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.batches import make_batch, require_positive
from rasterloom.learning.checkpoint import Arrays, load_checkpoint, save_checkpoint
from rasterloom.learning.cost import speed_of
from rasterloom.learning.curves import Row, add_to_curve, curve_arrays, curve_rows, learning_curve, write_curve
from rasterloom.learning.device import computing, hardware_name, keep_memory, pick_device, precision_on
from rasterloom.learning.outputs import Outputs
from rasterloom.learning.pixel_features import pixel_features
from rasterloom.learning.pixel_models import fit, sample_pixels, threads_matter
from rasterloom.learning.sanity import SANITY, SCENES, by_heart
from rasterloom.learning.scenes import open_training_scenes
from rasterloom.learning.stack_reader import open_reader, reference_place, sensor_parts, stacked_items
from rasterloom.learning.state import STATE, claimed_state, read_state, told_to_stop, write_state
from rasterloom.learning.transfer import channel_counts, origin_key, origin_manifest, start_of
from rasterloom.learning.watching import Watch
from rasterloom.project.project import Project
from rasterloom.store.job import DATASET, Job, Wanted, batch_manifests, scene_manifests
from rasterloom.store.store import Item, Writing

OUTPUT = "models/{member}/{fold}.json"
HELP = "train a member on a fold"
VERSION = 2
NAMES = "fold"

KEYED_AS = {"width": "maps", "depth": "levels", "convs_per_block": "convolutions", "max_depth": "depth"}
"""Settings of models that had another name once. Keys keep it, so that a new name trains no model again."""

OFF: Mapping[str, Any] = {
    "model.indices": False,
    "model.init": None,
    "model.neighbourhood": [],
    "model.norm": "batch",
    "model.widths": "constant",
    "training.gradient_clip": None,
    "training.keep": "last",
    "training.soft_jaccard": 0.0,
    "training.augment.contrast": 0.0,
    "training.augment.zoom": 1.0,
    "training.augment.sensor_dropout": 0.0,
    "training.augment.channel_dropout": 0.0,
}
"""Settings that came later, with the value at which nothing has changed: keys hold them only at another value."""

KEYS = {
    "model": "models.{model}",
    "model.content": "models.{model}",
    **{f"model.{old}": f"models.{{model}}.{new}" for new, old in KEYED_AS.items()},
    "sensors": "channels.{channels}",
    "reference": "sensors.*.reference",
    "indices": "sensors.*.bands_are",
    "outputs.classes": "targets.{target}.classes",
    "outputs.exclusive": "targets.{target}.overlap",
    "training": "*.training",
    "window": "*.prediction.window",
}

GPU_WORKERS = 8
"""Most threads that prepare batches for a GPU; on cores one suffices. Changes no result."""


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per member and fold; a member comes after those whose weights or predictions it reads."""
    recipe = project.recipe
    members = sorted(recipe.members, key=lambda member: len(recipe.needed(member)))
    return ({"member": member, "fold": fold} for member in members for fold in project.folds)


def spec(project: Project, member: str, fold: str) -> dict[str, Any]:
    """The member's model, channels, scale and settings of training, and what it reads of other members.

    That is what the member that it begins with sees, and the predictions of those that it sees itself or that teach it.
    """
    found, group = project.recipe.members[member], project.recipe.group_of(member)
    origin = project.recipe.members.get(str(found.model.get("init")))
    project.check_learning(group)
    scenes, training, heart = project.labelled(group), found.training, {}
    taught = _taught(project, found, group) if found.teacher and fold != SANITY else {}
    unlabelled = taught.get("unlabelled", [])
    seen = [*scenes, *unlabelled]
    read = seen if found.stacked else unlabelled
    if fold == SANITY:
        heart = {"classes": list(found.classes), "ground": project.ground(scenes)}
        training = by_heart(training, project.config.sanity.steps) if found.is_network else training
    named = {name: indices_of(project.config.sensors[name].bands_are or []) for name in found.sensors}
    indices = {"indices": {name: own for name, own in named.items() if own}} if found.model.get("indices") else {}
    return {
        **indices,
        **project.member(member),
        "fold": fold,
        "target": found.target,
        "training": training,
        "window": found.prediction.get("window"),
        "scenes": scenes,
        **project.normalised(seen),
        **({"batches": project.batches_with(read)} if read else {}),
        **taught,
        **heart,
        **({"origin": [*origin.sensors, *origin.stacked]} if origin else {}),
    }


def _taught(project: Project, member: MemberRecipe, group: str) -> dict[str, Any]:
    """What a spec says of a second round: who teaches, in which scenes, and the ground of all scenes."""
    scenes = project.unlabelled(group)
    if not scenes:
        raise ConfigError(
            f"`training.rounds`: 2 was given for member {member.teacher}, but there is no scene to predict that has no "
            "labels and does not show ground with held-out truth: add some, or give `rounds: 1`"
        )
    ground = project.ground([*project.labelled(group), *scenes])
    return {"teacher": member.teacher, "unlabelled": scenes, "ground": ground}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that a training reads, relative to the results folder."""
    scale, scenes = spec["scale"]["name"], spec["scenes"]
    seen = [*scenes, *spec.get("unlabelled", ())]
    divided = [] if spec["fold"] in ("all", SANITY) and "stacked" not in spec else [f"folds/{spec['group']}.json"]
    others = [*spec.get("stacked", ()), *([spec["teacher"]] if "teacher" in spec else [])]
    return [
        *scene_manifests(f"stacks/{scale}", seen),
        *(path for target in _targets(spec) for path in scene_manifests(f"masks/{scale}/{target}", scenes)),
        *norms.statistics_manifests({**spec, "scenes": seen}),
        *divided,
        *(path for other in others for path in batch_manifests(f"predictions/{other}", spec)),
        *(f"labels/{name}.json" for name in spec.get("classes", ())),
        *([f"{origin_manifest(spec)}.json"] if "origin" in spec else []),
    ]


def _targets(spec: Mapping[str, Any]) -> list[str]:
    """The targets that a member learns, one for each of its outputs."""
    return list(spec["outputs"]["classes"]) if "outputs" in spec else [spec["target"]]


def run(job: Job) -> None:
    """Train the checkpoint of a member and a fold, or find it in the store."""
    (want,) = wanted(job)
    state = job.store.root / job.stage / want.key
    item = job.find(want)
    if item is None:
        item = _trained(job, want, state)
    elif state.is_dir():  # the run that made the checkpoint was killed before it had tidied up
        with claimed_state(state):
            pass
    finish(job, {want.name: item})


def finish(job: Job, items: dict[str, Item]) -> None:
    """Write how a network's training went, and then the manifest."""
    if is_network(job.spec["model"]):
        watched, _ = load_checkpoint(job.store.open_path(items[job.spec["fold"]]), "watch.")
        write_curve(_curve(job), curve_rows(watched))
    job.finish(items)


def wanted(job: Job) -> Iterator[Wanted]:
    """The checkpoint of the job's member and fold; its key holds no name of a scene, a sensor or a member."""
    spec = job.spec
    scenes, others = _sides(job)
    stacks, masks, statistics = data = _labelled(job, scenes)
    digests = {name: {sensor: item.digest for sensor, item in found.items()} for name, found in statistics.items()}
    training = dict(spec["training"])
    if not threads_matter(spec["model"]):
        training.pop("threads", None)
    model = {KEYED_AS.get(name, name): value for name, value in spec["model"].items()}
    named = spec.get("indices", {})
    places = {"indices": [named.get(sensor) for sensor in spec["sensors"]]} if named else {}
    kept = [name for name in ("sensors", "reference", "training", "normalise_by") if name in spec]
    outputs = Outputs.of(spec).settings
    recipe: dict[str, Any] = {"model": model, **{name: spec[name] for name in kept}, **outputs}
    if named:
        recipe["indices"] = "; ".join(f"{sensor}: {_words(own)}" for sensor, own in named.items())
    inputs: dict[str, Any] = {
        "stacks": {scene: sensor_parts(item, spec) for scene, item in stacks.items()},
        "masks": {scene: _digest(items) for scene, items in masks.items()},
        **({"scene_statistics": digests} if "normalise_by" in spec else {"statistics": digests[DATASET]}),
    }
    begun, first = origin_key(job)
    inputs |= begun
    places |= outputs
    if "stacked" in spec:
        inputs["stacked"] = {scene: [i.digest for i in own] for scene, own in stacked_items(job, [*stacks]).items()}
    if "teacher" in spec:
        inputs["unlabelled"] = _parts(job, _unlabelled(job, others))
    if training.get("keep") == "best" and others:  # only where they choose the weights do validation scenes decide
        places["window"] = recipe["window"] = spec["window"]
        inputs["validation"] = _parts(job, _labelled(job, others))
    elif training.get("keep") == "best":  # the last weights are kept
        training["keep"] = "last"
    made_by = {"model": {**model, **first}, "reference": reference_place(spec), "training": training, **places}
    key = job.key(without_off(made_by), _nameless(inputs))
    yield Wanted(spec["fold"], key, recipe, inputs, (*data, others))


def without_off(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Settings, a table of tables, without those that are off (see `OFF`)."""
    return {
        name: without_off(value, f"{path}{name}.") if isinstance(value, Mapping) else value
        for name, value in settings.items()
        if f"{path}{name}" not in OFF or OFF[f"{path}{name}"] != value
    }


def _nameless(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint is made of, without names of scenes and sensors: what has one, in its order."""

    def values(found: Any) -> Any:
        return [values(own) for own in found.values()] if isinstance(found, Mapping) else found

    return {name: values(found) for name, found in inputs.items()}


def _words(indices: Mapping[str, Sequence[int]]) -> str:
    """Indices and the numbers of their bands, from 1."""
    return ", ".join(f"{name} of bands {' '.join(str(n + 1) for n in bands)}" for name, bands in indices.items())


def _sides(job: Job) -> tuple[list[str], list[str]]:
    """The labelled scenes that the checkpoint trains on, and those that validate it.

    Where it sees the probability of other members, only scenes whose predictions are out-of-fold train.
    """
    spec = job.spec
    if spec["fold"] == SANITY:
        return scenes_by_heart(job, SCENES), []
    part = {"train": spec["scenes"], "validation": []}
    if spec["fold"] != "all":
        part = job.read("folds", spec["group"])["folds"][spec["fold"]]
    if "stacked" in spec:
        honest = validation_scenes(job, spec["group"])
        return [scene for scene in part["train"] if scene in honest], part["validation"]
    return part["train"], part["validation"]


def _digest(masks: Sequence[Item]) -> str | list[str]:
    """What a key says of the masks of a scene: the digest of the only one, or those of all outputs."""
    return masks[0].digest if len(masks) == 1 else [mask.digest for mask in masks]


Scenes = tuple[dict[str, Item], dict[str, list[Item]], norms.Items]
"""Stacks; masks of each target, or a prediction in place of labels; and statistics; by scene."""


def _labelled(job: Job, scenes: Sequence[str]) -> Scenes:
    """Labelled scenes and their masks."""
    return _scenes(job, scenes, [f"masks/{job.spec['scale']['name']}/{target}" for target in _targets(job.spec)])


def _unlabelled(job: Job, others: Sequence[str]) -> Scenes:
    """Scenes that a second round learns by the first round's predictions: none of ground that validates it."""
    spec = job.spec
    if "teacher" not in spec:
        return {}, {}, {}
    away = {spec["ground"][scene] for scene in others}
    scenes = [scene for scene in spec["unlabelled"] if spec["ground"][scene] not in away]
    return _scenes(job, scenes, [f"predictions/{spec['teacher']}"])


def _parts(job: Job, scenes: Scenes) -> dict[str, list[Any]]:
    """What decides a checkpoint of scenes that are no ordinary training scenes."""
    stacks, planes, measured = scenes
    seen = stacked_items(job, [*stacks])
    more = {scene: [own.digest for own in (*measured.get(scene, {}).values(), *seen[scene])] for scene in stacks}
    return {
        scene: [*sensor_parts(item, job.spec), _digest(planes[scene]), *more[scene]] for scene, item in stacks.items()
    }


def _scenes(job: Job, scenes: Sequence[str], folders: Sequence[str]) -> Scenes:
    """Scenes with items of some folders, in an order that names do not change: patches are drawn in it."""
    spec, scale = job.spec, job.spec["scale"]["name"]
    stacks = job.items(f"stacks/{scale}", scenes)
    by_target = [job.items(folder, scenes) for folder in folders]
    masks = {scene: [items[scene] for items in by_target] for scene in scenes}
    ordered = sorted(scenes, key=lambda scene: (sensor_parts(stacks[scene], spec), _digest(masks[scene])))
    sorted_masks = {scene: masks[scene] for scene in ordered}
    return {scene: stacks[scene] for scene in ordered}, sorted_masks, norms.statistics_items(job, ordered)


def _curve(job: Job) -> Path:
    """Where the curve of the training is told while it runs."""
    return Path(job.results, "training", job.spec["member"], f"{job.spec['fold']}.jsonl")


def _trained(job: Job, want: Wanted, state: Path) -> Item:
    """Train and commit a checkpoint; the state of its training goes only when the checkpoint is in the store."""
    spec = job.spec
    with ExitStack() as held:
        folder = held.enter_context(claimed_state(state, lambda text: job.log(f"train: {spec['member']}: {text}")))
        if (item := job.store.find(job.stage, want.key)) is not None:  # made while this process waited
            return item

        def make(want: Wanted, work: Writing) -> None:
            scenes, watched, kept = training_scenes(job, held, want)
            if is_network(spec["model"]):
                tensors = _train_network(job, work, folder, scenes, watched)
            else:
                tensors = _fit(job, work, scenes, kept)
            about = {"model": spec["model"], "channels": channel_counts(kept.planes)}
            tensors |= {"normalisation.mean": kept.mean, "normalisation.sd": kept.sd}
            work.digest = save_checkpoint(work.path, tensors, {**want.recipe, **about})

        return job.made(want, ".safetensors", make)


def training_scenes(
    job: Job, held: ExitStack, want: Wanted
) -> tuple[list[TrainingScene], list[TrainingScene], Normalisation]:
    """The scenes that a checkpoint trains on and those that validate it, open as long as `held`; what it normalises by.

    Raises
    ------
    LabelError
        If no scene to train on has a pixel of the target.
    """
    spec, (stacks, masks, statistics, others) = job.spec, want.work
    if not stacks:
        require_positive((), _targets(spec), spec["scale"]["name"])
    more, sure, theirs = _unlabelled(job, others)
    seen, truth, measured = _labelled(job, others if is_network(spec["model"]) else ())
    found = {**stacks, **more, **seen}
    stacked = stacked_items(job, [*found])
    readers = {scene: held.enter_context(open_reader(job, item, stacked[scene])) for scene, item in found.items()}
    kept = norms.training_normalisation(job, statistics, {scene: readers[scene] for scene in stacks})
    own = norms.scene_normalisations(job, kept, {**statistics, **theirs, **measured}, readers)
    opened = open_training_scenes(job, held, readers, {**masks, **sure, **truth}, own, unlabelled=more)
    require_positive(opened[: len(stacks)], _targets(spec), spec["scale"]["name"])
    return opened[: len(stacks) + len(more)], opened[len(stacks) + len(more) :], kept


def _fit(job: Job, work: Writing, scenes: Sequence[TrainingScene], normalisation: Normalisation) -> Arrays:
    """What a model per pixel is made of."""
    spec = job.spec
    model, seed, named = spec["model"], spec["training"]["seed"], spec.get("indices", {})
    widths = model.get("neighbourhood", ())
    wanted = pixel_features(named, widths, spec["sensors"], spec["reference"], normalisation.planes)
    features, target = sample_pixels(scenes, model["samples"], seed, wanted)
    job.log(f"train: {spec['member']}: {len(target)} pixels of {len(scenes)} scenes, {features.shape[1]} features")
    for sensor, own in named.items():
        job.log(f"train: {spec['member']}: indices of {sensor}: {', '.join(own)}")
    work.cost.update(device="cpu", samples=len(target))
    return {**fit(features, target, model, spec["training"]), **wanted.arrays}


def _train_network(
    job: Job, work: Writing, state: Path, scenes: Sequence[TrainingScene], watched: Sequence[TrainingScene]
) -> Arrays:
    """Weights and curves of a network, which goes on from the state of an interrupted run."""
    from rasterloom.learning.training import Trainer, train

    keep_memory()
    model, channels = job.spec["model"], len(scenes[0].normalisation.mean)
    name = f"{job.spec['member']} {job.spec['fold']}"
    recipe = TrainingConfig.model_validate(job.spec["training"])
    with pick_device() as device, computing(recipe.threads):
        workers = min(GPU_WORKERS, max(1, (os.cpu_count() or 2) - 1)) if device != "cpu" else 1
        outputs, hardware = Outputs.of(job.spec), hardware_name(device, recipe.threads)
        watch = Watch(watched, recipe, job.spec["window"], workers, outputs) if watched else None
        job.log(f"train: {name}: {watch or 'no validation scenes: nobody watches, and the last weights are kept'}")
        begin = start_of(job, scenes[0].normalisation.planes)
        trainer = Trainer(recipe, model, channels, device, start=begin, outputs=outputs)
        del begin  # and with it the weights of others
        saved = read_state(state / STATE)
        if saved is not None:
            trainer.restore(saved)
            job.log(f"train: {name} goes on at step {trainer.step} of {recipe.steps}")
        job.log(f"train: {name}: on {hardware}, in {precision_on(device, recipe.precision)}")
        write_curve(_curve(job), trainer.rows)
        first, started = trainer.step, time.monotonic()
        with concerning(name), told_to_stop() as stopping:
            try:
                busy = train(
                    trainer,
                    lambda step: make_batch(scenes, recipe, step),
                    watch=watch,
                    tell=lambda row: _tell(job, name, row),
                    save=lambda arrays: write_state(state / STATE, arrays),
                    report=lambda step, text: job.progress(step, recipe.steps, f"{name}: {text}"),
                    workers=workers,
                    stopping=stopping,
                )
            except TrainingError:
                (state / STATE).unlink(missing_ok=True)  # it would lead there again
                raise
        seconds, images = time.monotonic() - started, (trainer.step - first) * recipe.batch
        found, weights = trainer.state(), {f"network.{key}": value for key, value in trainer.weights().items()}
        write_state(state / STATE, found)
    speed = speed_of("training", hardware, recipe.precision, seconds, model, channels, recipe.patch, images)
    work.cost.update(device=device, network_share=round(busy, 3), network=asdict(speed))
    return {**weights, **learning_curve(found["history"]), **curve_arrays(trainer.rows)}


def _tell(job: Job, name: str, row: Row) -> None:
    """Add a row to the curve that others follow, and say in the log what it warns of."""
    add_to_curve(_curve(job), row)
    if "warning" in row:
        job.log(f"train: {name}: warning: {row['warning']}")
