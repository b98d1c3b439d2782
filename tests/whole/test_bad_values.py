"""What is said of images with odd numbers: `bad_values`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_inputs import BadInput
from bad_values import CASES


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_odd_image_is_told(bad: BadInput, tmp_path: Path) -> None:
    bad.check(tmp_path)
