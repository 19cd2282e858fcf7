"""Where on a surface the photo may be believed, and what it says there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.mesh import ColoredMesh
from backend.geometry.rasterizer import Raster, rasterize
from backend.geometry.resampling import crop_map, sample

# Cosines between which trust in a surface that turns away from the camera grows from 0 to 1.
_GRAZING, _FACING = 0.2, 0.5
# Photo pixels from an outline (the person's, or one limb's before another) at which its colours begin
# to be the surface's own, and over which trust then grows to 1.
_MIXED, _RAMP = 1.5, 4.0
# A body that reaches far beyond a small photo must not ask for a picture larger than this.
_LARGEST = 2048


@dataclass(frozen=True)
class PhotoView:
    """A photo and the camera that took it, in the frame of the mesh it is laid upon."""

    rgb: Float[np.ndarray, "h w 3"]
    """sRGB in [0, 1]."""
    mask: Float[np.ndarray, "h w"]
    """The person's silhouette, 0..1."""
    camera: PhotoCamera


class PhotoColors:
    """The photo as colours of a mesh's surface: what is seen, head-on and off every outline."""

    def __init__(self, mesh: ColoredMesh, view: PhotoView) -> None:
        """Draws the mesh once as the camera sees it."""
        self._view = view
        pixels = view.camera.project(mesh.vertices.astype(np.float64))
        low, high = pixels.min(0), pixels.max(0)
        half = 0.5 * float((high - low).max()) + 2.0
        resolution = min(_LARGEST, int(np.ceil(2.0 * half)))
        self._crop = CropFrame(float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2, half)
        self._pixel = 2.0 * half / resolution / view.camera.pixels_per_metre
        near = mesh.vertices[:, 2] * view.camera.pixels_per_metre / half
        xyz = np.concatenate([self._crop.to_field(pixels), near[:, None]], 1)
        raster = rasterize(xyz, mesh.faces, resolution)
        # The background lies far behind, and not at -inf, which has no differences.
        depth = np.where(raster.covered, raster.depth, -1e6).astype(np.float32)
        depth *= np.float32(half / view.camera.pixels_per_metre)
        self.seen = np.zeros(len(mesh.faces), bool)
        """Faces that the camera sees, however obliquely."""
        self.seen[raster.face_index[raster.covered]] = True
        self._nearest = cv2.dilate(depth, np.ones((3, 3), np.uint8))
        self._trust = self._off_outlines(raster, depth)

    def _off_outlines(
        self, raster: Raster, depth: Float32[np.ndarray, "n n"]
    ) -> Float32[np.ndarray, "n n"]:
        """Trust in each pixel of the drawing by its distance from the next outline."""
        n = len(depth)
        inside = crop_map(self._view.mask, self._crop, n) > 0.9
        farthest = cv2.erode(depth, np.ones((3, 3), np.uint8))
        # A slope of 6 pixels a pixel is a surface that the camera grazes, or the edge of a limb.
        broken = self._nearest - farthest > 6.0 * self._pixel
        good = inside & raster.covered & ~broken
        distance = cv2.distanceTransform(good.astype(np.uint8), cv2.DIST_L2, 5)
        photo_pixel = 1.0 / (self._view.camera.pixels_per_metre * self._pixel)
        trust = np.clip((distance / photo_pixel - _MIXED) / _RAMP, 0.0, 1.0)
        return trust.astype(np.float32)

    def at(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        spacing: float,
    ) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "n"]]:
        """The photo's colours at points of the surface, and trust in [0, 1].

        Args:
            normals: unit, at the points.
            spacing: distance between neighbouring points, metres: of a photo with more detail than
                that the mean is wanted, or colours would flicker.

        Colours are black where the trust is 0.
        """
        rgb = _blurred(self._view.rgb, spacing * self._view.camera.pixels_per_metre)
        pixels = self._view.camera.project(points.astype(np.float64))
        xy = self._crop.to_field(pixels)
        n = len(self._trust)
        column, row = (xy[:, 0] + 1.0) * (0.5 * n) - 0.5, (1.0 - xy[:, 1]) * (0.5 * n) - 0.5
        facing = normals[:, 2].astype(np.float64)
        trust = sample(self._trust, np.stack([column, row], 1) + 0.5).astype(np.float64)
        step = np.clip((facing - _GRAZING) / (_FACING - _GRAZING), 0.0, 1.0)
        trust = trust * step * step * (3.0 - 2.0 * step)
        nearest = self._nearest[
            np.clip(np.round(row).astype(int), 0, n - 1),
            np.clip(np.round(column).astype(int), 0, n - 1),
        ]
        # Within the 3 x 3 pixels a surface rises by as much as its slope allows.
        slack = 2.0 * self._pixel * (1.0 + 1.0 / np.maximum(facing, _GRAZING))
        trust[points[:, 2] < nearest - slack] = 0.0
        colors = np.zeros((len(points), 3), np.float32)
        use = trust > 0
        colors[use] = np.clip(sample(rgb, pixels[use], cubic=True), 0.0, 1.0)
        return colors, trust.astype(np.float32)


def _blurred(rgb: Float[np.ndarray, "h w 3"], pixels: float) -> Float32[np.ndarray, "h w 3"]:
    """The picture as one whose pixels are ``pixels`` times as wide would show it."""
    picture = np.ascontiguousarray(rgb, np.float32)
    if pixels <= 1.0:
        return picture
    # Two boxes, of the sampling and of the picture's own pixels: their variances differ by this.
    sigma = float(np.sqrt((pixels**2 - 1.0) / 12.0))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma))
