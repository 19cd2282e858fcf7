"""The field's start: the body's SDF grown to the photo's silhouette.

A narrow band around the naked body reaches a skirt or a coat only slowly from its edge. The body is
therefore inflated before the first step: an offset delta(x, y) is read off where the photo's outline
lies outside (or inside) the body's, spread smoothly over the picture, and subtracted from the SDF. Because
the body's silhouette is at distance zero, {sdf < delta} has the photo's silhouette.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

# Field units; beyond these the outline is not cloth (an object, a misplaced limb).
_MOST_OUT = 0.35
_MOST_IN = -0.03
# Cloth this far off the body starts to bridge its hollows, and does so fully from the second on.
_LOOSE_FROM, _LOOSE_FULL = 0.015, 0.045
_DRAPE = 0.05


@dataclass(frozen=True)
class InitialShape:
    """The start of the fit."""

    sdf: Float[np.ndarray, "n n n"]
    """[z, y, x] grid over the cube, align_corners, field units, positive outside."""
    offset_front: Float[np.ndarray, "m m"]
    """How far the front was moved out (field units), row 0 on top."""
    offset_back: Float[np.ndarray, "m m"]
    tightness: Float[np.ndarray, "m m"]
    """1 where the photo's outline follows the body, towards 0 where clothing or hair is loose."""


def harmonic_fill(
    values: Float[np.ndarray, "m k"], fixed: Bool[np.ndarray, "m k"]
) -> Float[np.ndarray, "m k"]:
    """Solve Laplace's equation on a picture: ``values`` where ``fixed``, no flow across the border.

    Zero everywhere when nothing is fixed.
    """
    m, k = values.shape
    if not fixed.any():
        return np.zeros_like(values)
    index = np.arange(m * k).reshape(m, k)
    pairs = np.concatenate(
        [
            np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], 1),
            np.stack([index[:-1].ravel(), index[1:].ravel()], 1),
        ]
    )
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    free = ~fixed.ravel()
    pairs = pairs[free[pairs[:, 0]]]
    row = np.concatenate([pairs[:, 0], pairs[:, 0], np.nonzero(~free)[0]])
    column = np.concatenate([pairs[:, 1], pairs[:, 0], np.nonzero(~free)[0]])
    entry = np.concatenate([-np.ones(len(pairs)), np.ones(len(pairs)), np.ones((~free).sum())])
    matrix = coo_matrix((entry, (row, column)), shape=(m * k, m * k)).tocsc()
    right = np.where(free, 0.0, values.ravel())
    return spsolve(matrix, right).reshape(m, k).astype(values.dtype)


def _shrink(image: np.ndarray, side: int) -> Float[np.ndarray, "m m"]:
    return cv2.resize(image.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)


def grow_to_silhouette(
    body_sdf: Float[np.ndarray, "n n n"],
    body_silhouette: Bool[np.ndarray, "p p"],
    body_middle: Float[np.ndarray, "p p"],
    mask: Float[np.ndarray, "p p"],
    known: Bool[np.ndarray, "p p"],
    skin: Bool[np.ndarray, "p p"],
    side: int = 128,
) -> InitialShape:
    """Inflate the body's SDF to the photo's silhouette.

    Args:
        body_sdf: [z, y, x] grid over the field cube, field units.
        body_silhouette: the body seen from the front, row 0 on top.
        body_middle: field z halfway between the body's front and back; any value outside it.
        mask: the person's silhouette in the photo.
        known: False outside the photo; no outline is read there.
        skin: pixels whose front must stay on the body (the face).
        side: resolution of the offset maps.
    """
    excess, outline = _outline_excess(body_silhouette, mask, known, side)
    unseen = ~(_shrink(known, side) > 0.99)
    # Unseen parts have no outline of their own: the bare body there, or one cut would dress it all.
    back = harmonic_fill(np.where(unseen, 0.0, excess).astype(np.float32), outline | unseen)
    face = _shrink(skin, side) > 0.5
    front = harmonic_fill(
        np.where(unseen | face, 0.0, excess).astype(np.float32), outline | unseen | face
    )
    loose = cv2.GaussianBlur(np.maximum(back, 0.0), (0, 0), 1.5)
    tightness = np.exp(-np.square(loose / 0.05)).astype(np.float32)
    middle = _middle_everywhere(body_middle, body_silhouette, side)
    sdf = _subtract_offset(body_sdf, front, back, middle)
    return InitialShape(sdf=sdf, offset_front=front, offset_back=back, tightness=tightness)


def _outline_excess(
    body: Bool[np.ndarray, "p p"],
    mask: Float[np.ndarray, "p p"],
    known: Bool[np.ndarray, "p p"],
    side: int,
) -> tuple[Float[np.ndarray, "m m"], Bool[np.ndarray, "m m"]]:
    """How far the photo's outline lies outside the body's (field units), and the cells it crosses.

    Measured on the fine picture and averaged within a cell: read on the coarse one, the outline's
    stairs would become ridges around every limb.
    """
    p = mask.shape[0]
    pixel = 2.0 / p
    distance = distance_transform_edt(~body) - distance_transform_edt(body)
    distance = cv2.GaussianBlur(distance.astype(np.float32), (0, 0), 1.0)
    # Half-covered pixels carry the outline's place to a fraction of a pixel.
    person = mask > 0.5
    inner = cv2.erode(person.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    seen = cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rows, columns = np.nonzero(person & ~inner & seen)
    around = cv2.blur(mask.astype(np.float32), (3, 3))[rows, columns]
    excess = (distance[rows, columns] + 1.5 * (2.0 * around - 1.0)) * pixel
    cell = (rows * side // p) * side + columns * side // p
    count = np.bincount(cell, minlength=side * side).reshape(side, side)
    total = np.bincount(cell, np.clip(excess, _MOST_IN, _MOST_OUT), minlength=side * side)
    mean = total.reshape(side, side) / np.maximum(count, 1)
    return _smooth_along(mean.astype(np.float32), count > 0)


def _smooth_along(
    values: Float[np.ndarray, "m m"], where: Bool[np.ndarray, "m m"]
) -> tuple[Float[np.ndarray, "m m"], Bool[np.ndarray, "m m"]]:
    """Average of the neighbouring outline cells, which carry values; others do not take part."""
    weight = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 1.5)
    mean = cv2.GaussianBlur(values * where, (0, 0), 1.5) / np.maximum(weight, 1e-6)
    return np.where(where, mean, 0.0).astype(np.float32), where


def _middle_everywhere(
    middle: Float[np.ndarray, "p p"], body: Bool[np.ndarray, "p p"], side: int
) -> Float[np.ndarray, "m m"]:
    """The body's middle depth carried outwards from its silhouette and smoothed."""
    nearest = distance_transform_edt(~body, return_distances=False, return_indices=True)
    return cv2.GaussianBlur(_shrink(middle[tuple(nearest)], side), (0, 0), 2.0)


def _subtract_offset(
    sdf: Float[np.ndarray, "n n n"],
    front: Float[np.ndarray, "m m"],
    back: Float[np.ndarray, "m m"],
    middle: Float[np.ndarray, "m m"],
) -> Float[np.ndarray, "n n n"]:
    n = sdf.shape[0]
    # Maps have row 0 on top and pixel centres; the grid has y upwards and nodes on the border.
    nodes = np.linspace(-1.0, 1.0, n)
    column = ((nodes + 1.0) / 2.0 * front.shape[1] - 0.5).astype(np.float32)
    row = ((1.0 - nodes) / 2.0 * front.shape[0] - 0.5).astype(np.float32)
    map_x, map_y = np.meshgrid(column, row)
    at_nodes = [
        cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for image in (front, back, middle)
    ]
    draped = _without_hollows(sdf) if max(front.max(), back.max()) > _LOOSE_FROM else sdf
    out = np.empty_like(sdf)
    for k, z in enumerate(nodes):
        share = np.clip((z - at_nodes[2]) / 0.08 + 0.5, 0.0, 1.0)
        offset = share * at_nodes[0] + (1.0 - share) * at_nodes[1]
        loose = np.clip((offset - _LOOSE_FROM) / (_LOOSE_FULL - _LOOSE_FROM), 0.0, 1.0)
        out[k] = sdf[k] + loose * (draped[k] - sdf[k]) - offset
    return out


def _without_hollows(sdf: Float[np.ndarray, "n n n"]) -> Float[np.ndarray, "n n n"]:
    """The surface as cloth hangs over it: a blurred distance bridges what is narrower than the blur."""
    spacing = 2.0 / (sdf.shape[0] - 1)
    return gaussian_filter(sdf, _DRAPE / spacing, truncate=2.0, mode="nearest")
