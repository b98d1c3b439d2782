"""What is said of bad labels, `bad_labels`: one line with the remedy where work stops, findings where it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_inputs import BadInput
from bad_labels import CASES

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:'crs' was not provided"),
]


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_bad_label_is_told(bad: BadInput, tmp_path: Path) -> None:
    bad.check(tmp_path)
