"""What is said of mistakes in a configuration: each case of `bad_settings` laid over config.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_inputs import BadInput
from bad_settings import CASES
from conftest import ROOT
from rasterloom.config import load_config, read_config_files, resolve
from rasterloom.errors import RasterloomError


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_mistake_is_told_word_for_word(tmp_path: Path, bad: BadInput) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(f"{bad.given}\n", encoding="utf-8")
    with pytest.raises(RasterloomError) as caught:
        resolve(load_config(read_config_files([ROOT / "config.yaml", overlay])))
    assert str(caught.value).replace(str(tmp_path), "{root}") == bad.says
