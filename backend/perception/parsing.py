"""The paper's four regions (3.1, 3.3.2): head, upper body, lower body, feet."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.perception.cut_lines import (
    BodyAxes,
    CutLines,
    ankle_cut,
    neck_cut,
    row_cut,
    waist_cut,
)
from backend.perception.subject import Landmarks, Photo

_WORKING_SIDE = 448
_HEAD, _NECK, _TRUNK, _ARM, _LEFT_LEG, _RIGHT_LEG = range(6)


@runtime_checkable
class Parser(Protocol):
    """Silhouette to regions."""

    name: str

    def parse(
        self, photo: Photo, mask: Float[np.ndarray, "h w"], landmarks: Landmarks
    ) -> UInt8[np.ndarray, "h w"]:
        """Values of :class:`backend.body.model.Region`; background where the mask is under 0.5."""


class LandmarkParsing:
    """Nearest capsule of the skeleton, cut at neck, waist and ankles.

    Every pixel of the silhouette belongs to the nearest of head, trunk, arms and legs (distance to
    the bone minus its girth). The chain head - trunk - leg is then cut across its own axis, so that
    raised arms, kicks and lying people are parsed alike; arms are always upper body.
    """

    name = "landmark-capsules"

    def __init__(self, cuts: CutLines | None = None) -> None:
        self._cuts = cuts or CutLines()

    def parse(
        self, photo: Photo, mask: Float[np.ndarray, "h w"], landmarks: Landmarks
    ) -> UInt8[np.ndarray, "h w"]:
        """See :class:`Parser`."""
        height, width = mask.shape
        scale = min(1.0, _WORKING_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = cv2.resize(photo.rgb.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        # Labels are made wherever the full-size silhouette has any pixel.
        inside = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.02
        ratio = np.array([size[0] / width, size[1] / height])
        axes = BodyAxes.of(_scaled(landmarks, ratio))
        group = _groups(axes, inside)
        regions = self._cut(axes, rgb, inside, group, float(ratio[1]))
        large = cv2.resize(regions, (width, height), interpolation=cv2.INTER_NEAREST)
        return np.where(mask > 0.5, large, np.uint8(Region.BACKGROUND)).astype(np.uint8)

    def _cut(
        self,
        axes: BodyAxes,
        rgb: Float[np.ndarray, "h w 3"],
        inside: Bool[np.ndarray, "h w"],
        group: UInt8[np.ndarray, "h w"],
        rows_a_photo_row: float,
    ) -> UInt8[np.ndarray, "h w"]:
        rows, columns = np.indices(group.shape)
        pixels = np.stack([columns + 0.5, rows + 0.5], -1).reshape(-1, 2)
        flat = group.reshape(-1)
        region = np.full(flat.shape, Region.UPPER, np.uint8)

        # The hem of a top lies on the legs' capsules as often as on the trunk's.
        core = inside & ((group == _TRUNK) | (group == _LEFT_LEG) | (group == _RIGHT_LEG))
        waist = (
            waist_cut(axes, rgb, core)
            if self._cuts.waist is None
            else row_cut(self._cuts.waist * rows_a_photo_row)
        )
        neck = (
            neck_cut(axes, rgb, inside)
            if self._cuts.neck is None
            else row_cut(self._cuts.neck * rows_a_photo_row)
        )
        below_waist = waist.beyond(pixels)
        is_leg = (flat == _LEFT_LEG) | (flat == _RIGHT_LEG)
        is_core = (flat == _TRUNK) | is_leg
        region[is_core & below_waist] = Region.LOWER
        # A thigh lifted above the waist line stays a thigh, except next to the hip.
        lifted = (
            is_leg & ~below_waist & (_distance(pixels, axes.hips, axes.hips) > 0.6 * axes.torso)
        )
        region[lifted] = Region.LOWER
        upper_end = (flat == _HEAD) | (flat == _NECK)
        region[upper_end & ~neck.beyond(pixels) & ~below_waist] = Region.HEAD
        for leg, knee, ankle in ((_LEFT_LEG, 25, 27), (_RIGHT_LEG, 26, 28)):
            cut = (
                ankle_cut(axes, rgb, group == leg, knee, ankle)
                if self._cuts.ankle is None
                else row_cut(self._cuts.ankle * rows_a_photo_row)
            )
            region[(flat == leg) & cut.beyond(pixels)] = Region.FEET
        return region.reshape(group.shape)


def fill_from_nearest(
    region: np.ndarray, mask: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """Every silhouette pixel without a region takes the nearest one; background outside the mask.

    Raises:
        HumanRefError: ``regions_empty`` when no pixel of the silhouette has a region.
    """
    inside = mask > 0.5
    known = (region > 0) & inside
    if not known.any():
        raise HumanRefError(
            "regions_empty",
            "No part of the silhouette has a region.",
            "Use the embedded parser, or bring your own with --regions.",
        )
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lookup = np.zeros(int(nearest.max()) + 1, np.uint8)
    lookup[nearest[known]] = region[known]
    return np.where(inside, lookup[nearest], np.uint8(Region.BACKGROUND)).astype(np.uint8)


def _scaled(landmarks: Landmarks, ratio: Float[np.ndarray, "2"]) -> Landmarks:
    return Landmarks(
        body=landmarks.body * ratio,
        body_3d=landmarks.body_3d,
        visibility=landmarks.visibility,
        face=None if landmarks.face is None else landmarks.face * ratio,
    )


def _groups(axes: BodyAxes, inside: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The nearest body part of each pixel inside; ``_TRUNK`` elsewhere."""
    rows, columns = np.nonzero(inside)
    pixels = np.stack([columns + 0.5, rows + 0.5], -1)
    p, torso = axes.points, axes.torso
    crown = axes.head + 0.9 * (axes.head - axes.chin)
    capsules: list[tuple[int, np.ndarray, np.ndarray, float]] = [
        (_HEAD, axes.chin, crown, 0.24),
        (_NECK, axes.chin, axes.shoulders, 0.10),
        (_TRUNK, axes.shoulders, axes.hips, 0.26),
        (_TRUNK, p[11], p[12], 0.12),
        (_TRUNK, p[11], p[23], 0.16),
        (_TRUNK, p[12], p[24], 0.16),
        (_TRUNK, p[23], p[24], 0.20),
    ]
    for shoulder, elbow, wrist, knuckle in ((11, 13, 15, 19), (12, 14, 16, 20)):
        tip = p[knuckle] + 0.8 * (p[knuckle] - p[wrist])
        capsules += [
            (_ARM, p[shoulder], p[elbow], 0.13),
            (_ARM, p[elbow], p[wrist], 0.11),
            (_ARM, p[wrist], tip, 0.10),
        ]
    for leg, hip, knee, ankle, heel, toe in (
        (_LEFT_LEG, 23, 25, 27, 29, 31),
        (_RIGHT_LEG, 24, 26, 28, 30, 32),
    ):
        capsules += [
            (leg, p[hip], p[knee], 0.18),
            (leg, p[knee], p[ankle], 0.14),
            (leg, p[ankle], p[heel], 0.10),
            (leg, p[heel], p[toe], 0.10),
        ]
    best = np.full(len(pixels), np.inf)
    label = np.full(len(pixels), _TRUNK, np.uint8)
    for part, start, end, girth in capsules:
        distance = _distance(pixels, start, end) - girth * torso
        nearer = distance < best
        best[nearer] = distance[nearer]
        label[nearer] = part
    group = np.full(inside.shape, _TRUNK, np.uint8)
    group[rows, columns] = label
    return group


def _distance(
    pixels: Float[np.ndarray, "n 2"], start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "n"]:
    """Distance of each pixel from a segment."""
    axis = end - start
    along = np.clip((pixels - start) @ axis / max(float(axis @ axis), 1e-9), 0.0, 1.0)
    return np.asarray(np.linalg.norm(pixels - start - along[:, None] * axis, axis=1))
