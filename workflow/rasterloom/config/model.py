"""The typed model of config.yaml: names, types, ranges and defaults of every key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """A table of the configuration: unknown keys are refused, values are not coerced across kinds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DatasetConfig(Table):
    """Which imagery, in which layout."""

    layout: Literal["dstl", "sheet"] = Field("dstl", description="dstl: the contest's files; sheet: a table of scenes")
    root: str | None = Field(None, description="layout dstl: the folder that holds the contest's files")
    table: str | None = Field(None, description="layout sheet: the tab-separated table of scenes")
    predict: Literal["scored", "all"] | list[str] | None = Field(
        None,
        description="scenes to predict besides the labelled ones: all, a list of ids, or (dstl) scored: the "
        "contest's 32 scored images",
    )
    truth: str | None = Field(
        None, description="layout dstl: a table like train_wkt_v4.csv of scenes to score that no model trains on"
    )

    @model_validator(mode="after")
    def _needs(self) -> DatasetConfig:
        if self.layout == "dstl" and not self.root:
            raise ValueError("layout dstl needs `root`, the folder of the contest's files")
        if self.layout == "sheet" and not self.table:
            raise ValueError("layout sheet needs `table`, the path of a tab-separated table of scenes")
        if self.layout == "sheet" and (self.root or self.truth or self.predict == "scored"):
            raise ValueError("`root`, `truth` and `predict: scored` belong to layout dstl: set them to null")
        if self.layout == "dstl" and self.table:
            raise ValueError("`table` belongs to layout sheet: set it to null")
        return self


class Shift(Table):
    """A known misalignment as a translation."""

    shift: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        description="[dx, dy] in reference pixels, x right, y down"
    )


class Matrix(Table):
    """A known misalignment as an affine map."""

    matrix: Annotated[
        list[Annotated[list[float], Field(min_length=3, max_length=3)]], Field(min_length=2, max_length=2)
    ] = Field(description="2 x 3, reference edge coordinates to sensor edge coordinates")


class SensorConfig(Table):
    """One sensor: a file (or several) a scene."""

    reference: bool = Field(False, description="the sensor that labels and all others are registered to; exactly one")
    bands: int | None = Field(None, ge=1, description="number of bands; null: as many as the file has")
    nodata: float | None = Field(
        None, description="number of pixels without data (0: where all bands have it); null: as the file says"
    )
    registration: Literal["auto", "none"] | Shift | Matrix = Field(
        "auto", description="auto: estimated; none: trust the files; {shift: [dx, dy]} or {matrix: 2 x 3}: given"
    )
    max_shift: float = Field(
        60.0,
        gt=0,
        description="the largest plausible misalignment in reference pixels; beyond it the fall-back is used",
    )


class ScaleConfig(Table):
    """The grid that images are brought to: at most one of the keys; none of them means native resolution."""

    size: int | None = Field(None, ge=16, description="size x size pixels exactly, whatever the scene's aspect")
    gsd: float | None = Field(None, gt=0, description="ground sampling distance in metres, aspect kept")
    factor: float | None = Field(None, gt=0, le=1, description="fraction of the native size, aspect kept")

    @model_validator(mode="after")
    def _one(self) -> ScaleConfig:
        if sum(value is not None for value in (self.size, self.gsd, self.factor)) > 1:
            raise ValueError("give only one of size, gsd and factor")
        return self


class ModelConfig(Table):
    """A kind of model and its size."""

    kind: Literal["unet", "forest", "linear"] = Field(description="unet; or, per pixel, forest or linear")
    maps: int = Field(64, ge=1, description="unet: feature maps at every level")
    levels: int = Field(6, ge=1, le=8, description="unet: poolings")
    convolutions: int = Field(3, ge=1, description="unet: 3 x 3 convolutions a block")
    trees: int = Field(40, ge=1, description="forest: trees")
    depth: int = Field(12, ge=1, le=30, description="forest: depth of a tree at most")
    samples: int = Field(
        200_000, ge=100, description="forest, linear: pixels sampled for training, half of them positive"
    )


class AugmentConfig(Table):
    """Augmentation of training patches."""

    flips: bool = Field(True, description="horizontal and vertical flips")
    rotation: bool = Field(True, description="random rotation by any angle")
    colour: float = Field(0.1, ge=0, description="colour jitter, in standard deviations of a channel; 0: none")


class TrainingConfig(Table):
    """How a member is trained."""

    steps: int = Field(40_000, ge=1, description="optimiser steps")
    batch: int = Field(4, ge=1, description="patches a step")
    patch: int = Field(256, ge=16, description="side of a patch in pixels of the member's scale")
    positive_fraction: Fraction = Field(0.5, description="share of each batch that contains positive pixels")
    learning_rate: float = Field(1e-3, gt=0, description="peak of the one-cycle schedule")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW's decoupled weight decay")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="augmentation")
    precision: Literal["bfloat16", "float32"] = Field("bfloat16", description="of the forward pass (autocast)")
    threads: int = Field(2, ge=1, description="compute threads; part of the recipe, since results depend on it")
    seed: int = Field(0, ge=0, description="of every random draw")


class PredictionConfig(Table):
    """How a member predicts."""

    window: int = Field(256, ge=16, description="side of the sliding window in pixels of the member's scale")
    stride: int = Field(64, ge=1, description="step of the sliding window; every pixel is averaged over its windows")
    symmetries: bool = Field(True, description="average over the 8 flips and rotations of each window")
    batch: int = Field(4, ge=1, description="windows a forward pass")
    precision: Literal["bfloat16", "float32"] = Field("bfloat16", description="of the forward pass (autocast)")
    threads: int = Field(2, ge=1, description="compute threads; part of the recipe, since results depend on it")

    @model_validator(mode="after")
    def _stride(self) -> PredictionConfig:
        if {"stride", "window"} <= self.model_fields_set and self.stride > self.window:
            raise ValueError(
                f"stride {self.stride} is larger than window {self.window}: pixels between windows would never be "
                "predicted; make stride at most the window"
            )
        return self


class PolygonsConfig(Table):
    """How probabilities become polygons; lengths and areas in pixels of the reference sensor."""

    threshold: Literal["auto"] | Fraction = Field(
        "auto", description="auto: the best on out-of-fold predictions; or a probability from 0 to 1"
    )
    dilate: int = Field(0, ge=0, description="radius of a dilation of the probability, in pixels of its grid")
    erode: int = Field(0, ge=0, description="radius of an erosion that follows it")
    min_area: float = Field(0.0, ge=0, description="smaller objects are removed")
    min_hole: float = Field(0.0, ge=0, description="smaller holes are filled")
    simplify: float = Field(0.25, ge=0, description="tolerance of the outlines' simplification")


class MemberConfig(Table):
    """One model of a class's ensemble."""

    model: Name = Field(description="a name under `models`")
    input: Name = Field(description="a name under `inputs`")
    scale: Name = Field(description="a name under `scales`")
    target: Name | None = Field(None, description="a class or a name under `targets`; null: the class itself")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="keys that differ for this member")
    prediction: PredictionConfig = Field(
        default_factory=PredictionConfig, description="keys that differ for this member"
    )


class ClassConfig(Table):
    """One class: its number in the tables and the members of its ensemble."""

    id: int = Field(ge=0, description="ClassType in the contest's tables; unique")
    members: list[MemberConfig] = Field(min_length=1, description="their probabilities are averaged")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="keys that differ for this class")
    prediction: PredictionConfig = Field(
        default_factory=PredictionConfig, description="keys that differ for this class"
    )
    polygons: PolygonsConfig = Field(default_factory=PolygonsConfig, description="keys that differ for this class")


class DefaultsConfig(Table):
    """What holds unless a class or a member says otherwise."""

    training: TrainingConfig = Field(default_factory=TrainingConfig, description="training")
    prediction: PredictionConfig = Field(default_factory=PredictionConfig, description="prediction")
    polygons: PolygonsConfig = Field(default_factory=PolygonsConfig, description="polygons")


class ValidationConfig(Table):
    """How labelled scenes are divided."""

    split: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="hold-out: the share of the ground that trains"
    )
    folds: int | None = Field(None, ge=2, description="cross-validation: the number of folds")
    final: Literal["holdout", "refit_all"] = Field(
        "holdout",
        description="what predicts new scenes: the folds' models (their mean), or one trained once more on everything",
    )
    seed: int = Field(0, ge=0, description="of the division")

    @model_validator(mode="after")
    def _one(self) -> ValidationConfig:
        if (self.split is None) == (self.folds is None):
            raise ValueError("give either `split` (a hold-out) or `folds` (cross-validation), the other one null")
        return self


class ExecutionConfig(Table):
    """How the work is divided into jobs; changes no result."""

    scenes_per_job: Literal["auto"] | Literal[1] = Field(
        "auto", description="auto: one scene a job up to 64 scenes, 32 fixed batches beyond; 1: always one"
    )


class Config(Table):
    """Everything that config.yaml says."""

    results: str = Field("results", description="the folder that everything is written to")
    dataset: DatasetConfig = Field(description="the imagery")
    sensors: dict[Name, SensorConfig] = Field(min_length=1, description="in the order of the channels")
    inputs: dict[Name, list[Name]] = Field(min_length=1, description="lists of sensors that a model sees")
    scales: dict[Name, ScaleConfig] = Field(min_length=1, description="grids that images are brought to")
    models: dict[Name, ModelConfig] = Field(min_length=1, description="kinds of models")
    targets: dict[Name, list[Name]] = Field(
        default_factory=dict, description="unions of classes; every class is its own target"
    )
    classes: dict[Name, ClassConfig] = Field(min_length=1, description="what is looked for")
    defaults: DefaultsConfig = Field(default_factory=DefaultsConfig, description="settings of all classes and members")
    statistics: Literal["all", "train"] | list[str] = Field(
        "all", description="scenes whose mean and deviation normalise the channels: all, train, or a list of ids"
    )
    validation: ValidationConfig = Field(description="hold-out or folds")
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig, description="division into jobs")
