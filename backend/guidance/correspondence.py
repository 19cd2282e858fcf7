"""Where each pixel of a view finds its own place of the body in the photo.

Both pictures show the same posed body; its canonical places say which pixels belong together. What the
photo does not show (the back) takes the place in front of it, mirrored through the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree

from backend.body.model import Region

# Front and back of a trunk lie 0.2 apart: depth counts less than height and side.
_AXES = np.array([1.0, 1.0, 0.4])
_NEIGHBOURS = 4
# Share of the picture's side that cloth and hair stand off the naked body, at most.
REACH = 0.085
# The face in canonical places (measured on the mean body: chin .66, hairline .88, ears z = .03).
_FACE_LOW, _FACE_HIGH, _FACE_FRONT = 0.66, 0.885, 0.05
_BEHIND_FACE = 0.03


@dataclass(frozen=True)
class BodyPicture:
    """The naked body as one camera sees it; row 0 on top, zero off the body."""

    normal: Float[np.ndarray, "n n 3"]
    """Unit, body frame."""
    canonical: Float[np.ndarray, "n n 3"]
    """:func:`backend.body.canonical.canonical_places` of the seen point."""
    region: UInt8[np.ndarray, "n n"]


@dataclass(frozen=True)
class Surroundings:
    """A body's places carried outwards, to the cloth and hair around it."""

    canonical: Float[np.ndarray, "n n 3"]
    """Of the nearest pixel of the body; zero where ``near`` is False."""
    near: Bool[np.ndarray, "n n"]
    """On the body or within ``REACH`` of it."""
    nearest: Float[np.ndarray, "n n 2"]
    """Column and row of that nearest pixel."""
    region: UInt8[np.ndarray, "n n"]
    """Its region."""


def surround(body: BodyPicture) -> Surroundings:
    """Carry places outwards by at most ``REACH`` of the picture."""
    n = body.region.shape[0]
    on_body = body.region > 0
    rows, columns = np.mgrid[0:n, 0:n]
    if not on_body.any():
        grid = np.stack([columns, rows], -1).astype(np.float32)
        return Surroundings(body.canonical, on_body, grid, body.region)
    distance, labels = cv2.distanceTransformWithLabels(
        (~on_body).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.zeros(labels.max() + 1, np.int64)
    index[labels[on_body]] = np.flatnonzero(on_body)
    source = index[labels]
    near = distance <= REACH * n
    canonical = body.canonical.reshape(-1, 3)[source] * near[..., None]
    nearest = np.stack([source % n, source // n], -1).astype(np.float32)
    return Surroundings(canonical, near, nearest, body.region.reshape(-1)[source])


@dataclass(frozen=True)
class PhotoPlaces:
    """For each pixel of a view the photo's pixel to take its colour from."""

    xy: Float[np.ndarray, "n n 2"]
    """Column and row in the photo's picture (pixel centres are whole numbers)."""
    valid: Bool[np.ndarray, "n n"]
    """False far from the body, and where the photo's face would land behind the ears."""


class PhotoIndex:
    """The photo's body pixels, ready to be looked up by place.

    Args:
        body: as the photo's camera sees it.
        usable: pixels of the photo that really show the person.
    """

    def __init__(self, body: BodyPicture, usable: Bool[np.ndarray, "n n"]) -> None:
        found = np.nonzero((body.region > 0) & usable)
        self._xy = np.stack([found[1], found[0]], -1).astype(np.float64)
        places = body.canonical[found]
        self._face = is_face(places, body.region[found])
        self._tree = cKDTree(places * _AXES) if len(places) else None

    def look_up(self, view: Surroundings, azimuth: float) -> PhotoPlaces:
        """Where each pixel of a view at ``azimuth`` (degrees) lies in the photo."""
        n = view.near.shape[0]
        xy, valid = np.zeros((n, n, 2), np.float32), np.zeros((n, n), bool)
        if self._tree is None or not view.near.any():
            return PhotoPlaces(xy, valid)
        column, row = view.nearest[..., 0], view.nearest[..., 1]
        rows, columns = np.mgrid[0:n, 0:n].astype(np.float32)
        own = view.near & (columns == column) & (rows == row)
        places = view.canonical[own]
        distance, index = self._tree.query(places * _AXES, k=_NEIGHBOURS)
        index = np.minimum(index, len(self._xy) - 1)
        found = self._xy[index]
        weight = 1.0 / (distance + 0.003)
        # Neighbours on the body may lie far apart in the photo (a hand before the hip).
        weight *= np.abs(found - found[:, :1]).max(-1) <= 3.0
        mixed = (found * weight[..., None]).sum(1) / weight.sum(1, keepdims=True)
        behind = (view.region[own] == Region.HEAD) & (places[:, 2] < _BEHIND_FACE)
        on_body = np.zeros((n, n, 2), np.float32)
        on_body[own] = mixed
        good = np.zeros((n, n), bool)
        good[own] = ~(behind & self._face[index[:, 0]])
        at = (row.astype(np.int64), column.astype(np.int64))
        # Off the body the photo is followed outwards as well; seen from behind, the other way.
        turn = float(np.cos(np.radians(azimuth)))
        xy = on_body[at] + np.stack([(columns - column) * turn, rows - row], -1)
        return PhotoPlaces(xy.astype(np.float32), view.near & good[at])


def is_face(
    canonical: Float[np.ndarray, "*k 3"], region: UInt8[np.ndarray, "*k"]
) -> Bool[np.ndarray, "*k"]:
    """Whether body pixels belong to the face (between the ears, chin to hairline)."""
    y, z = canonical[..., 1], canonical[..., 2]
    inside = (y > _FACE_LOW) & (y < _FACE_HIGH) & (z > _FACE_FRONT)
    return np.asarray(inside & (region == Region.HEAD))


def carry_colors(
    picture: Float[np.ndarray, "n n c"], places: PhotoPlaces
) -> Float[np.ndarray, "n n c"]:
    """The photo's colours at each pixel's place, bilinear; zero where it has none."""
    moved = cv2.remap(
        picture.astype(np.float32),
        places.xy[..., 0],
        places.xy[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(moved.reshape(picture.shape) * places.valid[..., None])
