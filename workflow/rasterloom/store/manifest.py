"""Manifests: small JSON files that say which artifact each scene (or model) has; all that Snakemake sees."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rasterloom.errors import MissingInputError, StoreError
from rasterloom.store.files import json_text, read_json, write_text
from rasterloom.store.store import Item


@dataclass(frozen=True)
class Manifest:
    """The items that a job stands for.

    Attributes
    ----------
    stage : str
    items : dict of str to Item
        By scene id (or fold, or sensor).
    """

    stage: str
    items: dict[str, Item] = field(default_factory=dict)

    def text(self) -> str:
        """The manifest as JSON: sorted, without times, so that equal content is equal bytes."""
        return json_text({"stage": self.stage, "items": {name: item.to_json() for name, item in self.items.items()}})

    def write(self, path: Path) -> None:
        """Write the manifest atomically."""
        write_text(path, self.text())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest; MissingInputError if it is not there, StoreError if it is not one."""
        try:
            value = read_json(path)
            return cls(value["stage"], {name: Item.from_json(item) for name, item in value["items"].items()})
        except FileNotFoundError:
            raise MissingInputError(f"{path} is not there: run the stage that writes it first") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path} is not a manifest ({error}): delete it and run the workflow again") from None
