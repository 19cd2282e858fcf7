"""Poses as a fit to one photo misjudges them: right in the picture, wrong in depth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from backend.body.pose import BodyPose
from shared_protocol.skeleton import JOINT_INDEX, PARENTS

_SIDES = ("left", "right")
_TRUNK = ("spine1", "spine2")
_HEAD = ("neck", "head")
_LOOSE = ("ankle", "wrist")


@dataclass(frozen=True)
class FitErrors:
    """How wrong, where not said otherwise standard deviations.

    The figures follow fits of 24 evaluation people (seeds 20 to 22) by the detector's own depths: slopes
    are the share of a bone's unit vector that points at the camera.
    """

    thigh_kept: tuple[float, float] = (0.3, 0.4)
    """Mean and spread of the share of a thigh's slope that the fit finds: it closes most strides."""
    thigh: float = 0.06
    shin: tuple[float, float] = (0.05, 0.12)
    upper_arm: tuple[float, float] = (0.1, 0.26)
    forearm: tuple[float, float] = (0.0, 0.26)
    """Mean and spread of what a slope is off by."""
    turn: float = 4.5
    """Of hips and shoulders about the vertical, each, degrees."""
    tilt: float = 3.0
    head: float = 5.0
    loose: float = 5.0
    """Of hands and feet, degrees."""
    betas: float = 0.2
    transl: float = 0.006


def misjudge(
    pose: BodyPose,
    joints: Float[np.ndarray, "55 3"],
    axes: Float[np.ndarray, "3 3"],
    rng: np.random.Generator,
    errors: FitErrors | None = None,
) -> BodyPose:
    """A pose that looks the same to a camera: bones keep their direction in the picture, not in depth.

    Args:
        pose: the true one.
        joints: its joints, in the world.
        axes: rows are the camera's right, up and backwards (towards it).
        rng: where chance comes from.
        errors: how wrong.
    """
    errors = errors or FitErrors()
    seen = joints @ axes.T
    turned = _trunk_and_head(rng, errors)
    for side in _SIDES:
        kept = rng.normal(*errors.thigh_kept)
        for bone, end, mean, spread in (
            ("hip", "knee", 0.0, errors.thigh),
            ("knee", "ankle", *errors.shin),
            ("shoulder", "elbow", *errors.upper_arm),
            ("elbow", "wrist", *errors.forearm),
        ):
            start = JOINT_INDEX[f"{side}_{bone}"]
            along = seen[JOINT_INDEX[f"{side}_{end}"]] - seen[start]
            along = along / np.linalg.norm(along)
            slope = along[2] * (kept if bone == "hip" else 1.0) + rng.normal(mean, spread)
            turned[start] = _tip(along, slope)
        for name in _LOOSE:
            turned[JOINT_INDEX[f"{side}_{name}"]] = _random(rng, errors.loose)
    camera = Rotation.from_matrix(axes)
    turned = {j: camera.inv() * turn * camera for j, turn in turned.items()}
    return replace(
        pose,
        betas=pose.betas + rng.normal(0.0, errors.betas, pose.betas.shape),
        full_pose=_turned(pose.full_pose, turned),
        transl=pose.transl + rng.normal(0.0, errors.transl, 3),
    )


def _trunk_and_head(rng: np.random.Generator, errors: FitErrors) -> dict[int, Rotation]:
    hips, shoulders = rng.normal(0.0, errors.turn, 2)
    tilt = rng.normal(0.0, errors.tilt)
    turned = {}
    for k, name in enumerate(("pelvis", *_TRUNK, "spine3")):
        share = k / (len(_TRUNK) + 1)
        turn = hips + share * (shoulders - hips)
        turned[JOINT_INDEX[name]] = Rotation.from_euler("yx", (turn, tilt), degrees=True)
    looks = _random(rng, errors.head)
    for name in _HEAD:
        turned[JOINT_INDEX[name]] = looks
    return turned


def _random(rng: np.random.Generator, degrees: float) -> Rotation:
    return Rotation.from_rotvec(rng.normal(0.0, np.radians(degrees), 3))


def _tip(along: Float[np.ndarray, "3"], slope: float) -> Rotation:
    """The smallest rotation that gives a unit vector another slope towards the camera."""
    slope = float(np.clip(slope, -0.95, 0.95))
    flat = float(np.hypot(along[0], along[1]))
    if flat < 0.05:
        # It points at the camera: the picture has no direction to keep.
        return Rotation.identity()
    axis = np.cross(along, (0.0, 0.0, 1.0)) / flat
    return Rotation.from_rotvec((np.arcsin(slope) - np.arcsin(np.clip(along[2], -1, 1))) * axis)


def _turned(
    full_pose: Float[np.ndarray, "55 3"], turned: dict[int, Rotation]
) -> Float[np.ndarray, "55 3"]:
    """Local axis-angles after some joints' orientations in the world were turned.

    A joint that is not named goes with its parent.
    """
    before: list[Rotation] = []
    change: list[Rotation] = []
    local = Rotation.from_rotvec(full_pose)
    out = np.empty_like(full_pose)
    for j, parent in enumerate(PARENTS):
        root = parent < 0
        before.append(local[j] if root else before[parent] * local[j])
        change.append(turned.get(j, Rotation.identity() if root else change[parent]))
        after = change[j] * before[j]
        held = after if root else (change[parent] * before[parent]).inv() * after
        out[j] = held.as_rotvec()
    return out
