"""Configuration files: read with care, merged as Snakemake merges them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from common import ROOT, says
from configuration_reference import reference
from configurations import without_nulls
from rasterloom.config import load_config, read_config_files, read_configuration, resolve
from rasterloom.config.load import recorded
from rasterloom.config.model import DefaultsConfig
from rasterloom.config.overlays import merge
from rasterloom.errors import ConfigError, InputError, MissingInputError

Table = dict[str, Any]
PRESETS = sorted(path.name for path in (ROOT / "presets").glob("*.yaml"))


def refused(folder: Path, content: str | bytes, name: str = "a.yaml") -> str:
    """What the user is told about a file."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        read_config_files([path])
    told = str(caught.value)
    assert str(path) in told
    assert "\n" not in told
    return told


# Reading ---------------------------------------------------------------------------------------------------


def test_read_config_files_in_order(tmp_path: Path) -> None:
    for name, text in {"a": "x: {p: 1, q: 2}\ny: [1, 2]\n", "b": "x: {p: 3}\ny: [4]\n", "c": "# nothing\n"}.items():
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in "abc"]
    assert read_config_files(paths) == {"x": {"p": 3, "q": 2}, "y": [4]}
    assert read_config_files([]) == {}


def test_read_config_files_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"none\.yaml is not there"):
        read_config_files([tmp_path / "none.yaml"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [1\n", "not valid YAML ... line 2, column 1"),
        ("- 1\n", "table of keys ... list"),
        ("a: 1\n\tb: 2\n", "line 2, column 1 ... a tab ... blanks"),
        ("a: 1\nb: 2\na: 3\n", "line 3 ... 'a' ... line 1"),
        ("a: {b: {c: 1,\n  d: 2, c: 3}}\n", "line 2 ... 'c' ... line 1"),
        ("a: [{b: 1, b: 2}]\n", "line 1: ... 'b' ... in line 1"),
        ('a: 1\n"a": 2\n', "line 2 ... 'a' ... line 1"),
        ('{"a": {"b": 1, "b": 2}}', "'b' ... twice"),
        ("--- {a: 1}\n--- {b: 1}\n", "another document"),
        ("a: &x [1, *x]\n", "line 1 ... refers to itself"),
        ("a: &x {b: *x}\n", "line 1 ... refers to itself"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: 2026-13-01\n", "invalid value ... month must be"),
        ("a: !!int x\n", "invalid value"),
        ("a: !!bool x\n", "invalid value"),
        ("a: !!python/object:os.system x\n", "could not determine a constructor"),
        (b"a: \xff\n", "UTF-8 ... byte 3"),
        (b"a: \x00\n", "unacceptable character #x0000"),
    ],
)
def test_read_config_files_refuses(tmp_path: Path, content: str | bytes, words: str) -> None:
    assert says(refused(tmp_path, content), words)


def test_read_config_files_lets_anchors_and_merge_keys_be(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("p: {q: &b {<<: &a {x: 1, y: 1}, x: 2}}\nc: {<<: *b, y: 3}\nd: [*a, *a]\n")
    found = read_config_files([tmp_path / "a.yaml"])
    assert found["p"]["q"] == {"x": 2, "y": 1}
    assert found["c"] == {"x": 2, "y": 3}
    assert found["d"] == [{"x": 1, "y": 1}] * 2


def test_read_config_files_takes_numbers_of_json_as_json_means_them(tmp_path: Path) -> None:
    """YAML takes 1e-05, as Python writes it, for a text."""
    (tmp_path / "a.json").write_text(json.dumps({"a": 0.00001, "b": "é"}, indent="\t"))
    assert read_config_files([tmp_path / "a.json"]) == {"a": 0.00001, "b": "é"}


def test_read_config_files_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("\ufeffa: 1\n".encode())
    assert read_config_files([tmp_path / "a.yaml"]) == {"a": 1}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "a.yaml"


def read_or_refuse(path: Path, content: bytes) -> None:
    """A file gives a table or one line; a table gives a configuration or a line a mistake."""
    path.write_bytes(content)
    try:
        table = read_config_files([path])
    except ConfigError as error:
        assert str(path) in str(error)
        assert len(str(error).splitlines()) == 1
        return
    with pytest.raises(ConfigError):
        load_config(table)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_table_or_one_line(scratch: Path, content: bytes) -> None:
    read_or_refuse(scratch, content)


WORDS = "a b results dataset << &x *x !!int !!set !!omap !!timestamp 1 0x 1_2 12:30 2026-02-30 yes null .nan -.inf 1e-3"
pieces = st.sampled_from([*"[]{},:-?&*!|>%@`'\"#~\n\t \x85\ufeff", "\n  ", "---\n", *(f"{w} " for w in WORDS.split())])


@given(st.lists(pieces, max_size=25).map("".join))
@example("!!set {results, dataset}")
@example("results: !!omap [a: 1]")
@example("? {a: 1}\n: 2")
@example("results: 0x" + "f" * 6000)
@example("0x" + "f" * 6000 + ": 1")
@example('{"results": "\\ud800", "\\ud800": 1}')
def test_any_yaml_gives_a_table_or_one_line(scratch: Path, text: str) -> None:
    read_or_refuse(scratch, text.encode("utf-8", "surrogatepass"))


# Overlays --------------------------------------------------------------------------------------------------


def test_null_in_an_overlay_removes_a_key(settings_table: Table) -> None:
    overlay = {"classes": {"trees": None}, "defaults": {"training": {"steps": None}}}
    config = load_config(merge(settings_table, overlay))
    assert "trees" not in config.classes
    assert config.defaults.training == DefaultsConfig().training
    with pytest.raises(ConfigError, match="no scale is called `s1024`"):
        load_config(merge(settings_table, {"scales": {"s1024": None}}))


@pytest.mark.parametrize(
    ("overlays", "together"),
    [
        ([{"a": {"x": 2}}], {"a": {"x": 2, "y": 1}, "b": [1, 2]}),
        ([{"b": [3]}], {"a": {"x": 1, "y": 1}, "b": [3]}),
        ([{"b": {"c": 1}}], {"a": {"x": 1, "y": 1}, "b": {"c": 1}}),
        ([{"a": None}], {"b": [1, 2]}),
        ([{"a": {"x": None}}], {"a": {"y": 1}, "b": [1, 2]}),
        ([{"a": {"x": None, "y": None}}], {"a": {}, "b": [1, 2]}),
        ([{"a": None}, {"a": {"z": 1}}], {"a": {"z": 1}, "b": [1, 2]}),
        ([{"a": {"x": None}}, {"a": {"x": 5}}], {"a": {"x": 5, "y": 1}, "b": [1, 2]}),
        ([{"a": {}}], {"a": {"x": 1, "y": 1}, "b": [1, 2]}),
        ([{"a": None}, {"a": {}}], {"b": [1, 2]}),
        ([{"a": None}, {"a": {"x": None}}], {"a": {}, "b": [1, 2]}),
        ([{"c": None}], {"a": {"x": 1, "y": 1}, "b": [1, 2]}),
        ([{"c": {"d": None}}], {"a": {"x": 1, "y": 1}, "b": [1, 2], "c": {}}),
        ([{"b": [None]}], {"a": {"x": 1, "y": 1}, "b": [None]}),
    ],
)
def test_overlays_merge_as_the_reference_says(overlays: list[Table], together: Table) -> None:
    merged: Table = {"a": {"x": 1, "y": 1}, "b": [1, 2]}
    for overlay in overlays:
        merged = merge(merged, overlay)
    assert without_nulls(merged) == together


def test_overlays_in_the_reference_merge_as_it_says() -> None:
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", reference(), re.MULTILINE)
    examples = [[yaml.safe_load(cell) for cell in row] for row in rows if all(": " in cell for cell in row)]
    assert len(examples) == 3
    for base, overlay, together in examples:
        assert without_nulls(merge(base, overlay)) == together


def test_overlay_keeps_the_order_of_sensors_and_puts_new_ones_last(settings_table: Table) -> None:
    overlay = {"sensors": {"nir": {}, "a": None, "m": {"bands": 8}}, "channels": {"all20": ["nir"]}}
    assert list(without_nulls(merge(settings_table, overlay))["sensors"]) == ["rgb", "p", "m", "nir"]


leaves = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3) | st.none(), max_size=2)
trees = st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)
nested = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(nested, nested)
def test_merge_is_that_of_snakemake(base: Table, overlay: Table) -> None:
    from snakemake.utils import update_config

    theirs = copy.deepcopy(base)
    update_config(theirs, copy.deepcopy(overlay))
    assert merge(base, overlay) == theirs


@given(nested, nested)
def test_merge_changes_neither_table(base: Table, overlay: Table) -> None:
    before = copy.deepcopy((base, overlay))
    merge(base, overlay)
    assert (base, overlay) == before


@given(nested, nested)
def test_merge_lets_the_overlay_win_and_is_idempotent(base: Table, overlay: Table) -> None:
    merged = merge(base, overlay)
    assert merge(merged, overlay) == merged
    assert merge(base, {}) == base
    for path, value in _leaves(overlay):
        place: Any = merged
        for key in path:
            place = place[key]
        assert place == value


def _leaves(table: Table, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


@given(nested)
def test_without_nulls_keeps_all_but_keys_that_are_null(table: Table) -> None:
    before = copy.deepcopy(table)
    found = without_nulls(table)
    assert without_nulls(found) == found
    assert list(_leaves(found)) == [(path, value) for path, value in _leaves(table) if value is not None]
    assert table == before


# The recipe that is written --------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_recorded_is_the_same_recipe_alone_and_over_config_yaml(preset: str, tmp_path: Path) -> None:
    merged = read_config_files([ROOT / "config.yaml", ROOT / "presets" / preset])
    config = load_config(merged)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(recorded(config, merged)), encoding="utf-8")
    for files in ([path], [ROOT / "config.yaml", path], [ROOT / "config.yaml", ROOT / "presets" / "demo.yaml", path]):
        found = load_config(read_config_files(files))
        if len(files) < 3 or preset == "demo.yaml":
            assert found.model_dump() == config.model_dump()
            assert resolve(found) == resolve(config)
            assert list(found.sensors) == list(config.sensors)


def test_recorded_has_every_default_and_what_is_removed(settings_table: Table) -> None:
    overlay = yaml.safe_load("""
        sensors: {p: null, swir: {}, nir: {registration: {shift: [1, 2]}}}
        channels: {all20: [swir, nir], rgbp: [rgb]}
        dataset: {layout: sheet, table: t.tsv, root: null, predict: null}
        defaults: {training: {steps: null, learning_rate: 1.0e-5}}
        scales: {s1024: {size: null, factor: 0.5}}
        classes: {trees: {polygons: {min_area: null}, training: {seed: 3}}, crops: null}
    """)
    merged = merge(settings_table, overlay)
    config = load_config(merged)
    full = recorded(config, merged)
    assert full["defaults"]["training"]["steps"] == 40_000
    assert full["sensors"]["swir"]["max_shift"] == 60.0
    assert [name for name, sensor in full["sensors"].items() if sensor] == ["rgb", "m", "a", "swir", "nir"]
    assert full["sensors"]["p"] is full["classes"]["crops"] is full["classes"]["trees"]["polygons"]["min_area"] is None
    assert full["classes"]["trees"]["training"] == {"seed": 3}
    assert full["scales"]["s1024"] == {"factor": 0.5, "size": None}
    assert full["models"]["linear"] == {"kind": "linear", "samples": 200_000, "indices": False, "neighbourhood": []}
    again = load_config(json.loads(json.dumps(full)))
    assert (again.model_dump(), resolve(again)) == (config.model_dump(), resolve(config))
    over = load_config(merge(settings_table, json.loads(json.dumps(full))))
    assert (over.model_dump(), resolve(over)) == (config.model_dump(), resolve(config))
    assert list(over.sensors) == list(config.sensors)


def test_read_configuration_lays_files_over_config_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"run this beside config\.yaml, or give one with --configfile"):
        read_configuration([])
    Path("mine.yaml").write_text("x: {q: 2}", encoding="utf-8")
    assert read_configuration([Path("mine.yaml")]) == {"x": {"q": 2}}
    Path("config.yaml").write_text("x: {p: 1, q: 1}", encoding="utf-8")
    assert read_configuration([Path("mine.yaml")]) == {"x": {"p": 1, "q": 2}}
    assert read_configuration([]) == {"x": {"p": 1, "q": 1}}
