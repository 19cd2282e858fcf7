"""What perception knows of a photo."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

_SIDES = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((k, k + 1) for k in range(11, 32, 2)))
OTHER_SIDE = np.arange(33)
"""Index of each of MediaPipe's body landmarks on the person's other side; its own in the middle."""
for _left, _right in _SIDES:
    OTHER_SIDE[[_left, _right]] = _right, _left


@dataclass(frozen=True)
class Photo:
    """A photo as float sRGB in [0, 1], upright (EXIF applied), longest side at most 2048 px.

    ``matte`` is the picture's own alpha channel when it has a meaningful one.
    """

    rgb: Float[np.ndarray, "h w 3"]
    name: str
    digest: str
    """SHA-256 of the file, hexadecimal: names checkpoints and results."""
    matte: Float[np.ndarray, "h w"] | None = None
    notes: tuple[str, ...] = ()
    """What was done on loading that a user should know ("greyscale", "scaled from 50 MP", ...)."""
    source_size: tuple[int, int] | None = None
    """Width and height of the file itself, upright, before any scaling; None without a file."""


@dataclass(frozen=True)
class Landmarks:
    """MediaPipe landmarks of one person.

    2D points are photo pixels (see geometry.frames). 3D points are metres in world-frame axes (x =
    the picture's right, which is the person's left when they face the camera; y up; z towards the
    camera).
    """

    body: Float[np.ndarray, "33 2"]
    body_3d: Float[np.ndarray, "33 3"]
    """Relative to the middle of the hips."""
    visibility: Float[np.ndarray, "33"]
    """0..1; below 0.5 the point is a guess (hidden, or outside the photo)."""
    left_hand: Float[np.ndarray, "21 2"] | None = None
    left_hand_3d: Float[np.ndarray, "21 3"] | None = None
    """Metres relative to the wrist, up to the model's own hand size."""
    right_hand: Float[np.ndarray, "21 2"] | None = None
    right_hand_3d: Float[np.ndarray, "21 3"] | None = None
    face: Float[np.ndarray, "478 2"] | None = None
    face_3d: Float[np.ndarray, "478 3"] | None = None
    """Pixels along the world's axes (y up, z towards the camera), relative to the nose tip."""


@dataclass(frozen=True)
class Subject:
    """The person in the photo, all maps at the photo's size."""

    photo: Photo
    mask: Float[np.ndarray, "h w"]
    """Soft silhouette, 0..1."""
    regions: UInt8[np.ndarray, "h w"]
    """Values of :class:`backend.body.model.Region`; background outside the silhouette."""
    landmarks: Landmarks
    caption: str
    providers: dict[str, str] = field(default_factory=dict)
    """Stage name -> "provider: why"."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class NormalMaps:
    """Front and back normals of the clothed person on the square crop, row 0 on top.

    World-frame unit vectors (not flipped for the back view). The back map is the picture an
    orthographic camera at azimuth 180 sees. ``*_weight`` in [0, 1] says how far a pixel may be
    trusted.
    """

    front: Float[np.ndarray, "n n 3"]
    back: Float[np.ndarray, "n n 3"]
    front_weight: Float[np.ndarray, "n n"]
    back_weight: Float[np.ndarray, "n n"]
    provider: str
    front_from_body: bool = False
    """True where the map only repeats the fitted body, which knows nothing of loose clothing."""
    back_from_body: bool = False
