"""What guides the sides that the photo does not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor


@dataclass(frozen=True)
class GuidedRays:
    """Rays of one unseen view, rendered with gradients (field frame).

    ``points`` are the expected surface points and ``normal`` the unit normals there; neither carries a
    gradient, so that guidance on colour cannot drag the geometry along the ray.
    """

    azimuth: float
    color: Float[Tensor, "r 3"]
    opacity: Float[Tensor, "r"]
    points: Float[Tensor, "r 3"]
    normal: Float[Tensor, "r 3"]


@runtime_checkable
class Guidance(Protocol):
    """A source of colour for unseen sides: a named baseline or a diffusion prior."""

    name: str
    description: str
    """One honest sentence for run.json and the terminal."""

    def azimuth(self, step: int, generator: Generator) -> float | None:
        """The view (degrees) to render at this step, or None for none."""

    def loss(self, rays: GuidedRays) -> Float[Tensor, ""]:
        """Mean loss over the rays of that view."""
