"""Where a fit starts: the torso's heading and scale, and two candidate poses of the limbs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from backend.fitting.evidence import Evidence
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.landmark_map import REFERENCE_STATURE, offsets
from backend.fitting.objective import State
from backend.fitting.priors import PosePrior, natural_pose_prior
from shared_protocol.skeleton import JOINT_INDEX, PARENTS

# Limbs whose direction the world landmarks give: joint that turns, its child, two landmarks.
_LIMBS = (
    ("left_shoulder", "left_elbow", 11, 13),
    ("right_shoulder", "right_elbow", 12, 14),
    ("left_elbow", "left_wrist", 13, 15),
    ("right_elbow", "right_wrist", 14, 16),
    ("left_hip", "left_knee", 23, 25),
    ("right_hip", "right_knee", 24, 26),
    ("left_knee", "left_ankle", 25, 27),
    ("right_knee", "right_ankle", 26, 28),
)


def natural_start(body: ArticulatedBody, evidence: Evidence, prior: PosePrior) -> State:
    """The natural pose, turned to the heading of shoulders and hips, at the landmarks' scale."""
    pose = prior.mean.copy()
    pose[0] = (0.0, heading(evidence.body_3d, evidence.landmark_weight), 0.0)
    return align_camera(body, evidence, pose, np.zeros(body.n_betas))


_ARMS = ((11, 13, 15), (12, 14, 16))
# A limb's landmarks below its root: turning their depth round gives the other pose that looks alike.
_DEPTH_TWINS = ((11, (13, 15)), (12, (14, 16)), (23, (25, 27)), (24, (26, 28)))


def candidate_starts(body: ArticulatedBody, evidence: Evidence, natural: State) -> list[State]:
    """Poses worth starting from: natural, as the world landmarks say, and each limb's depth reversed.

    In an orthographic picture a limb towards the camera and one away from it look the same; only the
    bend of elbows and knees, the hands and the limits of the joints tell, so all are tried.
    """
    shown = [evidence]
    for root, limb in _DEPTH_TWINS:
        points = evidence.body_3d.copy()
        points[list(limb), 2] = 2 * points[root, 2] - points[list(limb), 2]
        shown.append(replace(evidence, body_3d=points))
    shown.append(replace(evidence, body_3d=upper_arms_beside(evidence.body_3d)))
    poses = [limbs_from_directions(body, one, natural) for one in shown]
    return [natural, *(align_camera(body, evidence, pose, natural.betas) for pose in poses)]


def upper_arms_beside(points: Float[np.ndarray, "33 3"]) -> Float[np.ndarray, "33 3"]:
    """World landmarks with the elbows as deep as the shoulders and the forearms as they are.

    Forearms that point at the camera hide their elbows, whose depth is then a guess.
    """
    moved = points.copy()
    for shoulder, elbow, wrist in _ARMS:
        moved[[elbow, wrist], 2] += points[shoulder, 2] - points[elbow, 2]
    return moved


def heading(points: Float[np.ndarray, "33 3"], weight: Float[np.ndarray, "33"]) -> float:
    """Rotation about y (radians) of the trunk: 0 faces the camera, positive to the person's left."""
    across = np.zeros(3)
    for left, right in ((11, 12), (23, 24)):
        across += min(weight[left], weight[right]) * (points[left] - points[right])
    return float(np.arctan2(-across[2], across[0])) if across.any() else 0.0


def limbs_from_directions(
    body: ArticulatedBody, evidence: Evidence, start: State
) -> Float[np.ndarray, "55 3"]:
    """Turn each seen limb bone the shortest way to the direction the world landmarks show."""
    pose = start.full_pose.copy()
    world: dict[int, Rotation] = {}
    for joint, parent in enumerate(PARENTS[:22]):
        above = world[parent] if parent >= 0 else Rotation.identity()
        for name, child, first, second in _LIMBS:
            seen = min(evidence.landmark_weight[[first, second]]) >= 1
            if JOINT_INDEX[name] != joint or not seen:
                continue
            bone = body.joints[JOINT_INDEX[child]] - body.joints[joint]
            target = above.inv().apply(evidence.body_3d[second] - evidence.body_3d[first])
            pose[joint] = shortest_turn(bone, target)
        world[joint] = above * Rotation.from_rotvec(pose[joint])
    return pose


# World landmarks bend standing people's hips and knees by this much for no reason (radians).
_BEND_NOISE = 0.3
_STRAIGHT_SIGMA = 0.15
_REST_SIGMA = 0.12


def legs_as_seen(
    prior: PosePrior, limbs: Float[np.ndarray, "55 3"], weight: Float[np.ndarray, "33"]
) -> PosePrior:
    """Expect the bend of hips and knees that the world landmarks show, and nothing looser.

    A camera held high shortens the legs; without this (and the objective's stride) the fit would explain
    that by bent knees. Bends below the noise of the landmarks count as straight.
    """
    mean, sigma = prior.mean.copy(), prior.sigma.copy()
    for name, landmarks in (
        ("left_hip", (23, 25)),
        ("right_hip", (24, 26)),
        ("left_knee", (25, 27)),
        ("right_knee", (26, 28)),
    ):
        if weight[list(landmarks)].min() < 1:
            continue
        joint = JOINT_INDEX[name]
        seen = limbs[joint, 0] if "hip" in name else float(np.linalg.norm(limbs[joint]))
        bend = np.sign(seen) * max(abs(seen) - _BEND_NOISE, 0.0)
        mean[joint, 0] += bend
        sigma[joint, 0] = _STRAIGHT_SIGMA + 0.3 * abs(bend)
    return replace(prior, mean=mean, sigma=sigma)


def unseen_limbs_at_rest(prior: PosePrior, resting_joints: tuple[str, ...]) -> PosePrior:
    """Hold limbs that the photo does not show close to the natural pose."""
    sigma = prior.sigma.copy()
    joints = [JOINT_INDEX[name] for name in resting_joints]
    sigma[joints] = np.minimum(sigma[joints], _REST_SIGMA)
    return replace(prior, sigma=sigma)


def unseen_legs_upright(
    full_pose: Float[np.ndarray, "55 3"], resting_joints: tuple[str, ...], locked: frozenset[str]
) -> Float[np.ndarray, "55 3"]:
    """Let legs that the photo does not show hang from a leaning trunk as they do when one stands.

    A seated or leaning sitter tilts the pelvis; legs that merely followed it would point sideways. They
    keep the pelvis's turn about the vertical and give up its tilt.
    """
    pose = full_pose.copy()
    pelvis = Rotation.from_rotvec(full_pose[0])
    _, y, _, w = pelvis.as_quat()
    heading = Rotation.from_quat([0.0, y, 0.0, w]) if abs(y) + abs(w) > 1e-6 else pelvis
    for name in ("left_hip", "right_hip"):
        if name in resting_joints and name not in locked:
            joint = JOINT_INDEX[name]
            hanging = heading * Rotation.from_rotvec(natural_pose_prior().mean[joint])
            pose[joint] = (pelvis.inv() * hanging).as_rotvec()
    return pose


def shortest_turn(
    start: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"]:
    """Axis-angle (radians) of the smallest rotation from one direction to another."""
    a, b = start / np.linalg.norm(start), target / max(float(np.linalg.norm(target)), 1e-9)
    axis, cosine = np.cross(a, b), float(np.clip(a @ b, -1, 1))
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        # Opposite directions: any perpendicular axis will do.
        other = np.cross(a, [0.0, 0.0, 1.0] if abs(a[2]) < 0.9 else [1.0, 0.0, 0.0])
        return np.zeros(3) if cosine > 0 else np.pi * other / np.linalg.norm(other)
    turn: np.ndarray = axis / sine * np.arctan2(sine, cosine)
    return turn


def align_camera(
    body: ArticulatedBody,
    evidence: Evidence,
    pose: Float[np.ndarray, "55 3"],
    betas: Float[np.ndarray, "b"],
) -> State:
    """The camera that puts a given pose's landmarks nearest to the seen ones (weighted least squares)."""
    joints = [anchor.joint for anchor in evidence.anchors]
    points = body.joint_points(joints, offsets(evidence.anchors), REFERENCE_STATURE)
    flat = body.place(body.articulate(pose, betas), points)[:, :2] * [1.0, -1.0]
    weight = 1 / evidence.sigma**2
    weight = weight / weight.sum()
    center, target = weight @ flat, weight @ evidence.pixels
    around, seen = flat - center, evidence.pixels - target
    scale = float(weight @ (around * seen).sum(1) / max(weight @ (around**2).sum(1), 1e-12))
    # A start that is upside down would give a negative size; the landmarks' own scale stands then.
    scale = scale if scale > 0.3 * evidence.pixels_per_metre else evidence.pixels_per_metre
    return State(pose, betas, float(np.log(scale)), target - scale * center)
