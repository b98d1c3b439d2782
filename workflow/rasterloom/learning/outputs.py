"""What a network says of each pixel: one class, several that may overlap, or several that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """The outputs of a network.

    Attributes
    ----------
    classes : how many classes it tells apart.
    exclusive : whether a pixel is of one of them at most; then background is one more output, the last.
    """

    classes: int = 1
    exclusive: bool = False

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Outputs:
        """The outputs of a spec's member."""
        found = spec.get("outputs")
        return cls() if found is None else cls(len(found["classes"]), found["exclusive"])

    @property
    def logits(self) -> int:
        """Logits of a pixel."""
        return self.classes + self.exclusive

    @property
    def planes(self) -> tuple[int, ...]:
        """The axis of the classes: none where there is but one."""
        return (self.classes,) if self.classes > 1 else ()

    @property
    def settings(self) -> dict[str, Any]:
        """What a key says of them, without a name; nothing of a single class."""
        return {"outputs": {"classes": self.classes, "exclusive": self.exclusive}} if self.planes else {}

    def of_classes(self, logits: Tensor) -> Tensor:
        """The logits (N, L, H, W) of a network as float32; (N, H, W) of a single class."""
        return logits.float() if self.planes else logits[:, 0].float()

    def probability(self, logits: Tensor) -> Tensor:
        """Probability of each class, 0..1: (N, L, H, W) logits to (N, K, H, W) float32; (N, H, W) of a single class."""
        found = self.of_classes(logits)
        return found.softmax(1)[:, : self.classes] if self.exclusive else found.sigmoid()


ONE = Outputs()
"""Those of a network that learns one target."""
