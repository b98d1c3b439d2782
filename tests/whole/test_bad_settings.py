"""What is said of mistakes in a configuration: `bad_settings`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_inputs import BadInput
from bad_settings import CASES


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_mistake_is_told(bad: BadInput, tmp_path: Path) -> None:
    bad.check(tmp_path)
