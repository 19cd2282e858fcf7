"""SMPL-X axis-angles and Blender pose-bone rotations: the one pair of functions between them.

A joint's rotation is given in its parent's frame, and at rest all SMPL-X frames are parallel to the
body's axes, while a bone has axes of its own. The rotation vector (axis times angle) of the same turn in
the bone's axes is therefore that vector seen from the bone: r_bone = rest^T C r, C = blender_from_body.
Working on vectors keeps every digit near 180 degrees, where matrices lose them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .frames import blender_from_body, body_from_blender


def pose_to_blender(full_pose: ArrayLike, rest_rotations: ArrayLike) -> NDArray[np.float64]:
    """Pose-bone quaternions of a pose.

    Args:
        full_pose: (n, 3) axis-angle vectors (radians) in SMPL-X's frames.
        rest_rotations: (n, 3, 3) bone axes at rest as columns, in Blender's axes (z up, facing -y).

    Returns:
        (n, 4) unit quaternions (w, x, y, z) of ``PoseBone.rotation_quaternion``, w >= 0.
    """
    vectors = blender_from_body(np.asarray(full_pose, np.float64))
    seen = np.einsum("nji,nj->ni", np.asarray(rest_rotations, np.float64), vectors)
    return quaternions_from_vectors(seen)


def blender_to_pose(quaternions: ArrayLike, rest_rotations: ArrayLike) -> NDArray[np.float64]:
    """The inverse of :func:`pose_to_blender`: (n, 3) axis-angle vectors, at most pi long."""
    vectors = vectors_from_quaternions(np.asarray(quaternions, np.float64))
    seen = np.einsum("nij,nj->ni", np.asarray(rest_rotations, np.float64), vectors)
    return body_from_blender(seen)


def quaternions_from_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) rotation vectors as (n, 4) unit quaternions, w >= 0."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    # np.sinc(x) = sin(pi x) / (pi x): no division by zero at rest.
    xyz = 0.5 * np.sinc(angle / (2 * np.pi)) * vectors
    quaternions = np.concatenate([np.cos(0.5 * angle), xyz], -1)
    return np.where(quaternions[..., :1] < 0, -quaternions, quaternions)


def vectors_from_quaternions(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) quaternions of any length but 0 as (n, 3) rotation vectors, at most pi long."""
    unit = quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)
    unit = np.where(unit[..., :1] < 0, -unit, unit)
    sine = np.linalg.norm(unit[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, unit[..., :1])
    factor = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-300), 2.0)
    return factor * unit[..., 1:]


def quaternions_from_matrices(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3, 3) rotations as (n, 4) unit quaternions, w >= 0, without loss at any angle.

    The quaternion is the eigenvector of the largest eigenvalue of Bar-Itzhack's symmetric matrix, so
    a matrix that is only nearly a rotation (single precision) gives the nearest quaternion.
    """
    m = matrices
    k = np.empty((len(m), 4, 4))
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    k[:, 0, 0] = trace
    k[:, 1:, 1:] = m + np.swapaxes(m, 1, 2) - trace[:, None, None] * np.eye(3)
    skew = np.stack([m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], -1)
    k[:, 0, 1:] = k[:, 1:, 0] = skew
    quaternions = np.linalg.eigh(k)[1][:, :, -1]
    return np.where(quaternions[:, :1] < 0, -quaternions, quaternions)


def matrices_from_quaternions(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) unit quaternions as (n, 3, 3) rotations."""
    w, x, y, z = np.moveaxis(quaternions, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)
