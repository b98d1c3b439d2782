"""What the tables of config.yaml are made of: the base of all, names, paths and ranges that several share."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MOST_SEED = 2**63 - 1


def _path(text: str) -> str:
    """A path that means what it says; ValueError otherwise."""
    if not text.strip():
        raise ValueError("a path is needed, but an empty text was given")
    if text != text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} has blanks around it or control characters in it: write the bare path")
    if text.startswith("~") or re.search(r"\$\{?[A-Za-z_]", text):
        raise ValueError(f"{text!r}: `~` and `$` are not expanded; write the path in full")
    return text


def _results_path(text: str) -> str:
    """A path that may be part of Snakemake's patterns; ValueError otherwise."""
    if re.search(r"[{}]|://", text):
        raise ValueError(f"{text!r}: a folder of this machine, without braces in its path, is needed")
    return text


def unique(ids: list[Any]) -> list[Any]:
    """A list without repetitions; ValueError otherwise, which names the first."""
    twice = next((entry for index, entry in enumerate(ids) if entry in ids[:index]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is listed twice; remove one of them")
    return ids


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]

ChannelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=300)]

Fraction = Annotated[float, Field(ge=0, le=1)]

PathText = Annotated[str, AfterValidator(_path)]

ResultsPath = Annotated[str, AfterValidator(_path), AfterValidator(_results_path)]

SceneIds = Annotated[list[str], AfterValidator(unique)]

Searched = Literal["auto"] | Annotated[float, Field(ge=0, le=1e9)]
"""A number, or the one with the best Jaccard on out-of-fold predictions."""

Pixels = Annotated[int, Field(ge=16, le=16_384)]

Row = Annotated[list[float], Field(min_length=3, max_length=3)]

Precision = Annotated[
    Literal["bfloat16", "float32"],
    Field(description="of the forward pass: bfloat16 (faster; float32 on devices without it) or float32"),
]

Threads = Annotated[
    int,
    Field(ge=1, le=1024, description="compute threads; results depend on their number, so it is part of the recipe"),
]


def _on_one_line(schema: dict[str, Any]) -> None:
    """Descriptions of keys in a table's schema, which the code breaks over lines."""
    for field in schema["properties"].values():
        field["description"] = " ".join(field["description"].split())


class Table(BaseModel):
    """A table of the configuration: it refuses unknown keys and never converts a value of another kind.

    The text below a key describes it, in messages, the JSON schema and docs/configuration.md.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_extra=_on_one_line,
    )


KIND = (
    "a network (docs/networks.md): unet, fcn8, tiramisu, reseg, smp or module; or, pixel by pixel, forest (random "
    "forest), boosting (gradient boosting), linear or logistic (regressions)"
)


class ModelTable(Table):
    """A kind of model and its size: the base of all kinds."""

    kind: str

    SETTINGS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Which settings count for this kind, by section (`training`, `prediction`); all of a section that is not named."""
