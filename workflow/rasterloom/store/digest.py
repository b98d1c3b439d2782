"""Content digests and canonical JSON: what decides whether something is stale.

A digest is SHA-256 over *values*: names, shapes, dtypes and decoded numbers in a fixed traversal. It does not
depend on chunking, codec, file name or time, so two files that hold the same values have the same digest.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 256
"""Rows of a block in the traversal of an array: a constant of the digest, not a setting."""


def canonical(value: Any) -> str:
    """Canonical JSON of a value: sorted keys, no blanks, no NaN.

    Parameters
    ----------
    value : dict, list, str, int, float, bool or None, nested

    Returns
    -------
    str
        The same text for equal values, whatever the order of keys.

    Raises
    ------
    ValueError
        For NaN and infinities.
    TypeError
        For anything that JSON does not hold (a Path, a numpy scalar, a pydantic object).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 of bytes, or of the canonical JSON of any other value, as 64 hexadecimal digits."""
    data = value if isinstance(value, bytes) else canonical(value).encode()
    return hashlib.sha256(data).hexdigest()


class ArrayDigest:
    """Digest of one array that arrives in blocks of rows.

    Parameters
    ----------
    name : str
    dtype : numpy dtype
    shape : tuple of int
        Shape of the whole array, (..., H, W), or of any other array with fewer than two dimensions.

    Notes
    -----
    Arrays of two or more dimensions are traversed in blocks of `BLOCK_ROWS` rows of the second last axis, all
    leading axes within a block; `update` must be called with exactly those blocks (the last one may be shorter).
    The result equals ``array_digest({name: whole})``, on machines of either byte order.
    """

    def __init__(self, name: str, dtype: Any, shape: tuple[int, ...]) -> None:
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._shape = tuple(int(n) for n in shape)
        self._rows = 0
        self._hash = hashlib.sha256()
        self._hash.update(canonical([name, self._dtype.str, list(self._shape)]).encode())

    def update(self, block: NDArray[Any]) -> None:
        """Add the next block of rows, (..., rows, W), of the dtype and leading shape that were announced."""
        if block.dtype.newbyteorder("<") != self._dtype:
            raise ValueError(f"a block of dtype {block.dtype} cannot extend the digest of a {self._dtype} array")
        if len(self._shape) >= 2:
            expected = min(BLOCK_ROWS, self._shape[-2] - self._rows)
            if block.shape != (*self._shape[:-2], expected, self._shape[-1]):
                raise ValueError(
                    f"a block of shape {block.shape} cannot extend the digest of an array of shape "
                    f"{self._shape} at row {self._rows}: {expected} rows are due"
                )
            self._rows += expected
        self._hash.update(np.ascontiguousarray(block, dtype=self._dtype).data)

    def hexdigest(self) -> str:
        """The digest, 64 hexadecimal digits; ValueError if rows are missing."""
        if len(self._shape) >= 2 and self._rows != self._shape[-2]:
            raise ValueError(f"{self._shape[-2] - self._rows} rows have not been digested")
        return self._hash.hexdigest()


def array_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Digest of named arrays, in the order of their names.

    Parameters
    ----------
    arrays : mapping of name to array, any shape and (plain) dtype

    Returns
    -------
    str
        64 hexadecimal digits; for a single array the same as `ArrayDigest` gives block by block.
    """
    parts = []
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        part = ArrayDigest(name, array.dtype, array.shape)
        if array.ndim >= 2:
            for start in range(0, array.shape[-2], BLOCK_ROWS):
                part.update(array[..., start : start + BLOCK_ROWS, :])
        else:
            part.update(array)
        parts.append(part.hexdigest())
    return parts[0] if len(parts) == 1 else digest(parts)
