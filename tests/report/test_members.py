"""What the report says of checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rasterloom import __version__
from rasterloom.errors import StoreError
from rasterloom.learning.checkpoint import save_checkpoint
from rasterloom.report.members import learning_history, member_classes, versions


def test_learning_history_is_empty_where_none_was_kept_and_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"weights": np.zeros(3, np.float32)}, {})
    assert learning_history(path) == {}
    history = np.array([0.5, 0.25], np.float32)
    save_checkpoint(path, {"weights": np.zeros(3, np.float32), "history.loss": history}, {})
    assert learning_history(path) == {"loss": [0.5, 0.25]}
    path.write_bytes(b"no checkpoint")
    with pytest.raises(StoreError, match=r"a\.safetensors is not a checkpoint .*verify --mend"):
        learning_history(path)


def test_member_classes_keep_the_order_of_the_classes() -> None:
    spec = {"members": {"car": ["both", "car"], "bus": ["both"]}}
    assert member_classes(spec) == {"both": ["car", "bus"], "car": ["car"]}


def test_versions_name_the_library_and_python_first() -> None:
    found = versions()
    assert found[0] == ("rasterloom", __version__)
    assert found[1][0] == "Python" and "numpy" in dict(found)
