"""Ways to register a sensor: rasterloom's, and the alternatives that it is measured against.

Every method gets the same arrays, where they have data, and the places by the files. The alternatives compare one
band with one band: of all pairs, the one whose values correlate most, of whichever sign, where the files put them.
Everything runs on one thread.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from arrays import ArraySource
from numpy.typing import NDArray
from registration_cases import Case, Sensor

from rasterloom.raster.grid import Matrix, compose, invert
from rasterloom.registration.search import locate

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@dataclass(frozen=True)
class Found:
    """What a method says of a sensor.

    Attributes
    ----------
    motion : 2 x 3 list of rows
        Reference edge coordinates to reference edge coordinates: what the reference shows at x lies at
        nominal(motion(x)); a translation in most methods.
    accepted : bool
        Whether the method trusts it; False: it fell back to something else, mostly the place by the files.
    """

    motion: Matrix
    accepted: bool


def translation(dx: float, dy: float) -> Matrix:
    """The motion of a shift."""
    return [[1.0, 0.0, float(dx)], [0.0, 1.0, float(dy)]]


Method = Callable[[Case], dict[str, Found]]
PairMethod = Callable[["Bands"], Found]


@dataclass(frozen=True)
class Bands:
    """A band of the reference and one of a sensor, each on its own pixels; the size of these is known.

    Attributes
    ----------
    one, other : (H, W), (h, w) float32 arrays
    valid : two bool arrays of these shapes
    sensor : Sensor
    """

    one: Floats
    other: Floats
    valid: tuple[Mask, Mask]
    sensor: Sensor

    def enlarged(self) -> tuple[Floats, Mask]:
        """The sensor's band and its validity brought to the size of the reference."""
        size, place = (self.one.shape[1], self.one.shape[0]), np.array(self.sensor.nominal)
        place[:, 2] += place[:, :2] @ (0.5, 0.5) - 0.5  # from pixel edges to centres
        nearest, cubic = (flag | cv2.WARP_INVERSE_MAP for flag in (cv2.INTER_NEAREST, cv2.INTER_CUBIC))
        mask = cv2.warpAffine(self.valid[1].astype(np.uint8), place, size, flags=nearest)
        other = cv2.warpAffine(self.other, place, size, flags=cubic, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(other), np.asarray(mask > 0)


def best_bands(case: Case, name: str) -> Bands:
    """The bands of a sensor and of the reference whose values correlate most where the files put them."""
    lead, sensor = case.sensors[case.reference], case.sensors[name]
    size = (min(sensor.bands.shape[2], 512), min(sensor.bands.shape[1], 512))
    small = [
        [cv2.resize(band.astype(np.float32), size, interpolation=cv2.INTER_AREA) for band in image]
        for image in (lead.bands, sensor.bands)
    ]
    usable = np.ones(size[::-1], np.bool_)
    for part in (lead, sensor):
        if part.valid is not None:
            usable &= cv2.resize(part.valid.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
    pairs = [(i, j) for i in range(len(small[0])) for j in range(len(small[1]))]
    match = [abs(np.corrcoef(small[0][i][usable], small[1][j][usable])[0, 1]) for i, j in pairs]
    first, second = pairs[int(np.argmax(match))]
    masks = [np.ones(s.bands.shape[1:], np.bool_) if s.valid is None else s.valid for s in (lead, sensor)]
    one, other = (np.ascontiguousarray(b, dtype=np.float32) for b in (lead.bands[first], sensor.bands[second]))
    return Bands(one, other, (masks[0], masks[1]), sensor)


def band_by_band(method: PairMethod) -> Method:
    """A method for scenes from one for two bands."""

    def register(case: Case) -> dict[str, Found]:
        return {name: method(best_bands(case, name)) for name in case.others}

    return register


def values_ecc(motion: int) -> PairMethod:
    """ECC of the values at the reference's size, the identity if it does not converge: as public solutions did."""

    def register(bands: Bands) -> Found:
        other, valid = bands.enlarged()
        usable = (bands.valid[0] & valid).astype(np.uint8)
        one, other = ((image - image.min()) / np.ptp(image) for image in (bands.one, other))
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)
        try:
            _, found = cv2.findTransformECC(one, other, np.eye(2, 3, dtype=np.float32), motion, criteria, usable, 5)
        except cv2.error:
            return Found(IDENTITY, False)
        turn = found[:, :2].astype(np.float64)
        offset = found[:, 2] + 0.5 - turn @ [0.5, 0.5]  # from pixel centres to edges
        return Found([[*map(float, turn[i]), float(offset[i])] for i in (0, 1)], True)

    return register


def phase_correlation(bands: Bands) -> Found:
    """`skimage.registration.phase_cross_correlation` of the values, its own normalisation, to 1/20 pixel.

    With no-data it takes masks, and then finds whole pixels only.
    """
    from skimage.registration import phase_cross_correlation

    other, valid = bands.enlarged()
    if bands.valid[0].all() and valid.all():
        found = phase_cross_correlation(bands.one, other, upsample_factor=20)[0]
    else:
        found = phase_cross_correlation(bands.one, other, reference_mask=bands.valid[0], moving_mask=valid)[0]
    return Found(translation(-found[1], -found[0]), True)


def sampled_information(bands: Bands) -> Found:
    """SimpleITK, thriftily: the reference averaged to half the sensor's pixels, 100,000 samples a resolution."""
    return mutual_information(bands, max(1, round(bands.sensor.pixel / 2)), 100_000)


def whole_information(bands: Bands) -> Found:
    """SimpleITK, as it is without a choice: every pixel of the reference, at every resolution."""
    return mutual_information(bands, 1, None)


def mutual_information(bands: Bands, step: int, most: int | None) -> Found:
    """SimpleITK: Mattes mutual information, a translation, three resolutions, masks, both in reference coordinates.

    The reference is averaged to pixels `step` times as large; at most `most` samples a resolution, regularly spaced.
    """
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    height, width = bands.one.shape
    size = (max(1, width // step), max(1, height // step))
    one = cv2.resize(bands.one, size, interpolation=cv2.INTER_AREA)
    usable = cv2.resize(bands.valid[0].astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
    spacing, own = (width / size[0], height / size[1]), (bands.sensor.pixel,) * 2
    fixed, fixed_mask = (_itk_image(image, spacing) for image in (one, usable.astype(np.uint8)))
    moving, moving_mask = (_itk_image(image, own) for image in (bands.other, bands.valid[1].astype(np.uint8)))
    shrinks = [n for n in (4, 2, 1) if min(size) // n >= 24] or [1]
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    if most is not None:
        registration.SetMetricSamplingStrategy(registration.REGULAR)
        registration.SetMetricSamplingPercentagePerLevel([min(1.0, most / (one.size / n**2)) for n in shrinks], 1)
    registration.SetMetricFixedMask(fixed_mask)
    registration.SetMetricMovingMask(moving_mask)
    registration.SetInterpolator(sitk.sitkLinear)
    registration.SetOptimizerAsRegularStepGradientDescent(
        learningRate=4.0 * step, minStep=0.01 * step, numberOfIterations=200, gradientMagnitudeTolerance=1e-8
    )
    registration.SetShrinkFactorsPerLevel(shrinks)
    registration.SetSmoothingSigmasPerLevel([0.5 * n * step if n > 1 else 0.0 for n in shrinks])
    registration.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    registration.SetInitialTransform(sitk.TranslationTransform(2), inPlace=False)
    try:
        found = registration.Execute(fixed, moving)
    except RuntimeError:  # the images have slid off each other
        return Found(IDENTITY, False)
    return Found(translation(*found.TransformPoint((0.0, 0.0))), True)


def _itk_image(image: NDArray[Any], spacing: tuple[float, float]) -> Any:
    """An image of pixels so large that a point's place is its place in reference edge coordinates."""
    import SimpleITK as sitk

    out = sitk.GetImageFromArray(image)
    out.SetSpacing(spacing)
    out.SetOrigin((spacing[0] / 2, spacing[1] / 2))
    return out


def arosics_global(bands: Bands) -> Found:
    """AROSICS, global: phase correlation in one window, by default of 256 pixels of the coarser image."""
    from arosics import COREG
    from geoarray import GeoArray

    images = []
    for image, valid, side in (
        (bands.one, bands.valid[0], 1.0),
        (bands.other, bands.valid[1], bands.sensor.pixel),
    ):
        place = (600_000.0, side, 0.0, 5_000_000.0, 0.0, -side)  # one metre is a reference pixel
        images.append(GeoArray(np.where(valid, image, 0.0), place, "EPSG:32631", nodata=0))
    options = {"max_shift": int(bands.sensor.max_shift), "nodata": (0, 0)}
    try:
        found = COREG(*images, **options, CPUs=1, q=True, progress=False, ignore_errors=True)
        found.calculate_spatial_shifts()
    except (AssertionError, RuntimeError, ValueError):  # such as an overlap of less than 16 x 16 pixels
        return Found(IDENTITY, False)
    if not found.success:
        return Found(IDENTITY, False)
    return Found(translation(-found.x_shift_map, found.y_shift_map), True)


def rasterloom_method(case: Case, by_size: bool = False) -> dict[str, Found]:
    """What the stage register does: all sensors of a scene together, each helped by finer ones.

    With `by_size` it takes each image to be as large as the reference, and its pixels as large as that makes them.
    """
    sources = {name: ArraySource(sensor.bands, sensor.valid) for name, sensor in case.sensors.items()}
    options = {
        name: {"registration": "auto", "motion": "translation", "max_shift": sensor.max_shift}
        for name, sensor in case.others.items()
    }
    nominal = {name: sensor.nominal for name, sensor in case.others.items()}
    stretches = {name: sensor.stretch for name, sensor in case.others.items() if sensor.stretch is not None}
    if by_size:
        nominal, stretches = nominal | stretches, {}
    placed = locate(case.reference, sources, nominal, case.extent, options, stretches)
    return {
        name: Found(compose(invert(sensor.nominal), placed[name].matrix), placed[name].accepted)
        for name, sensor in case.others.items()
    }


def missing(method: str) -> str | None:
    """The package that a method needs and that is not installed."""
    package = METHODS[method][0]
    return package if package is not None and importlib.util.find_spec(package) is None else None


METHODS: Mapping[str, tuple[str | None, Method]] = {
    "rasterloom": (None, rasterloom_method),
    "rasterloom-by-size": (None, partial(rasterloom_method, by_size=True)),
    "ecc": (None, band_by_band(values_ecc(cv2.MOTION_TRANSLATION))),
    "ecc-euclidean": (None, band_by_band(values_ecc(cv2.MOTION_EUCLIDEAN))),
    "phase": ("skimage", band_by_band(phase_correlation)),
    "simpleitk": ("SimpleITK", band_by_band(sampled_information)),
    "simpleitk-whole": ("SimpleITK", band_by_band(whole_information)),
    "arosics": ("arosics", band_by_band(arosics_global)),
}
