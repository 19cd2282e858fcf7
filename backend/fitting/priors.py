"""What a body does when nobody looks: a natural standing pose, its spread, and joint limits.

Angles are axis-angle components in the parent's frame at the T-pose (x to the person's left, y up, z
forward), radians. Left arm along +x: lowering it is -z, bending the elbow forward is -y, curling the
fingers -z. Right side: y and z change sign. The numbers are textbook ranges of motion, widened where
axis-angle components of a combined rotation leave the range of the single axes (shoulders, hips).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS

_Triple = tuple[float | int, float | int, float | int]


@dataclass(frozen=True)
class PosePrior:
    """Independent Gaussians around ``mean`` and hard-ish limits; all (55, 3), radians."""

    mean: Float[np.ndarray, "55 3"]
    sigma: Float[np.ndarray, "55 3"]
    lower: Float[np.ndarray, "55 3"]
    upper: Float[np.ndarray, "55 3"]


# joint: mean, sigma, lower, upper
_MIDDLE: dict[str, tuple[_Triple, _Triple, _Triple, _Triple]] = {
    "spine1": ((0, 0, 0), (0.15, 0.15, 0.12), (-0.35, -0.5, -0.4), (0.9, 0.5, 0.4)),
    "spine2": ((0, 0, 0), (0.12, 0.15, 0.12), (-0.3, -0.5, -0.4), (0.7, 0.5, 0.4)),
    "spine3": ((0, 0, 0), (0.12, 0.15, 0.12), (-0.3, -0.5, -0.4), (0.7, 0.5, 0.4)),
    "neck": ((0, 0, 0), (0.15, 0.25, 0.15), (-0.6, -0.9, -0.5), (0.6, 0.9, 0.5)),
    "head": ((0, 0, 0), (0.2, 0.3, 0.2), (-0.6, -0.9, -0.5), (0.6, 0.9, 0.5)),
}
_LEFT: dict[str, tuple[_Triple, _Triple, _Triple, _Triple]] = {
    "hip": ((0, 0, 0.03), (0.5, 0.3, 0.25), (-2.3, -1.0, -0.7), (0.7, 1.0, 1.2)),
    "knee": ((0.05, 0, 0), (0.5, 0.08, 0.05), (-0.05, -0.3, -0.15), (2.6, 0.3, 0.15)),
    "ankle": ((0, 0, 0), (0.25, 0.2, 0.12), (-0.6, -0.5, -0.4), (0.8, 0.5, 0.4)),
    "foot": ((0, 0, 0), (0.06, 0.03, 0.03), (-0.5, -0.1, -0.1), (0.3, 0.1, 0.1)),
    "collar": ((0, 0, -0.03), (0.06, 0.12, 0.12), (-0.3, -0.4, -0.3), (0.3, 0.4, 0.6)),
    "shoulder": ((0, -0.05, -1.25), (0.5, 0.6, 0.6), (-1.9, -2.3, -1.8), (1.9, 1.2, 1.6)),
    "elbow": ((0, -0.2, 0), (0.5, 0.6, 0.08), (-1.4, -2.6, -0.25), (1.4, 0.05, 0.25)),
    "wrist": ((0, 0, 0), (0.3, 0.2, 0.3), (-0.9, -0.6, -1.2), (0.9, 0.6, 1.2)),
}
# Relaxed fingers are slightly curled, more at the middle joint.
_LEFT_FINGER: tuple[tuple[_Triple, _Triple, _Triple, _Triple], ...] = (
    ((0, 0, -0.30), (0.06, 0.12, 0.35), (-0.15, -0.35, -1.6), (0.15, 0.35, 0.35)),
    ((0, 0, -0.40), (0.03, 0.03, 0.35), (-0.08, -0.08, -1.9), (0.08, 0.08, 0.05)),
    ((0, 0, -0.25), (0.03, 0.03, 0.25), (-0.08, -0.08, -1.4), (0.08, 0.08, 0.10)),
)
_LEFT_THUMB: tuple[tuple[_Triple, _Triple, _Triple, _Triple], ...] = (
    ((0.1, 0, 0), (0.25, 0.25, 0.25), (-0.6, -0.8, -0.8), (0.9, 0.8, 0.6)),
    ((0, 0.1, 0), (0.08, 0.25, 0.15), (-0.2, -0.4, -0.4), (0.2, 0.9, 0.4)),
    ((0, 0.15, 0), (0.05, 0.25, 0.10), (-0.1, -0.3, -0.3), (0.1, 1.2, 0.3)),
)


def natural_pose_prior() -> PosePrior:
    """Standing upright, arms hanging a little away from the body, hands relaxed."""
    mean, lower, upper = (np.zeros((N_JOINTS, 3)) for _ in range(3))
    # The pelvis turns freely (its lean has a term of its own); jaw and eyes stay.
    sigma = np.full((N_JOINTS, 3), 0.05)
    lower[:], upper[:] = -0.2, 0.2
    sigma[0], lower[0], upper[0] = 1e3, -1e3, 1e3

    def put(name: str, spec: tuple[_Triple, _Triple, _Triple, _Triple]) -> None:
        j = JOINT_INDEX[name]
        mean[j], sigma[j], lower[j], upper[j] = spec

    def put_both(name: str, spec: tuple[_Triple, _Triple, _Triple, _Triple]) -> None:
        put(f"left_{name}", spec)
        put(f"right_{name}", _mirror(spec))

    for name, spec in _MIDDLE.items():
        put(name, spec)
    for name, spec in _LEFT.items():
        put_both(name, spec)
    for k in range(3):
        for finger in ("index", "middle", "ring", "pinky"):
            put_both(f"{finger}{k + 1}", _LEFT_FINGER[k])
        put_both(f"thumb{k + 1}", _LEFT_THUMB[k])
    return PosePrior(mean, sigma, lower, upper)


def _mirror(
    spec: tuple[_Triple, _Triple, _Triple, _Triple],
) -> tuple[_Triple, _Triple, _Triple, _Triple]:
    mean, sigma, lower, upper = spec
    flipped_lower = (lower[0], -upper[1], -upper[2])
    flipped_upper = (upper[0], -lower[1], -lower[2])
    return (mean[0], -mean[1], -mean[2]), sigma, flipped_lower, flipped_upper
