"""Pages: text of numbers, order of rows, escaped HTML."""

from __future__ import annotations

import doctest
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from rasterloom.registration.table import ShiftRow
from rasterloom.report import pages
from rasterloom.report.pages import ClassRow, EnsembleRow, Figure, MemberRow, Picture, SplitRow

VOID = {"meta", "img", "br", "link", "line", "polyline"}


class Tags(HTMLParser):
    """Checks that every element is closed in order, and collects ids and images."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.unnamed: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [value for value in (values.get("id"),) if value]
        if tag == "img" and not values.get("alt"):
            self.unnamed.append(str(values.get("src")))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def score(name: str = "tree", **changes: Any) -> ClassRow:
    values: dict[str, Any] = {
        "name": name, "id": 5, "colour": "#00ff00", "held_out": 0.5, "out_of_fold": None, "held_out_scenes": 2,
        "out_of_fold_scenes": 0, "threshold": 0.4, "having": 1, "labelled": 3, "notes": ["a <note>"],
    }  # fmt: skip
    return ClassRow(**{**values, **changes})


def shift(scene: str = "s", **changes: Any) -> ShiftRow:
    values: dict[str, Any] = {
        "scene": scene, "sensor": "m", "pixel": (4.0, 4.0), "shift": (3.0, 4.0), "confidence": 0.99, "accepted": True,
        "method": "ecc", "against": "rgb[2]", "consistency": 0.131, "error": (0.256, 0.5),
    }  # fmt: skip
    return ShiftRow(**{**values, **changes})


def index(**changes: Any) -> str:
    values: dict[str, Any] = {
        "scenes": 3, "training": 2, "held_out": 1, "mean_held_out": 0.5, "mean_out_of_fold": None,
        "classes": [score()], "scenery": [], "scenery_note": "None.", "shifts": [], "overlays": [],
        "overlay_legend": [], "checkpoints": [], "ensembles": [], "splits": [], "split_notes": [], "refit": False,
        "findings": [], "versions": [("rasterloom", "1")], "recipe": "abc",
    }  # fmt: skip
    return pages.index_html(**{**values, **changes})


FIGURE = Figure(
    "s<1>", "held-out", 0.25, True, [Picture("pictures/a.jpg", "Errors", 4, 3)], 1, 2, [("#000000", "black")]
)


def test_examples_in_docstrings_hold() -> None:
    found = doctest.testmod(pages)
    assert found.attempted >= 1
    assert found.failed == 0


@pytest.mark.parametrize("values", [[], [1.0], [float("nan"), 1.0]])
def test_curve_points_of_too_few_values_is_empty(values: list[float]) -> None:
    assert pages.curve_points(values) == ""


def test_curve_points_of_many_values_are_averaged() -> None:
    points = pages.curve_points([1.0] * 100 + [3.0] * 100, (10, 10), most=2)
    assert points == "0,6.7 10,0"


def test_index_html_escapes_and_closes() -> None:
    shifts = [shift(f"s{index:02d}", fallback="<b>") for index in range(45)]
    html = index(shifts=shifts, classes=[score(figures=[FIGURE])], scenery=[FIGURE], split_notes=[("g", "n<o>te")])
    tags = Tags(html)
    assert "a &lt;note&gt;" in html and "<b>" not in html and "n&lt;o&gt;te" in html
    assert "class-tree" in tags.ids and not tags.unnamed
    assert html.count('<th scope="row">s') == pages.SHIFT_ROWS
    assert "5 more" in html
    assert "../quality/registration.tsv" in html


def test_index_html_says_of_a_registration_what_was_tried() -> None:
    row = shift(accepted=False, method="group", against="4 scenes of <6010>", attempts="ecc: no <peak>", confidence=0.1)
    html = index(shifts=[row, shift("t")])
    Tags(html)
    assert "<summary>what was tried</summary>ecc: no &lt;peak&gt;</details>" in html
    assert "4 scenes of &lt;6010&gt;" in html and "0.13" in html
    assert html.count("<details") == 1 and html.count(">low</span>") == 1


def test_index_html_sums_up_the_registrations_of_each_sensor() -> None:
    fell_back = [shift("a", accepted=False, method="identity"), shift("b", accepted=False, method="group")]
    swir = shift("a", sensor="a", shift=(0.0, 0.0), method="none")
    html = index(shifts=[*fell_back, shift("c", confidence=0.4, shift=(6.0, 8.0)), swir])
    rows = re.findall(r'<th scope="row">(\w)</th>(.*?)</tr>', html, re.DOTALL)
    cells = {sensor: re.findall(r">([^<\n]+)</td>", row) for sensor, row in rows[:2]}
    assert cells["m"] == ["3", "5.00", "10.00", "1", "1", "1"]
    assert cells["a"] == ["1", "0.00", "0.00", "0", "0", "0"]


def test_index_html_shows_overlays_with_shift_confidence_method_and_reason() -> None:
    pictures = [Picture(f"pictures/{name}.jpg", name, 4, 4) for name in ("before", "after")]
    overlays = [
        (shift("a", accepted=False, method="identity", fallback="no <peak>", confidence=0.1), pictures),
        (shift("b", confidence=0.4), pictures),
        (shift("c"), pictures),
    ]
    html = index(shifts=[shift()], overlays=overlays, overlay_legend=[("#ff0000", "reference")])
    tags = Tags(html)
    assert [name for name in tags.ids if name.startswith("overlay-")] == ["overlay-a-m", "overlay-b-m", "overlay-c-m"]
    assert html.count("fell back</span>") == 1 and html.count("low confidence</span>") == 1
    assert "no &lt;peak&gt;" in html and "(1.25 pixels of m)" in html and "background:#ff0000" in html


def test_index_html_shows_every_member_beside_its_ensemble() -> None:
    rows = [
        EnsembleRow("car", "weighted", [("car-<a>", 0.75, 0.5), ("car-b", 0.25, 0.25)], 0.625, None),
        EnsembleRow("bus", "best", [("bus-a", 0.5, None), ("bus-b", 0.5, None)], None, "no <truth>"),
    ]
    html = index(ensembles=rows)
    Tags(html)
    assert html.count('rowspan="3"') == 4 and "car-&lt;a&gt;" in html
    shown = re.findall(r">(0\.\d\d|0\.\d\d\d)(?=<)", html[html.index('id="members"') :])
    assert shown == ["0.75", "0.500", "0.25", "0.250", "0.625", "0.50", "0.50"]
    assert "all alike: no &lt;truth&gt;" in html and "Checkpoints" in html
    assert "ensemble</strong>" not in index()


def test_index_html_shows_both_sides_of_every_fold() -> None:
    rows = [
        SplitRow("cars", "fold-0", ["a", "b", "c"], ["<d>"], "bus", 0.256, 2, 1),
        SplitRow("cars", "fold-0", ["a", "b", "c"], ["<d>"], "car", None, 0, 0),
        SplitRow("cars", "fold-1", ["a"], [], "bus", 0.0, 5, 0),
    ]
    html = index(splits=rows)
    Tags(html)
    cells = [re.sub(r"<[^>]+>", "|", row) for row in html.split("\n<tr>") if "fold-" in row]
    shown = [[cell for cell in re.split(r"\|+\s*", row) if cell.strip()] for row in cells]
    assert [row[:9] for row in shown] == [
        ["cars", "fold-0", "3", "1", "bus", "74 %", "26 %", "2", "1"],
        ["cars", "fold-0", "3", "1", "car", "–", "–", "0", "0"],
        ["cars", "fold-1", "1", "0", "bus", "100 %", "0 %", "5", "0"],
    ]
    assert 'title="&lt;d&gt;"' in html
    many = index(splits=rows * pages.SPLIT_ROWS)
    assert many.count("fold-") == pages.SPLIT_ROWS and f"{2 * pages.SPLIT_ROWS} more rows" in many


@pytest.mark.parametrize("refit", [False, True])
def test_index_html_says_what_predicts_new_scenes(refit: bool) -> None:
    html = index(refit=refit)
    assert ("which trained on all labelled scenes" in html) == refit
    assert ("the mean of the folds' models" in html) != refit


def test_index_html_of_nothing() -> None:
    html = index(classes=[], scenes=0, mean_held_out=None)
    Tags(html)
    assert "0 scenes predicted, 0 classes" in html


def test_index_html_stays_light_with_many_checkpoints_and_scenes() -> None:
    loss = [float(index % 7) for index in range(200)]
    rows = [MemberRow(f"member{i}", "fold-0", ["tree"], "k" * 32, loss=loss) for i in range(150)]
    html = index(checkpoints=rows, shifts=[shift()] * 5000, classes=[score()] * 10)
    assert html.count("<polyline") == 150
    assert len(html.encode()) < 200_000
    assert "<polyline" not in index(checkpoints=[*rows, rows[0]])


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (MemberRow("a", "f", [], "k", steps=500, loss=[0.75, 0.25]), ["500", "0.250"]),
        (MemberRow("a", "f", [], "k", samples=77), ["77 pixels"]),
        (MemberRow("a", "f", [], "k"), ["–"]),
    ],
)
def test_index_html_member_shows_what_was_recorded(row: MemberRow, cells: list[str]) -> None:
    html = index(checkpoints=[row])
    assert all(f'<td class="n">{cell}</td>' in html for cell in cells)


def test_class_html_says_where_a_score_comes_from() -> None:
    figures = [FIGURE, Figure("t", "in-sample", 0.987, False, [])]
    row = score(figures=figures, scored=3)
    html = pages.class_html(row, ["tree", "pond"], [("#123456", "outline")])
    Tags(html)
    assert "Jaccard 0.250" in html and "Jaccard about 0.99" in html
    assert "1 true polygon, 2 predicted" in html
    assert html.count("almost all green") == 1
    assert "background:#123456" in html
    assert 'href="class-pond.html"' in html and "1 of 3 scored scenes" in html
    assert "no in-sample scene" not in html and "no in-sample scene" in pages.class_html(score(labelled=2), [], [])


def test_class_html_without_score_shows_a_dash() -> None:
    row = score(held_out=None, threshold=None, figures=[Figure("t", "held-out", None, True, [])])
    html = pages.class_html(row, [], [])
    assert "Jaccard –" in html and "None" not in html


def test_figure_cover_is_the_closer_look() -> None:
    pictures = [Picture(f"{index}.jpg", "", 1, 1) for index in range(4)]
    assert Figure("s", "held-out", 0.5, True, pictures[:2]).cover.file == "0.jpg"
    assert Figure("s", "held-out", 0.5, True, pictures).cover.file == "2.jpg"
