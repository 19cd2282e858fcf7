"""Points on a posed body and their exact derivatives, in numpy.

The fit moves a few hundred points (landmarks, outline samples), not the whole skin, and needs their
Jacobian with respect to every pose angle and shape coefficient. Written out by hand this costs a few
milliseconds; :class:`backend.body.model.BodyModel` under autograd is the readable twin the tests
compare with. Pose-dependent corrections of the skin (SMPL-X has some, millimetres) are left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from backend.body.model import BodyModel
from shared_protocol.skeleton import JOINT_NAMES, N_JOINTS, PARENTS

MAX_BETAS = 16
_SMALL_ANGLE = 1e-4


def split_betas(
    betas: Float[np.ndarray, "b"], n_betas: int
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "t"]]:
    """The first ``n_betas`` coefficients, padded with zeros, and the rest."""
    head = np.zeros(n_betas)
    head[: len(betas)] = betas[:n_betas]
    return head, betas[n_betas:].astype(np.float64)


def skew(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3 3"]:
    """Matrices K with K @ v = vector x v."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def rotation_and_left_jacobian(
    axis_angle: Float[np.ndarray, "*n 3"],
) -> tuple[Float[np.ndarray, "*n 3 3"], Float[np.ndarray, "*n 3 3"]]:
    """R = exp([a]) and the left Jacobian L of SO(3): exp([a + da]) = exp([L da]) exp([a]), radians."""
    angle = np.linalg.norm(axis_angle, axis=-1)[..., None, None]
    small = angle < _SMALL_ANGLE
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1 - angle**2 / 6, np.sin(safe) / safe)
    second = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    third = np.where(small, 1 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    cross = skew(axis_angle)
    square = cross @ cross
    eye = np.eye(3)
    return eye + first * cross + second * square, eye + second * cross + third * square


def descendants(parents: Sequence[int] = PARENTS) -> Bool[np.ndarray, "j j"]:
    """[k, j] is True where joint j moves when joint k turns (j = k included)."""
    below = np.eye(len(parents), dtype=bool)
    for joint in range(len(parents) - 1, 0, -1):
        below[parents[joint]] |= below[joint]
    return below


@dataclass(frozen=True)
class Points:
    """Points bound to a body: rest position linear in betas, skinned with ``weights``."""

    rest: Float[np.ndarray, "m 3"]
    """Metres, T-pose of zero betas."""
    shape_dirs: Float[np.ndarray, "m 3 b"]
    weights: Float[np.ndarray, "m 55"]

    @staticmethod
    def join(parts: Sequence[Points]) -> Points:
        """All points of ``parts`` in their order."""
        return Points(
            np.concatenate([p.rest for p in parts]),
            np.concatenate([p.shape_dirs for p in parts]),
            np.concatenate([p.weights for p in parts]),
        )


@dataclass(frozen=True)
class Articulation:
    """Joint transforms of one pose and shape (unscaled metres, pelvis at its rest place)."""

    rotations: Float[np.ndarray, "55 3 3"]
    """World rotation of each joint frame."""
    positions: Float[np.ndarray, "55 3"]
    rest_joints: Float[np.ndarray, "55 3"]
    position_dirs: Float[np.ndarray, "55 3 b"]
    """Derivative of ``positions`` in betas."""
    axes: Float[np.ndarray, "55 3 3"]
    """Columns: world angular velocity for a unit change of each axis-angle component."""
    betas: Float[np.ndarray, "b"]


class ArticulatedBody:
    """The parts of a :class:`BodyModel` that a fit needs, as float64 arrays.

    Only the first ``MAX_BETAS`` shape coefficients vary (SMPL-X files have up to 300, of which later
    ones change millimetres); ``tail`` holds the values of the others, zero if not given.
    """

    def __init__(self, model: BodyModel, tail: Float[np.ndarray, "t"] | None = None) -> None:
        n_betas = min(model.n_betas, MAX_BETAS)
        base = torch.zeros(model.n_betas)
        if tail is not None:
            base[n_betas : n_betas + len(tail)] = torch.as_tensor(tail, dtype=base.dtype)
        with torch.no_grad():
            vertices, joints = model.rest(base)
            unit = [model.rest(base + row) for row in torch.eye(n_betas, model.n_betas)]
        self.vertices = vertices.numpy().astype(np.float64)
        self.joints = joints.numpy().astype(np.float64)
        self.vertex_dirs = np.stack([(v - vertices).numpy() for v, _ in unit], -1).astype(float)
        self.joint_dirs = np.stack([(j - joints).numpy() for _, j in unit], -1).astype(float)
        self.weights = model.skin_weights.astype(np.float64)
        self.n_betas = n_betas
        self.tail = base[n_betas:].numpy().astype(np.float64)
        self.skin = Points(self.vertices, self.vertex_dirs, self.weights)
        """Every vertex."""
        self._below = descendants().astype(np.float64)
        top, bottom = self.vertices[:, 1].argmax(), self.vertices[:, 1].argmin()
        self.stature = float(self.vertices[top, 1] - self.vertices[bottom, 1])
        """Sole to crown of the mean shape, metres."""
        self.stature_dirs = self.vertex_dirs[top, 1] - self.vertex_dirs[bottom, 1]

    def joint_points(
        self, names: Sequence[str], offsets: Float[np.ndarray, "m 3"], reference_stature: float
    ) -> Points:
        """Points fixed to joints at ``offsets`` (m, T-pose) that grow with the body.

        ``offsets`` were measured on a body of ``reference_stature`` metres.
        """
        index = [JOINT_NAMES.index(name) for name in names]
        scale = self.stature / reference_stature
        growth = offsets[:, :, None] * (self.stature_dirs / reference_stature)
        weights = np.zeros((len(index), N_JOINTS))
        weights[np.arange(len(index)), index] = 1.0
        return Points(
            self.joints[index] + offsets * scale, self.joint_dirs[index] + growth, weights
        )

    def surface_points(
        self, corners: Int[np.ndarray, "m 3"], barycentric: Float[np.ndarray, "m 3"]
    ) -> Points:
        """Points inside triangles; ``corners`` are vertex indices."""
        return Points(
            np.einsum("mk,mkc->mc", barycentric, self.vertices[corners]),
            np.einsum("mk,mkcb->mcb", barycentric, self.vertex_dirs[corners]),
            np.einsum("mk,mkj->mj", barycentric, self.weights[corners]),
        )

    def articulate(
        self, full_pose: Float[np.ndarray, "55 3"], betas: Float[np.ndarray, "b"]
    ) -> Articulation:
        """Forward kinematics with its derivatives."""
        joints = self.joints + self.joint_dirs @ betas
        local, left = rotation_and_left_jacobian(full_pose)
        rotations = np.empty((N_JOINTS, 3, 3))
        positions = np.empty((N_JOINTS, 3))
        position_dirs = np.empty((N_JOINTS, 3, self.n_betas))
        axes = np.empty((N_JOINTS, 3, 3))
        for joint, parent in enumerate(PARENTS):
            if parent < 0:
                rotations[joint], axes[joint] = local[joint], left[joint]
                positions[joint], position_dirs[joint] = joints[joint], self.joint_dirs[joint]
                continue
            above = rotations[parent]
            rotations[joint] = above @ local[joint]
            axes[joint] = above @ left[joint]
            positions[joint] = positions[parent] + above @ (joints[joint] - joints[parent])
            bone_dirs = self.joint_dirs[joint] - self.joint_dirs[parent]
            position_dirs[joint] = position_dirs[parent] + above @ bone_dirs
        return Articulation(rotations, positions, joints, position_dirs, axes, betas)

    def place(self, state: Articulation, points: Points) -> Float[np.ndarray, "m 3"]:
        """Posed positions (unscaled metres)."""
        rest = points.rest + points.shape_dirs @ state.betas
        shift = state.positions - np.einsum("jab,jb->ja", state.rotations, state.rest_joints)
        blended = np.tensordot(points.weights, state.rotations, 1)
        placed: np.ndarray = np.einsum("mab,mb->ma", blended, rest) + points.weights @ shift
        return placed

    def place_with_jacobian(
        self, state: Articulation, points: Points, active: Sequence[int]
    ) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m 3 k 3"], Float[np.ndarray, "m 3 b"]]:
        """Posed positions and derivatives in the axis-angles of ``active`` joints and in betas."""
        rest = points.rest + points.shape_dirs @ state.betas
        shift = state.positions - np.einsum("jab,jb->ja", state.rotations, state.rest_joints)
        # Each joint's share of a point: w_j (R_j rest + t_j); a turning joint moves all below it.
        moved = np.einsum("jab,mb->mja", state.rotations, rest) + shift
        share = points.weights[..., None] * moved
        below = self._below[list(active)]
        lever = (
            np.matmul(below, share)
            - (points.weights @ below.T)[..., None] * (state.positions[list(active)])
        )
        by_angle = np.cross(np.swapaxes(state.axes[list(active)], 1, 2)[None], lever[:, :, None, :])
        blended = np.tensordot(points.weights, state.rotations, 1)
        shift_dirs = state.position_dirs - state.rotations @ self.joint_dirs
        by_betas = blended @ points.shape_dirs + np.tensordot(points.weights, shift_dirs, 1)
        return share.sum(1), by_angle.transpose(0, 3, 1, 2), by_betas
