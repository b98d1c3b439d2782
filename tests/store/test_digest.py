"""Digests: values alone decide, in whatever blocks, layout or order of keys they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rasterloom.store.digest import BLOCK_ROWS, ArrayDigest, array_digest, canonical, digest

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
tables = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
dtypes = st.sampled_from(["uint8", "uint16", "float32", "float64", "bool"])


def _shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shuffled(value[key]) for key in reversed(value)}
    return [_shuffled(entry) for entry in value] if isinstance(value, list) else value


def _array(shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)


def _in_blocks(array: NDArray[Any], name: str = "a") -> str:
    part = ArrayDigest(name, array.dtype, array.shape)
    for start in range(0, array.shape[-2], BLOCK_ROWS):
        part.update(array[..., start : start + BLOCK_ROWS, :])
    return part.hexdigest()


@given(tables)
def test_canonical_ignores_the_order_of_keys(value: Any) -> None:
    assert canonical(_shuffled(value)) == canonical(value)


@given(tables, tables)
def test_digest_is_equal_exactly_where_canonical_text_is(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (canonical(one) == canonical(other))


def test_canonical_is_compact_sorted_and_keeps_letters() -> None:
    assert canonical({"b": (1, 2.5), "a": {"ü": None, "t": True}}) == '{"a":{"t":true,"ü":null},"b":[1,2.5]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [{"a": float("-inf")}]])
def test_canonical_refuses_what_is_no_number(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical(value)


@pytest.mark.parametrize("value", [Path("a"), np.int64(1), np.float32(1), {1, 2}, b"x", np.zeros(2)])
def test_canonical_refuses_what_json_does_not_hold(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical({"key": value})


def test_digest_of_known_values() -> None:
    """SHA-256 by its definition, so that a change of the scheme is seen."""
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.integers(1, 2 * BLOCK_ROWS + 3),
    st.integers(1, 4),
    dtypes,
    st.integers(0, 99),
)
def test_array_digest_of_blocks_is_that_of_the_whole(
    leading: list[int], rows: int, columns: int, dtype: str, seed: int
) -> None:
    array = _array((*leading, rows, columns), dtype, seed)
    assert _in_blocks(array) == array_digest({"a": array})


@pytest.mark.parametrize("rows", [BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS])
def test_array_digest_by_blocks_equals_whole_at_block_edges(rows: int) -> None:
    array = _array((2, rows, 3), "uint16", rows)
    assert _in_blocks(array) == array_digest({"a": array})


@given(dtypes, st.integers(0, 99))
def test_array_digest_ignores_memory_order(dtype: str, seed: int) -> None:
    array = _array((3, 7, 5), dtype, seed)
    expected = array_digest({"a": array})
    assert array_digest({"a": np.asfortranarray(array)}) == expected
    assert array_digest({"a": np.ascontiguousarray(array[:, ::-1, ::-1])[:, ::-1, ::-1]}) == expected
    assert array_digest({"a": np.repeat(array, 2, axis=2)[:, :, ::2]}) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.zeros((2, 6), np.uint8)},
        {"a": np.zeros((2, 6), np.int8)},
        {"a": np.zeros((2, 6), np.uint16)},
        {"a": np.zeros((6, 2), np.uint8)},
        {"a": np.zeros((1, 2, 6), np.uint8)},
        {"a": np.zeros(12, np.uint8)},
        {"a": np.eye(2, 6, dtype=np.uint8)},
        {"a": np.zeros((2, 6), np.uint8), "b": np.zeros((0, 6), np.uint8)},
        {},
    ],
    ids=["name", "sign", "width", "shape", "dimensions", "flat", "value", "further array", "none"],
)
def test_array_digest_sees(other: dict[str, NDArray[Any]]) -> None:
    assert array_digest(other) != array_digest({"a": np.zeros((2, 6), np.uint8)})


def test_array_digest_ignores_the_order_of_names_but_not_who_is_who() -> None:
    one, two = np.zeros((2, 3)), np.ones((2, 3))
    assert array_digest({"a": one, "b": two}) == array_digest({"b": two, "a": one})
    assert array_digest({"a": one, "b": two}) != array_digest({"a": two, "b": one})


@pytest.mark.parametrize("shape", [(), (0,), (4,), (0, 3), (3, 0), (2, 0, 3)])
def test_array_digest_of_small_and_empty_arrays_tells_shapes_apart(shape: tuple[int, ...]) -> None:
    found = array_digest({"a": np.zeros(shape, np.float32)})
    assert len(found) == 64
    assert found != array_digest({"a": np.zeros((*shape, 1), np.float32)})


def test_update_refuses_blocks_of_another_kind() -> None:
    part = ArrayDigest("a", np.uint8, (2, BLOCK_ROWS + 1, 4))
    with pytest.raises(ValueError, match="dtype uint16"):
        part.update(np.zeros((2, BLOCK_ROWS, 4), np.uint16))
    for shape in ((2, BLOCK_ROWS - 1, 4), (2, BLOCK_ROWS + 1, 4), (1, BLOCK_ROWS, 4), (2, BLOCK_ROWS, 5)):
        with pytest.raises(ValueError, match=f"{BLOCK_ROWS} rows are due"):
            part.update(np.zeros(shape, np.uint8))
    part.update(np.zeros((2, BLOCK_ROWS, 4), np.uint8))
    with pytest.raises(ValueError, match="1 rows have not been digested"):
        part.hexdigest()
    part.update(np.zeros((2, 1, 4), np.uint8))
    with pytest.raises(ValueError, match="0 rows are due"):
        part.update(np.zeros((2, 1, 4), np.uint8))
    assert part.hexdigest() == array_digest({"a": np.zeros((2, BLOCK_ROWS + 1, 4), np.uint8)})
