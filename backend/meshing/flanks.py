"""Detail for the flanks, which neither the photo nor the picture of the back shows.

Colours that flow round the body (:mod:`backend.meshing.side_colors`) have the right tones there, and
streaks where a fabric has its pattern. Both sides are drawn; what flowed is filled with patches of the
photo, taken from the same limb at the same height, whose tones are those that flowed, or those of a prior
as far as it objects to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from backend.body.model import PosedBody
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.frames import FieldToWorld
from backend.geometry.mesh import ColoredMesh
from backend.geometry.rasterizer import interpolate, rasterize
from backend.geometry.resampling import sample
from backend.guidance.protocol import PaintedView
from backend.meshing.color_fit import FacePicture
from backend.meshing.limbs import NO_PART, SHAPED, Limbs, nearest_corners
from backend.meshing.patches import Canvas, detail_strength, fill, mean_inside
from backend.meshing.photo_view import PhotoView, Ramp
from backend.meshing.side_colors import trust_of_views
from backend.meshing.side_picture import SidePicture

SIDES = (90.0, 270.0)
"""Azimuths that are painted, degrees."""
NEAR = 15.0
"""A prior's picture from at most so many degrees beside a flank tells its tones."""
# Cosines between which front and back are trusted here: wider than the flow asks for, as colours stretched
# over a surface that turns away are streaks too.
_FRONT, _BACK = Ramp(0.05, 0.2), Ramp(0.05, 0.2)
# Of the photo, patches come from where it looks at least so straight at the surface.
_SOURCE_FACING = 0.12
# Pixels between person and the edge of what is filled; pixels over which a prior's tones are means.
_MARGIN, _PRIOR_TONE = 8, 6.0
_GREY = 0.5
# Detail lies between these widths, pixels; so much of it (root mean square of sRGB, means so wide) makes a
# pattern. Plain cloth keeps what flowed: patches would only add blotches.
_DETAIL, _AROUND, _PATTERN = (1.0, 5.0), 8.0, Ramp(0.015, 0.04)


def paint_flanks(
    mesh: ColoredMesh,
    photo: FacePicture,
    view: PhotoView,
    cube: FieldToWorld,
    body: PosedBody,
    painted: Sequence[PaintedView | None] = (None, None),
    seed: int = 0,
) -> tuple[SidePicture, ...]:
    """Pictures of both flanks.

    Args:
        mesh: world frame, its flanks' colours settled.
        photo: on the cube's front face.
        view: the photo itself, and its camera.
        cube: in the world.
        body: posed, world frame.
        painted: what a prior painted of level views about the :data:`SIDES`, in their order.
    """
    side = photo.rgb.shape[0]
    pixel = 2.0 * cube.scale / side
    trust = trust_of_views(mesh, view, pixel, _FRONT, _BACK)
    surface = _Surface(mesh, trust, Limbs.near(body, mesh.vertices))
    front = _Drawn.of(surface, 0.0, cube, side)
    source = (photo.weight > 0.9) & front.covered & (front.facing > _SOURCE_FACING)
    front_rgb = np.where((photo.weight > 0.5)[..., None], photo.rgb, _GREY)
    found = []
    for number, (azimuth, picture) in enumerate(zip(SIDES, painted, strict=True)):
        drawn = _Drawn.of(surface, azimuth, cube, side)
        hole = drawn.covered & (drawn.trust < 0.5) & (drawn.part != SHAPED)
        guess = drawn.rgb if picture is None else _with_tones_of(picture, drawn)
        pair = _Pair.around(photo.weight > 0.5, drawn.covered)
        canvas = Canvas(
            rgb=pair.beside(front_rgb, guess),
            hole=pair.beside(np.zeros_like(hole), hole),
            source=pair.beside(source, drawn.covered & ~hole),
            part=pair.beside(front.part, drawn.part),
            along=pair.beside(front.along, drawn.along),
        )
        rgb = guess.copy()
        rgb[pair.second] = pair.second_of(fill(canvas, seed + number))
        weight = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 1.0)
        weight *= _PATTERN(detail_strength(rgb, drawn.covered, _DETAIL, _AROUND))
        found.append(SidePicture(mesh, azimuth, cube, rgb, weight))
    return tuple(found)


@dataclass(frozen=True)
class _Surface:
    mesh: ColoredMesh
    trust: Float[np.ndarray, "v"]
    limbs: Limbs


@dataclass(frozen=True)
class _Drawn:
    """A view of the surface, row 0 on top."""

    rgb: Float32[np.ndarray, "n n 3"]
    """Over plain grey."""
    covered: Bool[np.ndarray, "n n"]
    trust: Float32[np.ndarray, "n n"]
    facing: Float32[np.ndarray, "n n"]
    """Cosine between normal and view."""
    part: UInt8[np.ndarray, "n n"]
    along: Float32[np.ndarray, "n n"]
    points: Float32[np.ndarray, "n n 3"]
    """Field frame."""

    @staticmethod
    def of(surface: _Surface, azimuth: float, cube: FieldToWorld, side: int) -> _Drawn:
        mesh, camera = surface.mesh, OrthographicCamera(azimuth)
        vertices = cube.to_field(mesh.vertices.astype(np.float32))
        raster = rasterize(camera.project(vertices), mesh.faces, side)
        covered = raster.covered

        def smooth(values: np.ndarray) -> np.ndarray:
            return interpolate(raster, values.astype(np.float32), mesh.faces)

        corner, limbs = nearest_corners(raster, mesh.faces), surface.limbs
        pixels = np.float32(side / (2.0 * cube.scale))
        toward = (mesh.normals @ camera.axes()[2]).astype(np.float32)
        return _Drawn(
            np.where(covered[..., None], smooth(mesh.colors), np.float32(_GREY)),
            covered,
            smooth(surface.trust[:, None])[..., 0],
            smooth(toward[:, None])[..., 0],
            np.where(covered, limbs.part[corner], np.uint8(NO_PART)),
            np.where(covered, limbs.along[corner] * pixels, np.float32(0.0)),
            smooth(vertices),
        )


def _with_tones_of(view: PaintedView, drawn: _Drawn) -> np.ndarray:
    """The drawn view, where nothing else is trusted with the tones of a painted one as far as that says."""
    side = view.rgb.shape[0]
    covered = drawn.covered
    places = OrthographicCamera(view.azimuth).project(drawn.points[covered])
    pixels = (places[:, :2] * [1.0, -1.0] + 1.0) * (side / 2.0)
    seen = drawn.rgb.copy()
    seen[covered] = sample(view.rgb, pixels)
    share = np.zeros(covered.shape, np.float32)
    share[covered] = sample(view.share, pixels)
    share *= 1.0 - np.clip(drawn.trust, 0.0, 1.0)
    change = mean_inside(seen - drawn.rgb, covered, _PRIOR_TONE)
    told = np.clip(drawn.rgb + share[..., None] * change, 0.0, 1.0)
    painted: np.ndarray = np.where(covered[..., None], told, drawn.rgb)
    return painted


@dataclass(frozen=True)
class _Pair:
    """Where people stand in two pictures, to be laid beside each other; the same rows of both."""

    first: tuple[slice, slice]
    second: tuple[slice, slice]

    @staticmethod
    def around(first: Bool[np.ndarray, "n n"], second: Bool[np.ndarray, "n n"]) -> _Pair:
        side = len(first)
        rows = _span(np.flatnonzero((first | second).any(1)), side)
        columns = [_span(np.flatnonzero(each.any(0)), side) for each in (first, second)]
        return _Pair((rows, columns[0]), (rows, columns[1]))

    def beside(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.concatenate([first[self.first], second[self.second]], 1)

    def second_of(self, both: np.ndarray) -> np.ndarray:
        columns = self.first[1]
        return both[:, columns.stop - columns.start :]


def _span(filled: Int[np.ndarray, "k"], side: int) -> slice:
    """From the first to the last of these, with a margin; at least one."""
    low, high = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 1)
    return slice(max(0, low - _MARGIN), min(side, high + _MARGIN))
