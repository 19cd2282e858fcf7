"""The pair between SMPL-X's axis-angles and pose bones, against rotation matrices written out."""

import numpy as np
import pytest
from humanref_addon.scene.bone_layout import lay_out, rest_rotations
from humanref_addon.scene.frames import BLENDER_FROM_BODY, blender_from_body
from humanref_addon.scene.pose_conversion import (
    blender_to_pose,
    matrices_from_quaternions,
    pose_to_blender,
    quaternions_from_matrices,
    quaternions_from_vectors,
    vectors_from_quaternions,
)
from numpy.typing import NDArray

from backend.body.anny_body import ASSET

_TURN = np.array(BLENDER_FROM_BODY)


@pytest.fixture(scope="module")
def rest() -> NDArray[np.float64]:
    with np.load(ASSET) as file:
        return rest_rotations(lay_out(blender_from_body(file["Jt"].astype(np.float64))))


def _rodrigues(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.linalg.norm(vector)
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _poses(kind: str) -> NDArray[np.float64]:
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(40, 55, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    low, high = {
        "any": (0.0, np.pi),
        "nearly_still": (0.0, 1e-6),
        "nearly_half_a_turn": (np.pi - 1e-4, np.pi - 1e-9),
    }[kind]
    return directions * rng.uniform(low, high, (40, 55, 1))


@pytest.mark.parametrize("kind", ["any", "nearly_still", "nearly_half_a_turn"])
def test_round_trip(rest: NDArray[np.float64], kind: str) -> None:
    for pose in _poses(kind):
        back = blender_to_pose(pose_to_blender(pose, rest), rest)
        assert np.abs(back - pose).max() < 1e-5


def test_round_trip_through_single_precision(rest: NDArray[np.float64]) -> None:
    # Blender keeps quaternions as 32-bit floats.
    for pose in _poses("any"):
        stored = pose_to_blender(pose, rest).astype(np.float32)
        assert np.abs(blender_to_pose(stored, rest) - pose).max() < 1e-5


def test_a_bone_turns_as_its_joint(rest: NDArray[np.float64]) -> None:
    """basis = rest^T (C R C^T) rest: Blender's own definition of a pose bone's channel."""
    pose = _poses("any")[0]
    basis = matrices_from_quaternions(pose_to_blender(pose, rest))
    for vector, axes, found in zip(pose, rest, basis, strict=True):
        wanted = axes.T @ _TURN @ _rodrigues(vector) @ _TURN.T @ axes
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_half_a_turn_and_more_come_back_as_the_same_rotation() -> None:
    half = np.array([[np.pi, 0, 0], [0, -np.pi, 0], [0, 0, 1.5 * np.pi]])
    back = vectors_from_quaternions(quaternions_from_vectors(half))
    for first, second in zip(half, back, strict=True):
        np.testing.assert_allclose(_rodrigues(first), _rodrigues(second), atol=1e-12)
    assert (np.linalg.norm(back, axis=1) <= np.pi + 1e-12).all()


def test_quaternions_of_matrices_even_of_rounded_ones() -> None:
    vectors = np.concatenate([_poses("any")[0], _poses("nearly_half_a_turn")[0]])
    exact = quaternions_from_vectors(vectors)
    rounded = matrices_from_quaternions(exact).astype(np.float32).astype(np.float64)
    found = quaternions_from_matrices(rounded)
    same = np.abs((found * exact).sum(1))
    assert (1 - same).max() < 1e-12
