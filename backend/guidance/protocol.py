"""What guides the sides that the photo does not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
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


@dataclass(frozen=True)
class CarriedPhoto:
    """The photo carried round the person, row 0 on top."""

    front: Float[np.ndarray, "n n 3"]
    """The photo's crop; beyond the photo and the silhouette an invented tone."""
    back: Float[np.ndarray, "n n 3"]
    """The back, as it would be seen through the person from the front."""
    holds: Float[np.ndarray, "n n"]
    """How much of the back is to be believed, 0 to 1."""


@dataclass(frozen=True)
class PaintedView:
    """What a prior has painted of one view of the field's cube, row 0 on top."""

    azimuth: float
    """Degrees; the view is level."""
    rgb: Float[np.ndarray, "n n 3"]
    share: Float[np.ndarray, "n n"]
    """How far it is to be followed, 0 to 1; 0 off the person."""


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

    def carried(self) -> CarriedPhoto | None:
        """The photo as the guidance has carried it to the back; None where it does not."""


@dataclass(frozen=True)
class PictureView:
    """A whole view that a guidance wants to see."""

    azimuth: float
    """Degrees; 180 = the back."""
    elevation: float
    largest: int
    """Side in pixels beyond which it would see no more."""
    bank: int | None = None
    """Number of this view among those that come again."""


@dataclass(frozen=True)
class GuidedPicture:
    """A whole square view, rendered with gradients; row 0 on top, field frame."""

    view: PictureView
    color: Float[Tensor, "1 3 n n"]
    """sRGB over ``background``."""
    opacity: Float[Tensor, "n n"]
    normal: Float[Tensor, "n n 3"]
    """Opacity-weighted mean of unit normals."""
    points: Float[Tensor, "n n 3"]
    """Expected surface points, without gradient; meaningless where nothing is hit."""
    background: Float[Tensor, "3"]

    def over(self, background: Float[Tensor, "3"]) -> Float[Tensor, "1 3 n n"]:
        """The same picture over another plain background."""
        return (
            self.color + (1.0 - self.opacity) * (background - self.background)[None, :, None, None]
        )


@dataclass(frozen=True)
class Draws:
    """Random numbers of a step; a checkpoint keeps the host's generator, which seeds the device's."""

    host: Generator
    device: Generator


@runtime_checkable
class PictureGuidance(Protocol):
    """A guidance that must see whole pictures: a diffusion prior."""

    name: str
    description: str
    """One honest sentence for run.json and the terminal."""
    terms: tuple[str, ...]
    """Losses it may return: fields of ``LossSettings``."""

    def view(self, step: int, generator: Generator) -> PictureView | None:
        """The view to render at this step, or None for none."""

    def losses(
        self, step: int, picture: GuidedPicture, draws: Draws
    ) -> dict[str, Float[Tensor, ""]]:
        """Unweighted losses of the view of this step."""

    def painted(self, azimuth: float, within: float = 0.0) -> PaintedView | None:
        """What was last painted of a level view at most ``within`` degrees from an azimuth, the nearest
        there is; None where nothing is kept of it."""

    def state_dict(self) -> dict[str, Any]:
        """All that later steps depend on (tensors, numbers, dictionaries), as of the last step."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` gave."""
