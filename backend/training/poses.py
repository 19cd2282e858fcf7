"""Natural standing and walking SMPL-X poses, sampled."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS

_SIDES = (("left", 1.0), ("right", -1.0))


def sample_pose(
    rng: np.random.Generator, *, calm: bool, turn: float = 0.0
) -> Float[np.ndarray, "55 3"]:
    """A full pose (axis-angle, radians) around relaxed stances.

    Args:
        rng: where chance comes from.
        calm: legs nearly straight and together, as a skirt or a coat allows.
        turn: standard deviation (radians) of the whole body's turn about the vertical.
    """
    pose = np.zeros((N_JOINTS, 3))

    def put(joint: str, x: float, y: float, z: float) -> None:
        pose[JOINT_INDEX[joint]] += (x, y, z)

    stance = rng.choice(["hanging", "loose", "akimbo", "raised"], p=[0.55, 0.25, 0.12, 0.08])
    stride = rng.normal(0.0, 0.08 if calm else 0.22)
    for side, sign in _SIDES:
        kind = stance if stance != "raised" or rng.random() < 0.5 else "hanging"
        drop, bend, inward = _arm(rng, str(kind))
        put(f"{side}_collar", 0.0, 0.0, -sign * 0.08)
        forward = rng.normal(0.0, 0.12) - sign * 0.8 * stride
        put(f"{side}_shoulder", forward, -sign * inward, -sign * drop)
        put(f"{side}_elbow", 0.0, -sign * bend, 0.0)
        put(f"{side}_wrist", *rng.normal(0.0, 0.12, 3))
        hip = sign * stride + rng.normal(0.0, 0.02)
        spread = rng.normal(0.05, 0.03) if calm else rng.normal(0.07, 0.06)
        put(f"{side}_hip", -hip, sign * rng.normal(0.08, 0.08), sign * spread)
        knee = abs(rng.normal(0.0, 0.05 if calm else 0.12)) + max(0.0, hip) * 0.5
        put(f"{side}_knee", knee, 0.0, 0.0)
        put(f"{side}_ankle", hip - knee, 0.0, -sign * spread)
        curl = abs(rng.normal(0.3, 0.2))
        for finger in ("index", "middle", "pinky", "ring"):
            for k, share in ((1, 1.0), (2, 1.1), (3, 0.7)):
                put(f"{side}_{finger}{k}", 0.0, 0.0, -sign * curl * share)
        put(f"{side}_thumb1", 0.0, -sign * rng.uniform(0.0, 0.35), 0.0)
    for joint, spread in (("spine1", 0.04), ("spine2", 0.04), ("spine3", 0.03), ("neck", 0.06)):
        put(joint, *(rng.normal(0.0, spread, 3) * (1.0, 1.4, 0.6)))
    put("head", *(rng.normal(0.0, 0.1, 3) * (1.0, 1.6, 0.6)))
    put("pelvis", 0.0, rng.normal(0.0, turn) if turn else 0.0, 0.0)
    return pose


def _arm(rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
    """Radians: how far below the horizon, how bent the elbow, how far forward."""
    if kind == "hanging":
        return rng.uniform(1.05, 1.3), abs(rng.normal(0.15, 0.2)), rng.normal(0.05, 0.08)
    if kind == "loose":
        return rng.uniform(0.65, 1.1), abs(rng.normal(0.35, 0.3)), rng.normal(0.1, 0.15)
    if kind == "akimbo":
        return rng.uniform(0.75, 0.95), rng.uniform(1.2, 1.6), rng.uniform(-0.35, -0.1)
    return rng.uniform(-0.1, 0.5), abs(rng.normal(0.4, 0.4)), rng.normal(0.2, 0.2)
