"""What the report says of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rasterloom.errors import MissingInputError, StoreError
from rasterloom.polygons.scores import COLUMNS, HELD_OUT
from rasterloom.report.classes import read_scores
from rasterloom.store.tables import tsv_text


def test_read_scores_ranks_scenes_by_true_then_predicted_area(tmp_path: Path) -> None:
    areas = {"none": (0, 0, 0), "extra": (0, 9, 0), "small": (1, 0, 1), "large": (5, 0, 5), "wide": (1, 4, 1)}
    rows = [(HELD_OUT, "house", scene, *values, 0.5, 99.5) for scene, values in areas.items()]
    rows += [(HELD_OUT, "house", "all", 7, 13, 7, "", 99.5), (HELD_OUT, "mean", "all", "", "", "", 0.25, "")]
    between = [""] * (len(COLUMNS) - len(rows[0]))
    (tmp_path / "score.tsv").write_text(tsv_text(COLUMNS, [(*row[:7], *between, row[7]) for row in rows]))
    scores = read_scores(tmp_path / "score.tsv")
    assert scores.ranked("house", HELD_OUT) == ["large", "wide", "small", "extra"]
    assert scores.ranked("pond", HELD_OUT) == []
    assert scores.pooled == {("house", HELD_OUT): None, ("mean", HELD_OUT): 0.25}
    assert scores.scenes["house", HELD_OUT]["wide"] == (0.5, 2.0, 5.0)


def test_read_scores_of_another_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "score.tsv"
    with pytest.raises(MissingInputError, match="stage `score`"):
        read_scores(path)
    path.write_text("a\tb\n1\t2\n")
    with pytest.raises(StoreError, match=r"score\.tsv is not a table of scores"):
        read_scores(path)
