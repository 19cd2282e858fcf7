"""Coordinate frames and the conversions between them.

* World/body frame: metres, right-handed, y up, the person faces +z, the person's left is +x.
* Field frame: the cube [-1, 1]^3 that holds the person with a margin; axes parallel to the world's.
* Photo frame: pixels of the photo, u to the right, v down, (0, 0) = outer corner of the top-left
  pixel, so pixel (row i, column j) has its centre at (j + 0.5, i + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class FieldToWorld:
    """World = scale * field + shift; scale in metres per field unit, shift in metres."""

    scale: float
    shift: tuple[float, float, float]

    def to_world(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Field coordinates to metres."""
        return points * self.scale + np.asarray(self.shift, points.dtype)

    def to_field(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Metres to field coordinates."""
        return (points - np.asarray(self.shift, points.dtype)) / self.scale


@dataclass(frozen=True)
class PhotoCamera:
    """Scaled-orthographic camera that took the photo, in the world frame, looking along -z.

    u = center_u + pixels_per_metre * x ; v = center_v - pixels_per_metre * y
    """

    pixels_per_metre: float
    center_u: float
    center_v: float

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """World points (metres) to photo pixels."""
        u = self.center_u + self.pixels_per_metre * points[..., 0]
        v = self.center_v - self.pixels_per_metre * points[..., 1]
        return np.stack([u, v], -1)


@dataclass(frozen=True)
class CropFrame:
    """The square of the photo that the field cube's front face covers.

    Field x = (u - center_u) / half_size, field y = -(v - center_v) / half_size. The square may reach
    beyond the photo (a half-body picture whose legs lie below the lower edge).
    """

    center_u: float
    center_v: float
    half_size: float

    def to_field(self, pixels: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Photo pixels to field x, y."""
        x = (pixels[..., 0] - self.center_u) / self.half_size
        y = (self.center_v - pixels[..., 1]) / self.half_size
        return np.stack([x, y], -1)

    def to_photo(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Field x, y to photo pixels."""
        u = xy[..., 0] * self.half_size + self.center_u
        v = self.center_v - xy[..., 1] * self.half_size
        return np.stack([u, v], -1)

    def field_to_world(self, camera: PhotoCamera, depth_center: float) -> FieldToWorld:
        """The field cube in the world, so that camera and crop agree; its middle at z = depth_center (m)."""
        return FieldToWorld(
            scale=self.half_size / camera.pixels_per_metre,
            shift=(
                (self.center_u - camera.center_u) / camera.pixels_per_metre,
                (camera.center_v - self.center_v) / camera.pixels_per_metre,
                depth_center,
            ),
        )
