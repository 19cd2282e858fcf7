"""From a Subject's landmarks to what a fit may believe: anchors, pixels, depths and their noise."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backend.errors import HumanRefError
from backend.fitting.landmark_map import (
    BODY_ANCHORS,
    BODY_FACE_LANDMARKS,
    DEPTH_PAIRS,
    FACE_ANCHORS,
    JOINT_OF_LANDMARK,
    SHOWN_BY,
    Anchor,
    hand_anchors,
)
from backend.fitting.lifting import BONE_LANDMARKS, Lifter, Slopes
from backend.perception.subject import Landmarks

TRUSTED_VISIBILITY = 0.5
# Below trust but above this a guess inside the photo still steers, four times weaker.
_HINT_VISIBILITY = 0.2
_HINT_SIGMA = 4.0
# Landmarks of lines across the body, and of limbs from their roots outwards.
_ACROSS = ((24, 23), (12, 11))
_CHAINS = (
    *((23, 25, 27, 29), (27, 31), (24, 26, 28, 30), (28, 32)),
    *((11, 13, 15, 17), (15, 19), (15, 21), (12, 14, 16, 18), (16, 20), (16, 22)),
)
# Sharper than this no detector is on a photo, in pixels.
_PIXEL_FLOOR = 0.8
# Faces and hands differ from person to person by more than the detector's noise, in metres.
_FACE_SIGMA, _HAND_SIGMA = 0.010, 0.012
_BODY_DEPTH_SIGMA, _FACE_DEPTH_SIGMA, _HAND_DEPTH_SIGMA = 0.10, 0.012, 0.08
_MAX_PITCH = np.radians(20.0)
_MIN_LANDMARKS = 4
# Lean (sine) and ankle depth (m) that world landmarks give to people who stand straight.
_LEAN_NOISE, _ANKLE_NOISE = 0.25, 0.15


@dataclass(frozen=True)
class Evidence:
    """Landmarks a fit believes, in photo pixels; depths in pixels too (towards the camera)."""

    anchors: tuple[Anchor, ...]
    pixels: Float[np.ndarray, "m 2"]
    sigma: Float[np.ndarray, "m"]
    trusted: tuple[bool, ...]
    """False for hints: hidden landmarks inside the photo."""
    group: tuple[str, ...]
    """``body``, ``face``, ``left_hand`` or ``right_hand``, one an anchor."""
    depth_pairs: Int[np.ndarray, "p 2"]
    """Indices into ``anchors``: depth of the second minus depth of the first is observed."""
    depth: Float[np.ndarray, "p"]
    depth_sigma: Float[np.ndarray, "p"]
    pixels_per_metre: float
    """First guess, from the landmarks' own metric size."""
    body_3d: Float[np.ndarray, "33 3"]
    """World landmarks with the camera's pitch taken out, metres."""
    landmark_weight: Float[np.ndarray, "33"]
    """1 trusted, 0 unseen, hints between."""
    slopes: Slopes | None
    """What lifting says of the limbs' depth; it then stands for the detector's own."""
    lean: float
    """z of the trunk's upward unit vector; 0 unless the landmarks clearly show a bow."""
    ankle_depth: float
    """Mean z of the ankles relative to the pelvis, metres; 0 unless they clearly are elsewhere."""
    missing_joints: tuple[str, ...]
    """Joints whose own landmark is not seen."""
    resting_joints: tuple[str, ...]
    """Joints that turn nothing seen: they keep the natural pose, and so does all below them."""
    warnings: tuple[str, ...]


def gather_evidence(
    landmarks: Landmarks,
    width: int,
    height: int,
    lifter: Lifter | None = None,
    cues: Float[np.ndarray, "29 152"] | None = None,
) -> Evidence:
    """Keep what can be believed.

    Args:
        landmarks: as detected.
        width: of the photo, pixels.
        height: of the photo, pixels.
        lifter: tells depth better than the landmarks do; None takes them at their word.
        cues: for the lifter, of :func:`backend.fitting.picture_cues.picture_cues`.

    Raises:
        HumanRefError: ``person_not_visible`` if fewer than four landmarks are seen.
    """
    weight = landmark_weights(landmarks, width, height)
    if (weight >= 1).sum() < _MIN_LANDMARKS:
        raise HumanRefError(
            "person_not_visible",
            "Too little of the person can be seen to fit a body.",
            "Choose a photo that shows at least head and shoulders, or bring a pose with --pose.",
        )
    body_3d = without_camera_pitch(landmarks.body_3d.astype(np.float64), weight)
    flat = landmarks.body.astype(np.float64)
    ppm = _pixels_per_metre(flat, body_3d, weight)
    slopes = None
    if lifter is not None:
        slopes = lifter.slopes(flat, body_3d, weight >= 1, cues)
    known = set()
    if slopes is not None:
        body_3d = with_slopes(body_3d, slopes)
        known = {
            frozenset(pair)
            for pair, sigma in zip(BONE_LANDMARKS, slopes.sigma, strict=True)
            if np.isfinite(sigma)
        }
    builder = _Builder(ppm)
    face = _believable_face(landmarks, ppm)
    hands = {side: _believable_hand(landmarks, side, ppm) for side in ("left", "right")}
    replaced = set(BODY_FACE_LANDMARKS) if face else set()
    if hands["left"]:
        replaced |= {17, 19, 21}
    if hands["right"]:
        replaced |= {18, 20, 22}
    place: dict[int, int] = {}
    for anchor in BODY_ANCHORS:
        w = float(weight[anchor.landmark])
        if w > 0 and anchor.landmark not in replaced:
            place[anchor.landmark] = len(builder.anchors)
            builder.add(anchor, landmarks.body[anchor.landmark], anchor.sigma / w, "body", w >= 1)
    for a, b in DEPTH_PAIRS:
        if a in place and b in place and frozenset((a, b)) not in known:
            sigma = _BODY_DEPTH_SIGMA / min(weight[a], weight[b])
            builder.add_depth(place[a], place[b], (body_3d[b, 2] - body_3d[a, 2]) * ppm, sigma)
    if face:
        _add_group(builder, "face", FACE_ANCHORS, *face, _FACE_SIGMA, _FACE_DEPTH_SIGMA)
    for side, hand in hands.items():
        if hand:
            group, anchors = f"{side}_hand", hand_anchors(side)
            _add_group(builder, group, anchors, *hand, _HAND_SIGMA, _HAND_DEPTH_SIGMA)
    missing = tuple(
        name
        for index, name in JOINT_OF_LANDMARK.items()
        if weight[index] < 1 and not (index == 0 and face)
    )
    warnings = _warnings(landmarks, missing, hands, face)
    return builder.build(body_3d, weight, slopes, missing, warnings)


def with_slopes(points: Float[np.ndarray, "33 3"], slopes: Slopes) -> Float[np.ndarray, "33 3"]:
    """World landmarks whose limbs keep length and direction in the picture, with lifted depths."""
    moved = points.copy()
    told = {}
    for (start, end), slope, sigma in zip(BONE_LANDMARKS, slopes.mean, slopes.sigma, strict=True):
        if np.isfinite(sigma):
            told[start, end] = float(np.clip(slope, -0.95, 0.95))
    for (right, left), slope in told.items():
        if (right, left) in _ACROSS:
            middle = (points[right] + points[left]) / 2
            half = _sloped(points[left] - points[right], slope) / 2
            moved[right], moved[left] = middle - half, middle + half
    for chain in _CHAINS:
        for start, end in itertools.pairwise(chain):
            bone = points[end] - points[start]
            if (start, end) in told:
                bone = _sloped(bone, told[start, end])
            moved[end] = moved[start] + bone
    return moved


def _sloped(bone: Float[np.ndarray, "3"], slope: float) -> Float[np.ndarray, "3"]:
    length, flat = float(np.linalg.norm(bone)), float(np.hypot(bone[0], bone[1]))
    if flat < 1e-6:
        return bone
    return length * np.array([*(bone[:2] / flat * np.sqrt(1.0 - slope**2)), slope])


def landmark_weights(landmarks: Landmarks, width: int, height: int) -> Float[np.ndarray, "33"]:
    """1 for seen landmarks, 1/4 for hidden ones inside the photo, 0 for the rest."""
    margin = 0.02 * max(width, height)
    inside = (landmarks.body > -margin).all(1) & (
        landmarks.body < np.array([width + margin, height + margin])
    ).all(1)
    seen = inside & (landmarks.visibility >= TRUSTED_VISIBILITY)
    hint = inside & (landmarks.visibility >= _HINT_VISIBILITY) & ~seen
    return np.where(seen, 1.0, np.where(hint, 1 / _HINT_SIGMA, 0.0))


def without_camera_pitch(
    points: Float[np.ndarray, "33 3"], weight: Float[np.ndarray, "33"]
) -> Float[np.ndarray, "33 3"]:
    """Turn world landmarks about x so that a person who stands, stands upright.

    A photographer who looks down makes the whole person lean; scaled orthography cannot show that,
    so up to 20 degrees of it are taken out (more is a real bow, or someone lying down).
    """
    shoulders, hips = points[[11, 12]].mean(0), points[[23, 24]].mean(0)
    legs_seen = weight[[25, 26, 27, 28]].min() >= 1
    up = shoulders - (points[[27, 28]].mean(0) if legs_seen else hips)
    pitch = float(np.clip(np.arctan2(up[2], up[1]), -_MAX_PITCH, _MAX_PITCH))
    if up[1] <= 0:
        return points
    c, s = np.cos(pitch), np.sin(pitch)
    # Rotation about x that takes (0, cos, sin) back to (0, 1, 0).
    upright: np.ndarray = points @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]).T
    return upright


def _lean(points: Float[np.ndarray, "33 3"]) -> float:
    up = points[[11, 12]].mean(0) - points[[23, 24]].mean(0)
    return _beyond(float(up[2] / max(np.linalg.norm(up), 1e-9)), _LEAN_NOISE)


def _ankle_depth(points: Float[np.ndarray, "33 3"], weight: Float[np.ndarray, "33"]) -> float:
    if weight[[27, 28]].min() < 1:
        return 0.0
    return _beyond(float(points[[27, 28], 2].mean() - points[[23, 24], 2].mean()), _ANKLE_NOISE)


def _beyond(value: float, noise: float) -> float:
    return float(np.sign(value)) * max(abs(value) - noise, 0.0)


def _pixels_per_metre(
    pixels: np.ndarray, points: np.ndarray, weight: Float[np.ndarray, "33"]
) -> float:
    w = weight / weight.sum()
    flat = points[:, :2] - w @ points[:, :2]
    flat[:, 1] *= -1
    around = pixels - w @ pixels
    return float(np.sqrt((w @ (around**2).sum(1)) / max(w @ (flat**2).sum(1), 1e-9)))


def _believable_face(
    landmarks: Landmarks, ppm: float
) -> tuple[np.ndarray, np.ndarray | None] | None:
    if landmarks.face is None:
        return None
    if landmarks.visibility[0] >= TRUSTED_VISIBILITY:
        apart = np.linalg.norm(landmarks.face[4] - landmarks.body[0])
        if apart > 0.15 * ppm:
            return None
    return landmarks.face, landmarks.face_3d


def _believable_hand(
    landmarks: Landmarks, side: str, ppm: float
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """A hand that hangs on its own wrist and is as large as a hand; None for anything else."""
    points = landmarks.left_hand if side == "left" else landmarks.right_hand
    depth = landmarks.left_hand_3d if side == "left" else landmarks.right_hand_3d
    if points is None:
        return None
    wrist = landmarks.body[15 if side == "left" else 16]
    extent = float(np.linalg.norm(points - points[0], axis=1).max())
    if np.linalg.norm(points[0] - wrist) > 0.12 * ppm or not 0.04 * ppm < extent < 0.3 * ppm:
        return None
    return points, depth


def _add_group(
    builder: _Builder,
    group: str,
    anchors: tuple[Anchor, ...],
    points: np.ndarray,
    points_3d: np.ndarray | None,
    sigma: float,
    depth_sigma: float,
) -> None:
    first = len(builder.anchors)
    for anchor in anchors:
        builder.add(anchor, points[anchor.landmark], sigma, group, True)
    if points_3d is None:
        return
    index = [anchor.landmark for anchor in anchors]
    flat, deep = points[index].astype(np.float64), points_3d[index].astype(np.float64)
    # The detectors' units differ; the picture's own spread says how many pixels one of them is.
    spread = np.sqrt(((deep[:, :2] - deep[:, :2].mean(0)) ** 2).sum())
    unit = np.sqrt(((flat - flat.mean(0)) ** 2).sum()) / max(spread, 1e-9)
    for k in range(1, len(index)):
        builder.add_depth(first, first + k, (deep[k, 2] - deep[0, 2]) * unit, depth_sigma)


def _warnings(
    landmarks: Landmarks,
    missing: tuple[str, ...],
    hands: dict[str, tuple[np.ndarray, np.ndarray | None] | None],
    face: tuple[np.ndarray, np.ndarray | None] | None,
) -> tuple[str, ...]:
    found = []
    if missing:
        found.append(
            "Not seen in the photo, so left in a natural standing pose: "
            + ", ".join(name.replace("_", " ") for name in missing)
            + "."
        )
    for side, hand in hands.items():
        if hand is None and f"{side}_wrist" not in missing:
            found.append(f"The {side} hand's fingers were not found: the hand is relaxed.")
    if landmarks.face is not None and face is None:
        found.append("A face was found away from the head and was not used.")
    return tuple(found)


class _Builder:
    """Collects anchors; sigmas come in metres and leave in pixels."""

    def __init__(self, ppm: float) -> None:
        self.ppm = ppm
        self.anchors: list[Anchor] = []
        self._pixels: list[np.ndarray] = []
        self._sigma: list[float] = []
        self._trusted: list[bool] = []
        self._group: list[str] = []
        self._pairs: list[tuple[int, int]] = []
        self._depth: list[float] = []
        self._depth_sigma: list[float] = []

    def add(
        self, anchor: Anchor, pixel: np.ndarray, sigma: float, group: str, trusted: bool
    ) -> None:
        self.anchors.append(anchor)
        self._pixels.append(np.asarray(pixel, np.float64))
        self._sigma.append(max(float(sigma) * self.ppm, _PIXEL_FLOOR))
        self._trusted.append(bool(trusted))
        self._group.append(group)

    def add_depth(self, first: int, second: int, pixels: float, sigma: float) -> None:
        self._pairs.append((first, second))
        self._depth.append(float(pixels))
        self._depth_sigma.append(float(sigma) * self.ppm)

    def build(
        self,
        body_3d: np.ndarray,
        weight: np.ndarray,
        slopes: Slopes | None,
        missing: tuple[str, ...],
        warnings: tuple[str, ...],
    ) -> Evidence:
        return Evidence(
            anchors=tuple(self.anchors),
            pixels=np.array(self._pixels).reshape(-1, 2),
            sigma=np.array(self._sigma),
            trusted=tuple(self._trusted),
            group=tuple(self._group),
            depth_pairs=np.array(self._pairs, np.int64).reshape(-1, 2),
            depth=np.array(self._depth, np.float64),
            depth_sigma=np.array(self._depth_sigma, np.float64),
            pixels_per_metre=self.ppm,
            body_3d=body_3d,
            landmark_weight=weight,
            slopes=slopes,
            lean=_lean(body_3d),
            ankle_depth=_ankle_depth(body_3d, weight),
            missing_joints=missing,
            resting_joints=tuple(
                name for name, shown in SHOWN_BY.items() if weight[list(shown)].max() < 1
            ),
            warnings=warnings,
        )
