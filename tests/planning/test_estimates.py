"""Arithmetic of a plan: against torch where torch can count, by hand elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from rasterloom.learning.cost import checkpoint_bytes, forward_passes
from rasterloom.planning.estimates import sample, stack_bytes


def test_forward_passes_equals_the_windows_that_are_predicted() -> None:
    import numpy as np

    from rasterloom.learning.windows import window_batches

    def read(y0: int, y1: int) -> Any:
        return np.zeros((1, y1 - y0, 50), np.uint16), np.full((1, y1 - y0, 50), 255, np.uint8)

    batches = list(window_batches(read, lambda data, _: data.astype(np.float32), (37, 50), 16, 5, 3))
    windows = sum(len(batch.lefts) for batch in batches)
    prediction = {"window": 16, "stride": 5, "symmetries": False}
    assert forward_passes(prediction, 37, 50) == windows
    assert forward_passes({**prediction, "symmetries": True}, 37, 50) == 8 * windows


def test_stack_bytes_by_dtype_and_magnification() -> None:
    assert stack_bytes("uint8", 1.0) < stack_bytes("uint16", 1.0) < stack_bytes("float64", 1.0)
    assert stack_bytes("uint16", 10.0) < stack_bytes("uint16", 1.0) < stack_bytes("uint16", 0.3) < 2.0


def written_bytes(path: Path, image: NDArray[Any], factor: float) -> float:
    """Bytes of a value of a stack of an image, magnified."""
    import numpy as np

    from rasterloom.raster.grid import Grid
    from rasterloom.raster.stacking import StackSensor, write_stack

    class Reader:
        shape = image.shape

        def read(self, start: int, stop: int) -> Any:
            return image[:, start:stop], None

    bands, height, width = image.shape
    grid = Grid(int(height * factor), int(width * factor), [[1 / factor, 0.0, 0.0], [0.0, 1 / factor, 0.0]])
    sensor = StackSensor("x", bands, np.uint16, Reader(), [[1.0, 0.0, 0.3], [0.0, 1.0, 0.3]])  # type: ignore[arg-type]
    write_stack(path, [sensor], grid)
    return path.stat().st_size / (bands * grid.height * grid.width)


@pytest.mark.parametrize(("sensor", "factor"), [("rgb", 0.5), ("rgb", 1.0), ("m", 2.0), ("m", 4.0), ("a", 15.0)])
def test_stack_bytes_near_those_of_generated_scenes(tmp_path: Path, sensor: str, factor: float) -> None:
    """The contest's sensors are 0.9 to 1.5 bytes a value where the constant is 1.2."""
    from rasterloom.tools.scenes.sensing import generate_scene

    image = generate_scene("6010_1_1", 3, (512, 512)).sensors[sensor]
    measured = written_bytes(tmp_path / "x.zarr.zip", image, factor)
    assert stack_bytes("uint16", factor) == pytest.approx(measured, rel=0.4)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_stack_bytes_near_those_of_real_imagery_of_8_bits(tmp_path: Path, test_data: Path, factor: float) -> None:
    from rasterloom.raster.files import open_raster

    with open_raster(test_data / "spacenet-rio/images/rio_50.tif") as raster:
        image = raster.read(0, raster.info.height).astype("uint16")
    assert stack_bytes("uint8", factor) == pytest.approx(written_bytes(tmp_path / "x.zarr.zip", image, factor), rel=0.2)


def test_checkpoint_bytes_near_the_file_of_a_network(tmp_path: Path) -> None:
    import numpy as np

    from rasterloom.learning.checkpoint import save_checkpoint
    from rasterloom.learning.networks import build

    model = {"kind": "unet", "width": 16, "depth": 3, "convs_per_block": 2}
    network = build(model, 4)
    arrays = {f"network.{name}": np.asarray(value.numpy()) for name, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "x.safetensors", arrays, {})
    assert checkpoint_bytes(model, 4) == pytest.approx((tmp_path / "x.safetensors").stat().st_size, rel=0.1)


def test_checkpoint_bytes_of_a_forest_grow_with_its_trees() -> None:
    small, large = ({"kind": "forest", "trees": n, "max_depth": 12, "samples": 200_000} for n in (10, 40))
    assert 3.5 < checkpoint_bytes(large, 20) / checkpoint_bytes(small, 20) < 4
    assert checkpoint_bytes({"kind": "linear", "samples": 100}, 20) < 1000


def test_sample_is_spread_evenly() -> None:
    assert sample([1, 2], 3) == [1, 2]
    assert sample(list(range(10)), 4) == [0, 2, 5, 7]
