"""The typed model of config.yaml: names, types, ranges, defaults and descriptions of every key.

A field's description is what config.yaml, docs/configuration.md and the JSON schema say of it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from rasterloom.config.networks import AnyNetwork, NetworkConfig
from rasterloom.config.pixel_models import BandName, BoostingConfig, ForestConfig, LinearConfig, LogisticConfig
from rasterloom.config.tables import (
    MOST_SEED,
    ChannelName,
    Fraction,
    ModelTable,
    Name,
    PathText,
    Pixels,
    Precision,
    ResultsPath,
    Row,
    SceneIds,
    Searched,
    Table,
    Threads,
)


class LabelsConfig(Table):
    """Where the labels of a sheet lie on their images."""

    registration: Literal["none", "auto"] = "none"
    """none: where their files say; auto: their shift is estimated in each scene, and labels are moved back by it
    (docs/registration.md)
    """
    max_shift: float = Field(30.0, gt=0, le=100)
    """auto: largest plausible shift in reference pixels; larger ones are refused"""


class DatasetConfig(Table):
    """Which imagery, in which layout."""

    layout: Literal["dstl", "sheet"] = "dstl"
    """dstl: the contest's files; sheet: a table of your own scenes (docs/own-imagery.md)"""
    root: PathText | None = None
    """layout dstl: the folder with three_band, sixteen_band and the tables"""
    table: PathText | None = None
    """layout sheet: the tab-separated table of scenes"""
    predict: Literal["scored", "all"] | SceneIds | None = None
    """scenes to predict besides the labelled ones: all, scored (the contest's 32) or a list of ids (in quotes; [] for
    none). null: scored with layout dstl, all with layout sheet
    """
    region: str | None = None
    """layout sheet: predict only the scenes whose column `region` says so; models learn from the same ones. null: all
    """
    truth: PathText | None = None
    """layout dstl: a table like train_wkt_v4.csv, in root or elsewhere, with labels to score by, on whose scenes no
    model trains
    """
    labels: LabelsConfig = Field(default_factory=LabelsConfig)
    """layout sheet: where labels lie on their images"""

    @model_validator(mode="after")
    def _needs(self) -> Self:
        if self.layout == "dstl" and not self.root:
            raise ValueError("layout dstl needs `root`, the folder of the contest's files")
        if self.layout == "sheet" and not self.table:
            raise ValueError("layout sheet needs `table`, the path of a tab-separated table of scenes")
        if self.layout == "sheet" and (self.root or self.truth or self.predict == "scored"):
            raise ValueError("`root`, `truth` and `predict: scored` belong to layout dstl: set them to null")
        if self.layout == "dstl" and self.labels.registration == "auto":
            raise ValueError("`labels.registration: auto` is for layout sheet: the contest's labels lie on its images")
        if self.layout == "dstl" and (self.table or self.region is not None):
            raise ValueError("`table` and `region` belong to layout sheet: set them to null")
        return self


class Shift(Table):
    """A known misalignment as a translation."""

    shift: Annotated[list[float], Field(min_length=2, max_length=2)]
    """[dx, dy] in reference pixels, x to the right, y down: what the reference shows at x, the sensor shows at x +
    shift
    """


class Matrix(Table):
    """A known misalignment as an affine map."""

    matrix: Annotated[list[Row], Field(min_length=2, max_length=2)]
    """two rows of three numbers, from reference to sensor pixels (edges on integers)"""

    @model_validator(mode="after")
    def _invertible(self) -> Self:
        (a, b, _), (c, d, _) = self.matrix
        if abs(a * d - b * c) < 1e-12:
            raise ValueError("the matrix maps the image onto a line or a point; one that can be inverted is needed")
        return self


class SensorConfig(Table):
    """One sensor: one or several files per scene. Every sensor is read and registered, even if no model uses it."""

    reference: bool = False
    """true for exactly one: all others and the labels are brought to its pixels"""
    bands: int | None = Field(None, ge=1, le=10_000)
    """number of bands without alpha; null: as in the file"""
    bands_are: Annotated[list[BandName | None], Field(min_length=1)] | None = None
    """names of the bands in their order, for `indices` of models: coastal, blue, green, yellow, red, red_edge, nir,
    nir2, or null for any other; null: unknown
    """
    nodata: float | None = None
    """no-data value (0 counts only where all bands are 0); null: as in the file"""
    registration: Literal["auto", "none"] | Shift | Matrix = "auto"
    """auto: estimated; none: trust the files; or given: {shift: [dx, dy]} in reference pixels or {matrix: 2 x 3}"""
    motion: Literal["translation", "scale", "euclidean", "affine"] = "translation"
    """auto: what is estimated: translation (a shift), scale (a shift and the size of pixels along each axis), euclidean
    (a shift and up to three degrees of rotation) or affine (all of it)
    """
    alignment: Literal["together", "apart"] = "together"
    """auto: together (the bands share a place) or apart (each has a shift of its own, where they measurably differ)"""
    max_shift: float = Field(60.0, gt=0, le=100_000)
    """auto: largest plausible shift in reference pixels; larger ones are refused"""
    pixel: float | None = Field(None, gt=0, le=10_000)
    """side of its pixel in reference pixels, for files without a coordinate system; null: as known of the contest's
    sensors, else the one whole number that explains the sizes of the images
    """


class ScaleConfig(Table):
    """The grid that images are resampled to: at most one of the keys; none of them means native resolution."""

    size: int | None = Field(None, ge=16, le=200_000)
    """size x size pixels exactly, whatever the aspect"""
    gsd: float | None = Field(None, ge=0.001, le=100_000)
    """metres per pixel, aspect kept; with layout sheet the reference image needs a coordinate system"""
    factor: float | None = Field(None, ge=0.001, le=1)
    """pixels per native pixel along a side, aspect kept"""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.size, self.gsd, self.factor)) > 1:
            raise ValueError("give only one of size, gsd and factor")
        return self


ModelConfig = Annotated[
    AnyNetwork | ForestConfig | BoostingConfig | LinearConfig | LogisticConfig, Field(discriminator="kind")
]

MODELS: Mapping[str, type[ModelTable]] = {
    get_args(table.model_fields["kind"].annotation)[0]: table for table in get_args(get_args(ModelConfig)[0])
}
"""Every kind of model: its name, and the table of its keys."""


CONTENT = "content"
"""Key, in a spec's table of a model, of the digests of files that the table names (see `rasterloom.config.named`)."""


def model_table(model: Mapping[str, Any]) -> ModelTable:
    """The table of a model as a spec holds it, with its types."""
    return MODELS[model["kind"]].model_validate({key: value for key, value in model.items() if key != CONTENT})


def is_network(model: Mapping[str, Any]) -> bool:
    """Whether a model, as a spec holds it, is a network, and not a model per pixel."""
    return issubclass(MODELS[model["kind"]], NetworkConfig)


class AugmentConfig(Table):
    """Random changes of training patches."""

    flips: bool = True
    """horizontal and vertical flips, each with probability 1/2"""
    rotation: bool = True
    """rotation of every patch by any angle"""
    colour: float = Field(0.1, ge=0, le=10)
    """change of brightness and contrast, in standard deviations of a channel; 0: none"""
    contrast: float = Field(0.0, ge=0, le=2)
    """change of contrast of a whole sensor, as deviation of its logarithm; 0: none"""
    zoom: float = Field(1.0, ge=0.3, le=1)
    """smallest factor of a random zoom: 0.5 shows up to twice the width; 1: none"""
    sensor_dropout: Fraction = 0.0
    """share of the patches in which one sensor other than the reference is left out"""
    channel_dropout: Fraction = 0.0
    """probability with which a channel is left out; never all are"""


class TrainingConfig(Table):
    """How a member is trained."""

    steps: int = Field(40_000, ge=1, le=1_000_000_000)
    """optimiser steps"""
    batch: int = Field(4, ge=1, le=10_000)
    """patches per step"""
    patch: Pixels = 256
    """side of a patch in pixels of the member's scale: at least 2**depth, preferably a multiple"""
    positive_fraction: Fraction = 0.5
    """share of the patches that contain positive pixels; the others are drawn anywhere"""
    learning_rate: float = Field(1e-3, gt=0, le=10)
    """peak of the one-cycle schedule"""
    weight_decay: float = Field(1e-4, ge=0, le=10)
    """AdamW's decoupled weight decay"""
    gradient_clip: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """largest norm of the gradient of a step; longer ones are shortened to it; null: no limit"""
    soft_jaccard: Fraction = 0.5
    """share of the soft Jaccard in the loss; the rest is binary cross-entropy"""
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    """random changes of the patches"""
    keep: Literal["last", "best", "ema"] = "last"
    """weights that are kept: last; best (at the look with the best validation Jaccard); or ema (moving average over the
    latest twentieth of the steps)
    """
    precision: Precision = "bfloat16"
    rounds: int = Field(1, ge=1, le=2)
    """2: a network is trained once more, also on unlabelled scenes where the first round is sure (docs/learning.md)"""
    threads: Threads = 2
    seed: int = Field(0, ge=0, le=MOST_SEED)
    """of the first weights and of every random draw"""


class PredictionConfig(Table):
    """How a member predicts."""

    quality: Literal["authors", "fast", "preview"] = "authors"
    """how much averaging: authors, fast (a 30th of the time) or preview (a 100th); says what window, stride and
    symmetries are that are null (docs/prediction.md)
    """
    window: Pixels | None = None
    """side of the sliding window in pixels of the member's scale: at least 2**depth; null: 256"""
    stride: Annotated[int, Field(ge=1, le=16_384)] | None = None
    """step of the sliding window, at most the window; a pixel gets the mean of all windows over it. null: authors 64,
    fast half the window, preview the window
    """
    symmetries: bool | Literal["alternate"] | None = None
    """true: each window is averaged over its 8 flips and rotations; alternate: it is predicted in one of them, its
    neighbours in others; false: as it is. null: authors true, fast alternate, preview false
    """
    batch: int = Field(4, ge=1, le=10_000)
    """windows per forward pass"""
    precision: Precision | Literal["int8"] = "bfloat16"
    """of the forward pass: bfloat16 (faster; float32 on devices without it) or float32; int8: by OpenVINO (an
    extra) on the cores, twice as fast there on large scenes (docs/prediction.md)
    """
    threads: Threads = 2


class Prediction(PredictionConfig):
    """How a member predicts, as a recipe holds it: nothing is left to `quality`, which keys do not know."""

    window: Pixels
    stride: int
    symmetries: bool | Literal["alternate"]


def on_cores(settings: Mapping[str, Any]) -> bool:
    """Whether, by these settings of prediction, OpenVINO computes: on the cores even where there is a GPU."""
    return bool(settings["precision"] == "int8")


def by_quality(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of prediction as a recipe holds them: what is null is as their `quality` says."""
    found = {name: value for name, value in settings.items() if name != "quality" and value is not None}
    window = found.get("window", 256)
    stride = {"authors": 64, "fast": max(1, window // 2), "preview": window}
    symmetries = {"authors": True, "fast": "alternate", "preview": False}
    quality = settings["quality"]
    return {"window": window, "stride": stride[quality], "symmetries": symmetries[quality], **found}


class PolygonsConfig(Table):
    """How probabilities become polygons; lengths and areas in pixels of the reference sensor.

    What is `auto` is tuned on out-of-fold predictions (docs/validation.md).
    """

    threshold: Literal["auto"] | Fraction = "auto"
    """least probability of an object; 0 to 1"""
    open: Searched = "auto"
    """radius of an opening of the probability, in reference pixels: thinner things go"""
    close: Searched = "auto"
    """radius of a closing after it, in reference pixels: narrower gaps are closed"""
    min_area: Searched = "auto"
    """smaller objects are removed; square reference pixels"""
    max_area: Searched = "auto"
    """larger objects are removed; square reference pixels; 0: none"""
    min_hole: Searched = "auto"
    """smaller holes are filled; square reference pixels"""
    min_peak: Literal["auto"] | Fraction = "auto"
    """objects whose probability nowhere exceeds it are removed; 0 to 1"""
    divide: Literal["auto", "none"] = "auto"
    """auto: objects that touch are divided where that makes more of them match; none: never"""
    simplify: float = Field(0.25, ge=0)
    """by how much an outline may bend within a straight side, in pixels of the ensemble"""
    shape: Literal["free", "rectangular"] = "free"
    """rectangular: right angles, for every outline that loses at most 3 % of its area by them"""


class MemberConfig(Table):
    """One model of a class's ensemble."""

    model: Name
    """a name under `models`"""
    channels: Name
    """a name under `channels`"""
    scale: Name
    """a name under `scales`"""
    target: Name | None = None
    """what it learns: a name under `targets` that includes the class; null: the class itself"""
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """what differs from `defaults.training`"""
    prediction: PredictionConfig = Field(default_factory=PredictionConfig)
    """what differs from `defaults.prediction`"""


class BufferConfig(Table):
    """How wide a class's points and lines are: exactly one of the keys."""

    pixels: float | None = Field(None, gt=0, le=10_000)
    """radius of a point, half the width of a line, in reference pixels"""
    metres: float | None = Field(None, gt=0, le=100_000)
    """the same in metres; with layout sheet the reference image needs a coordinate system"""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.pixels is None) == (self.metres is None):
            raise ValueError("give exactly one of pixels and metres, such as {metres: 2}")
        return self


class JointConfig(Table):
    """Several classes in one network, with an output for each."""

    classes: Annotated[list[Name], Field(min_length=2)]
    """the classes that the network learns"""
    overlap: bool = True
    """true: a pixel may be of several of them (a sigmoid each); false: of one at most (a softmax, with background as
    one more output)
    """


class ClassConfig(Table):
    """One class: its number in the tables and the members of its ensemble."""

    id: int = Field(ge=0, le=1_000_000)
    """its number in tables of labels (the contest's ClassType); unique"""
    buffer: BufferConfig | None = None
    """makes labels that are points discs, and lines strips; null: points and lines are refused"""
    members: list[MemberConfig] = Field(min_length=1)
    """models whose probabilities are averaged, on the finest grid among them"""
    ensemble: Literal["mean", "weighted", "best"] = "mean"
    """mean: all members count alike; weighted: by weights with the best Jaccard on out-of-fold predictions; best: only
    the member with the best one
    """
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """what differs from `defaults.training`"""
    prediction: PredictionConfig = Field(default_factory=PredictionConfig)
    """what differs from `defaults.prediction`"""
    polygons: PolygonsConfig = Field(default_factory=PolygonsConfig)
    """what differs from `defaults.polygons`"""


class DefaultsConfig(Table):
    """What holds unless a class or a member says otherwise."""

    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """how a member is trained"""
    prediction: PredictionConfig = Field(default_factory=PredictionConfig)
    """how a member predicts"""
    polygons: PolygonsConfig = Field(default_factory=PolygonsConfig)
    """how probabilities become polygons"""


class ValidationConfig(Table):
    """How labelled scenes are divided; a column `fold` of a sheet takes precedence over `split` and `folds`."""

    split: Annotated[float, Field(gt=0, lt=1)] | None = None
    """hold-out: fraction of the labelled ground used for training; null if `folds` is given"""
    folds: int | None = Field(None, ge=2, le=1000)
    """cross-validation: number of folds; null if `split` is given"""
    predict_with: Literal["folds", "refit"] = "folds"
    """what predicts new scenes: folds (the mean of the folds' models) or refit (one model more, trained on all labelled
    scenes)
    """
    seed: int = Field(0, ge=0, le=MOST_SEED)
    """of the division: decides between equally good ones"""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.split is None) == (self.folds is None):
            raise ValueError("give either `split` (a hold-out) or `folds` (cross-validation), the other one null")
        return self


class SanityConfig(Table):
    """What `snakemake sanity` does, before a long training."""

    steps: int = Field(400, ge=1, le=1_000_000_000)
    """optimiser steps in which a network learns by heart"""


class ExecutionConfig(Table):
    """How the work is divided into jobs; changes no result."""

    scenes_per_job: Literal["auto", 1] = "auto"
    """auto: one scene per job up to 64 scenes, batches beyond (docs/caching.md); 1: always one"""
    gpu_share: int = Field(1, ge=1, le=16)
    """jobs that share one GPU; more than 1 where a training leaves a GPU idle and its memory has room"""


class Config(Table):
    """Everything that config.yaml says."""

    results: ResultsPath = "results"
    """the folder that everything is written to"""
    dataset: DatasetConfig
    """which imagery"""
    sensors: dict[Name, SensorConfig] = Field(min_length=1)
    """by name, in the order of the channels"""
    channels: dict[Name, list[ChannelName]] = Field(min_length=1)
    """what a model sees, by name: lists of sensors, and of members whose probability is a channel more
    (docs/learning.md)
    """
    scales: dict[Name, ScaleConfig] = Field(min_length=1)
    """grids that images are resampled to, by name: {} (native), or one of size, gsd, factor"""
    models: dict[Name, ModelConfig] = Field(min_length=1)
    """kinds and sizes of models, by name"""
    targets: dict[Name, list[Name] | JointConfig] = Field(default_factory=dict)
    """what several classes are learned as, by name: a list is their union, a table one network with an output for each;
    every class is a target of its own as well
    """
    classes: dict[Name, ClassConfig] = Field(min_length=1)
    """what is looked for, by name"""
    water: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    """the class of water that flows and that of water that stands: a body that has the other's shape goes to the other
    one; null: none does
    """
    defaults: DefaultsConfig = Field(default_factory=DefaultsConfig)
    """settings that a class or a member may override, key by key"""
    statistics: Literal["all", "train"] | Annotated[SceneIds, Field(min_length=1)] = "all"
    """normalise_by dataset: the scenes whose mean and deviation count: all, train, or a list of ids (in quotes)"""
    normalise_by: Literal["dataset", "acquisition", "scene"] = "scene"
    """whose mean and deviation normalise the channels of a scene: dataset (those of `statistics`), acquisition (those
    of all scenes taken together with it) or scene (its own)
    """
    validation: ValidationConfig
    """how labelled scenes are divided into training and validation"""
    sanity: SanityConfig = Field(default_factory=SanityConfig)
    """what `snakemake sanity` does before a long training (docs/sanity.md); changes no result"""
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig)
    """how the work is divided into jobs; changes no result"""

    def classes_of(self, target: str) -> tuple[str, ...]:
        """The classes of a target, sorted: those of an entry of `targets`, or the class of that name."""
        entry = self.targets.get(target, [target])
        return tuple(sorted(entry.classes if isinstance(entry, JointConfig) else entry))
