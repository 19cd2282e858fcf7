"""Orthographic cameras around the field cube.

Azimuth a, elevation e in degrees: the camera looks at the centre from direction
(sin a cos e, sin e, cos a cos e); a = 0 is the photo's view, a = 180 the back. The picture spans
[-half_height, half_height] in both axes around the target, row 0 on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Rays must start outside the cube from every direction: its half diagonal is sqrt(3).
RAY_START_DISTANCE = 1.75


@dataclass(frozen=True)
class OrthographicCamera:
    """A square orthographic view; lengths in the unit of the scene it looks at (field or metres)."""

    azimuth: float
    elevation: float = 0.0
    half_height: float = 1.0
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Rows: right, up, backward (towards the camera), in the scene's frame."""
        a, e = np.radians(self.azimuth), np.radians(self.elevation)
        backward = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
        right = np.array([np.cos(a), 0.0, -np.sin(a)])
        up = np.cross(backward, right)
        return np.stack([right, up, backward])

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Scene points to (x, y, z): x, y in [-1, 1] inside the picture (y up), z towards the camera."""
        local = (points - np.asarray(self.target, points.dtype)) @ self.axes().T.astype(
            points.dtype
        )
        return local / self.half_height

    def pixel_rays(
        self, xy: Float[np.ndarray, "n 2"]
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "3"]]:
        """Ray origins (outside the cube) and the common unit direction for picture points xy in [-1, 1]."""
        right, up, backward = self.axes()
        origins = (
            np.asarray(self.target)
            + self.half_height * (xy[:, :1] * right + xy[:, 1:] * up)
            + RAY_START_DISTANCE * backward
        )
        return origins.astype(np.float32), (-backward).astype(np.float32)


def pixel_centers(resolution: int) -> Float[np.ndarray, "n 2"]:
    """Picture points (x, y in [-1, 1], y up) of the pixel centres of a square picture, row-major."""
    t = (np.arange(resolution) + 0.5) / resolution * 2.0 - 1.0
    y, x = np.meshgrid(-t, t, indexing="ij")
    return np.stack([x, y], -1).reshape(-1, 2)
