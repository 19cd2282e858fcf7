"""The surface that the renderer shows.

A density of sharpness alpha is not zero just outside the SDF's zero level: a ray that passes a limb
tangentially becomes opaque a little before it touches it, so the rendered silhouette, which the photo
was compared with, lies outside the zero level. A mesh must be cut where the picture was.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from backend.field.networks import HumanField

# Field units: half the width of an arm or a calf, whose outlines make up most of a person's.
LIMB_RADIUS = 0.08


def silhouette_level(alpha: float, radius: float = LIMB_RADIUS) -> float:
    """SDF value at which a ray tangent to a cylinder of ``radius`` is half opaque.

    Along such a ray s(x) = d + x^2 / 2R, so the optical depth of the VolSDF density outside the surface
    is alpha / 2 * exp(-alpha d) * sqrt(2 pi R / alpha); opacity 1/2 means that it equals ln 2. Zero for
    densities so soft that the surface itself is not half opaque.
    """
    ratio = math.sqrt(2.0 * math.pi * radius * alpha) / (2.0 * math.log(2.0))
    return max(0.0, math.log(ratio)) / alpha


class RenderedSurface:
    """A field whose zero level is the rendered silhouette of another; the same colours."""

    def __init__(self, field: HumanField) -> None:
        self._field = field
        self.level = silhouette_level(float(field.alpha.detach()))

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Signed distance to the rendered surface, field frame."""
        return self._field.sdf(points) - self.level

    def color(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """sRGB in (0, 1)."""
        return self._field.color(points)
