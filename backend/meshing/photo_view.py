"""Where on a surface a camera's picture may be believed, and what the photo says there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.mesh import ColoredMesh
from backend.geometry.rasterizer import rasterize
from backend.geometry.resampling import crop_map, sample

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


@dataclass(frozen=True)
class Ramp:
    """Trust that grows from 0 at ``begin`` to 1 at ``whole``, smoothly."""

    begin: float
    whole: float

    def __call__(self, value: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Trust at values."""
        step = np.clip((value - self.begin) / (self.whole - self.begin), 0.0, 1.0)
        trust: np.ndarray = step * step * (3.0 - 2.0 * step)
        return trust

    def times(self, unit: float) -> Ramp:
        """The same in units so long."""
        return Ramp(self.begin * unit, self.whole * unit)


_FACING = Ramp(0.2, 0.5)
# Photo pixels from an outline (the person's, or one limb's before another) at which its colours begin
# to be the surface's own, and at which they surely are.
_OUTLINE = Ramp(1.5, 5.5)
# Pixels a pixel: a surface that the camera grazes, or the edge of a limb before another.
_STEEP = 6.0


class SeenSurface:
    """What a camera along -z sees of a mesh, and how far it sees every point from an outline."""

    def __init__(
        self,
        mesh: ColoredMesh,
        camera: PhotoCamera,
        mask: Float[np.ndarray, "h w"] | None = None,
        *,
        beyond: bool = False,
    ) -> None:
        """Draws the mesh once.

        Args:
            mask: silhouette in the camera's picture, whose edge is an outline too.
            beyond: whether what lies outside that picture counts as seen.
        """
        self.camera = camera
        pixels = camera.project(mesh.vertices.astype(np.float64))
        low, high = pixels.min(0), pixels.max(0)
        half = 0.5 * float((high - low).max()) + 2.0
        n = min(_LARGEST, int(np.ceil(2.0 * half)))
        self._crop = CropFrame(float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2, half)
        self._pixel = 2.0 * half / n / camera.pixels_per_metre
        near = mesh.vertices[:, 2] * camera.pixels_per_metre / half
        raster = rasterize(
            np.concatenate([self._crop.to_field(pixels), near[:, None]], 1), mesh.faces, n
        )
        self.faces = np.zeros(len(mesh.faces), bool)
        """Faces seen, however obliquely."""
        self.faces[raster.face_index[raster.covered]] = True
        # The background lies far behind, and not at -inf, which has no differences.
        depth = np.where(raster.covered, raster.depth, -1e6).astype(np.float32)
        depth *= np.float32(half / camera.pixels_per_metre)
        self._nearest = cv2.dilate(depth, np.ones((3, 3), np.uint8))
        good = raster.covered & ~_steps(depth, _STEEP * self._pixel)
        if mask is not None:
            inside = crop_map(mask, self._crop, n) > 0.9
            if beyond:
                inside |= crop_map(np.ones_like(mask), self._crop, n) < 0.5
            good &= inside
        distance = cv2.distanceTransform(good.astype(np.uint8), cv2.DIST_L2, 5)
        self._outline = distance * np.float32(self._pixel)

    def trust(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        facing: Ramp,
        outline: Ramp,
    ) -> Float32[np.ndarray, "n"]:
        """Trust in [0, 1] in what the camera shows of points of the surface; 0 where it is hidden.

        Args:
            normals: unit, at the points.
            facing: over the cosine between normal and view.
            outline: over the distance to the next outline in the picture, metres.
        """
        xy = self._crop.to_field(self.camera.project(points.astype(np.float64)))
        n = len(self._outline)
        places = (xy * [1.0, -1.0] + 1.0) * (0.5 * n)
        cosine = normals[:, 2].astype(np.float64)
        trust = outline(sample(self._outline, places)) * facing(cosine)
        column, row = np.clip(np.floor(places).astype(int), 0, n - 1).T
        # Within the 3 x 3 pixels a surface rises by as much as its slope allows.
        slack = 2.0 * self._pixel * (1.0 + 1.0 / np.maximum(cosine, 0.05))
        trust[points[:, 2] < self._nearest[row, column] - slack] = 0.0
        return trust.astype(np.float32)


class PhotoColors:
    """The photo as colours of a mesh's surface: what is seen, head-on and off every outline."""

    def __init__(self, mesh: ColoredMesh, view: PhotoView) -> None:
        """Draws the mesh once as the camera sees it."""
        self._view = view
        self._surface = SeenSurface(mesh, view.camera, view.mask)

    @property
    def seen(self) -> Bool[np.ndarray, "f"]:
        """Faces that the camera sees, however obliquely."""
        return self._surface.faces

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
        camera = self._view.camera
        photo_pixel = 1.0 / camera.pixels_per_metre
        outline = _OUTLINE.times(photo_pixel)
        trust = self._surface.trust(points, normals, _FACING, outline)
        colors = np.zeros((len(points), 3), np.float32)
        use = trust > 0
        rgb = _blurred(self._view.rgb, spacing / photo_pixel)
        pixels = camera.project(points[use].astype(np.float64))
        colors[use] = np.clip(sample(rgb, pixels, cubic=True), 0.0, 1.0)
        return colors, trust


def _steps(depth: Float32[np.ndarray, "n n"], least: float) -> Bool[np.ndarray, "n n"]:
    """Pixels on both sides of a depth difference between neighbours."""
    steps = np.zeros(depth.shape, bool)
    rises, falls = (np.abs(np.diff(depth, axis=axis)) > least for axis in (0, 1))
    steps[1:] |= rises
    steps[:-1] |= rises
    steps[:, 1:] |= falls
    steps[:, :-1] |= falls
    return steps


def _blurred(rgb: Float[np.ndarray, "h w 3"], pixels: float) -> Float32[np.ndarray, "h w 3"]:
    """The picture as one whose pixels are ``pixels`` times as wide would show it."""
    picture = np.ascontiguousarray(rgb, np.float32)
    if pixels <= 1.0:
        return picture
    # Two boxes, of the sampling and of the picture's own pixels: their variances differ by this.
    sigma = float(np.sqrt((pixels**2 - 1.0) / 12.0))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma))
