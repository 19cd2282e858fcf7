"""The body's outline against the person's: samples, matches and the overlap score."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from backend.body.model import BodyModel, Region
from backend.fitting.kinematics import ArticulatedBody, Points, descendants
from backend.geometry.rasterizer import rasterize
from shared_protocol.skeleton import JOINT_INDEX

_RASTER = 320
# How far (px of the raster) the outline's direction is smoothed before it is read off.
_NORMAL_BLUR = 2.0


@dataclass(frozen=True)
class Outline:
    """Points on the edge of a region of the photo, with unit normals pointing out of it."""

    points: Float[np.ndarray, "n 2"]
    """Photo pixels."""
    normals: Float[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Slack:
    """Standard deviations (m) of the gap between skin and clothed outline, by part of the body."""

    outside: float = 0.012
    """Skin that sticks out of the silhouette: never right."""
    feet: float = 0.025
    hands: float = 0.020
    lower: float = 0.030
    upper: float = 0.042
    head: float = 0.060
    """Hair."""


def mask_outline(mask: Float[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]) -> Outline:
    """Edge of a soft mask at 0.5; the photo's own border is no edge of the person."""
    solid = (np.asarray(mask) > 0.5).astype(np.uint8)
    h, w = solid.shape
    pixels = _edge_pixels(solid)
    u, v = pixels[:, 0], pixels[:, 1]
    inner = (u > 1) & (v > 1) & (u < w - 2) & (v < h - 2)
    # A person 1000 px tall and one 100 px tall need the same relative smoothing.
    blur = max(1.0, _NORMAL_BLUR * max(np.ptp(u), np.ptp(v), 1) / _RASTER) if len(u) else 1.0
    return _outline(solid, pixels[inner], blur)


def _edge_pixels(solid: np.ndarray) -> Int[np.ndarray, "n 2"]:
    contours, _ = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    kept = [c[:, 0] for c in contours if len(c) >= 12]
    return np.concatenate(kept).astype(np.int64) if kept else np.zeros((0, 2), np.int64)


def _outline(solid: np.ndarray, pixels: np.ndarray, blur: float) -> Outline:
    soft = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), blur)
    dx = cv2.Sobel(soft, cv2.CV_32F, 1, 0)[pixels[:, 1], pixels[:, 0]]
    dy = cv2.Sobel(soft, cv2.CV_32F, 0, 1)[pixels[:, 1], pixels[:, 0]]
    outward = -np.stack([dx, dy], -1).astype(np.float64)
    length = np.linalg.norm(outward, axis=1, keepdims=True)
    return Outline(pixels + 0.5, outward / np.maximum(length, 1e-9))


@dataclass(frozen=True)
class BodyOutline:
    """Samples on the posed body's own outline: where they are bound, and how loose clothes are there."""

    points: Points
    normals: Float[np.ndarray, "n 2"]
    """Photo frame (v down)."""
    slack: Float[np.ndarray, "n"]
    """Metres, see :class:`Slack`."""


class SilhouetteMatcher:
    """Matches the outline of a body that changes with the outline of the person that does not."""

    def __init__(
        self,
        body: ArticulatedBody,
        model: BodyModel,
        outline: Outline,
        slack: Slack | None = None,
        hidden_joints: tuple[str, ...] = (),
    ) -> None:
        """``hidden_joints`` and all below them lie behind something: their outline is not sampled."""
        self._body = body
        self._faces = model.faces
        self._outline = outline
        slack = slack or Slack()
        self.outside_sigma = slack.outside
        self._slack_of_vertex = _vertex_slack(model, slack)
        below = descendants()[[JOINT_INDEX[name] for name in hidden_joints]].any(0)
        self._hidden_vertex = model.skin_weights[:, below].sum(1) > 0.5

    def sample(
        self, pixels: Float[np.ndarray, "v 3"], photo_size: tuple[int, int], count: int
    ) -> BodyOutline:
        """About ``count`` samples of the outline of the body drawn at ``pixels``.

        Args:
            pixels: u, v in photo pixels and a depth in pixels (larger is nearer) of each vertex.
            photo_size: width, height; the body's outline beyond the photo is not sampled.
        """
        low, high = pixels[:, :2].min(0), pixels[:, :2].max(0)
        center, half = (low + high) / 2, float((high - low).max()) / 2 * 1.04
        xyz = np.column_stack([(pixels[:, :2] - center) / half, pixels[:, 2] / half])
        xyz[:, 1] *= -1
        raster = rasterize(xyz, self._faces, _RASTER)
        edge = _outline_of_raster(raster.covered)
        at = np.floor(edge.points).astype(np.int64)
        on_photo = (edge.points / _RASTER * 2 - 1) * half + center
        width, height = photo_size
        inside = (on_photo > 2).all(1) & (on_photo < [width - 2, height - 2]).all(1)
        chosen = np.flatnonzero(inside)
        seen_face = raster.face_index[at[chosen, 1], at[chosen, 0]]
        chosen = chosen[~self._hidden_vertex[self._faces[seen_face]].any(1)]
        chosen = chosen[:: max(1, len(chosen) // count)]
        column, row = at[chosen].T
        corners = self._faces[raster.face_index[row, column]].astype(np.int64)
        barycentric = raster.barycentric[row, column].astype(np.float64)
        slack = (self._slack_of_vertex[corners] * barycentric).sum(1)
        return BodyOutline(
            self._body.surface_points(corners, barycentric), edge.normals[chosen], slack
        )

    def match(
        self,
        placed: Float[np.ndarray, "n 2"],
        normals: Float[np.ndarray, "n 2"],
        pixels_per_metre: float,
    ) -> Int[np.ndarray, "n"]:
        """Index of the person's outline point for each body sample: near, and facing the same way.

        A right angle between normals counts like 14 cm of distance.
        """
        weight = 0.10 * pixels_per_metre
        tree = cKDTree(np.column_stack([self._outline.points, weight * self._outline.normals]))
        _, index = tree.query(np.column_stack([placed, weight * normals]))
        return np.asarray(index, np.int64)

    @property
    def outline(self) -> Outline:
        """The person's outline."""
        return self._outline


def _outline_of_raster(covered: np.ndarray) -> Outline:
    solid = covered.astype(np.uint8)
    return _outline(solid, _edge_pixels(solid), _NORMAL_BLUR)


def _vertex_slack(model: BodyModel, slack: Slack) -> Float[np.ndarray, "v"]:
    by_region = {
        Region.HEAD: slack.head,
        Region.UPPER: slack.upper,
        Region.LOWER: slack.lower,
        Region.FEET: slack.feet,
    }
    values = np.full(len(model.regions), slack.upper)
    for region, value in by_region.items():
        values[model.regions == region] = value
    hands = [j for name, j in JOINT_INDEX.items() if "wrist" in name or j >= 25]
    values[model.skin_weights[:, hands].sum(1) > 0.5] = slack.hands
    return values


def draw_silhouette(
    pixels: Float[np.ndarray, "v 2"], faces: Int[np.ndarray, "f 3"], width: int, height: int
) -> Bool[np.ndarray, "h w"]:
    """Photo pixels that a mesh drawn at ``pixels`` (u, v) covers."""
    side = max(width, height)
    xyz = np.zeros((len(pixels), 3))
    xyz[:, 0] = pixels[:, 0] / side * 2 - 1
    xyz[:, 1] = 1 - pixels[:, 1] / side * 2
    return rasterize(xyz, faces, side).covered[:height, :width]


def intersection_over_union(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
    """Overlap of two masks, 0..1 (0 when both are empty)."""
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 0.0
