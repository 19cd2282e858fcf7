"""A picture painted of one side of a mesh, as colours of the mesh's surface."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from backend.geometry.cameras import OrthographicCamera
from backend.geometry.frames import FieldToWorld, PhotoCamera
from backend.geometry.mesh import ColoredMesh
from backend.geometry.resampling import sample
from backend.meshing.photo_view import Ramp, SeenSurface

# It is believed from these cosines between normal and view on, and so many of its pixels off an outline.
_FACING, _OUTLINE = Ramp(0.15, 0.35), Ramp(1.0, 3.0)


class SidePicture:
    """What a level view of a mesh is to show.

    Args:
        mesh: world frame, metres.
        azimuth: of the view, degrees; level.
        cube: that the picture covers.
        rgb: sRGB, row 0 on top.
        weight: how far each pixel is to be painted, 0 to 1.
    """

    def __init__(
        self,
        mesh: ColoredMesh,
        azimuth: float,
        cube: FieldToWorld,
        rgb: Float[np.ndarray, "n n 3"],
        weight: Float[np.ndarray, "n n"],
    ) -> None:
        self.rgb, self.weight = rgb, weight
        side = rgb.shape[0]
        self._axes, self._center = OrthographicCamera(azimuth).axes(), np.asarray(cube.shift)
        self._camera = PhotoCamera(side / 2.0 / cube.scale, side / 2.0, side / 2.0)
        turned = ColoredMesh(
            self._turned(mesh.vertices),
            mesh.faces,
            mesh.colors,
            (mesh.normals @ self._axes.T).astype(np.float32),
        )
        self._surface = SeenSurface(turned, self._camera)
        self._outline = _OUTLINE.times(1.0 / self._camera.pixels_per_metre)

    def at(
        self, points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]
    ) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "n"]]:
        """Colours at points of the surface (world frame, unit normals), and how far to paint them."""
        local = self._turned(points)
        facing = (normals @ self._axes.T).astype(np.float32)
        trust = self._surface.trust(local, facing, _FACING, self._outline)
        use = np.flatnonzero(trust > 0)
        pixels = self._camera.project(local[use].astype(np.float64))
        colors = np.zeros((len(points), 3), np.float32)
        colors[use] = np.clip(sample(self.rgb, pixels, cubic=True), 0.0, 1.0)
        trust[use] *= np.clip(sample(self.weight, pixels), 0.0, 1.0)
        return colors, trust

    def _turned(self, points: Float[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
        return np.asarray((points - self._center) @ self._axes.T, np.float32)
