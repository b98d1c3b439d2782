"""Pictures of what was learned by heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rasterloom.report import sanity
from rasterloom.report.pictures import EXTRA, HIT, MISSED, Frame
from rasterloom.report.sanity import one_above_the_other, scene_and_errors


@pytest.mark.parametrize("largest", [255, 100])
def test_errors_stand_beside_the_scene_in_their_colours(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def grey(path: object, sensor: str, frame: Frame, size: tuple[int, int]) -> object:
        ramp = np.linspace(0, 1, frame.rows * frame.columns, dtype=np.float32).reshape(1, frame.rows, frame.columns)
        return ramp, np.ones((frame.rows, frame.columns), bool)

    monkeypatch.setattr(sanity, "read_window", grey)
    coverage, probability = np.zeros((40, 80), np.uint8), np.zeros((40, 80), np.uint8)
    coverage[:20, :40] = largest
    probability[10:30, :40] = 200
    picture = scene_and_errors("rgb", Path("stack"), probability, coverage, 127.5)
    assert picture.shape == (320, 1280, 3)
    errors = picture[:, 640:].astype(int)
    for row, colour in ((40, MISSED), (120, HIT), (200, EXTRA)):
        others = [c for c in (MISSED, HIT, EXTRA) if c != colour]
        near = [np.abs(errors[row, 100] - c).sum() for c in (colour, *others)]
        assert near[0] == min(near), (row, errors[row, 100])
        assert np.ptp(picture[row, 100].astype(int)) == 0, "the scene itself is shown as it is"
    assert np.ptp(errors[280, 600]) < 10, "what is neither predicted nor true has no colour"


def test_pictures_of_other_widths_stand_one_above_the_other() -> None:
    wide, narrow = np.zeros((4, 6, 3), np.uint8), np.full((5, 3, 3), 7, np.uint8)
    column = one_above_the_other([wide, narrow])
    assert column.shape == (4 + 8 + 5 + 8, 6, 3)
    assert (column[12:17, :3] == 7).all()
    assert (column[12:17, 3:] == 255).all()
