"""What is said of bad sheets and tables, and of the contest's files: `bad_tables`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_inputs import BadInput
from bad_tables import CASES


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_bad_table_is_told(bad: BadInput, tmp_path: Path) -> None:
    bad.check(tmp_path)
