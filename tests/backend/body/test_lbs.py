"""Rotations, forward kinematics and skinning against their definitions."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from backend.body.lbs import (
    JointTree,
    apply_rigid,
    axis_angle_to_matrix,
    similarity,
    skin,
    tree_levels,
)
from shared_protocol.skeleton import PARENTS


def test_rotations_are_those_of_scipy_from_tiny_to_beyond_a_turn():
    rng = np.random.default_rng(0)
    axis = rng.normal(size=(60, 3))
    angle = np.concatenate([10.0 ** np.linspace(-9, 0, 40), np.linspace(1, 7, 20)])
    vectors = axis / np.linalg.norm(axis, axis=1, keepdims=True) * angle[:, None]
    ours = axis_angle_to_matrix(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(ours, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-13)


def test_gradient_is_exact_at_and_around_zero_angle():
    for size in (0.0, 1e-6, 3e-3, 3.3e-3, 1.0):
        vectors = torch.full((2, 3), size, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(axis_angle_to_matrix, (vectors,), atol=1e-7)
    zero = torch.zeros(1, 3, requires_grad=True)
    axis_angle_to_matrix(zero)[0, 1, 0].backward()
    np.testing.assert_array_equal(zero.grad.numpy(), [[0, 0, 1]])


def _chain_matrices(rotations, joints, parents):
    """The readable twin: one joint after the other, homogeneous matrices."""
    world = []
    for j, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    result = np.array(world)
    for j in range(len(parents)):
        back = np.eye(4)
        back[:3, 3] = -joints[j]
        result[j] = result[j] @ back
    return result


def test_joint_tree_equals_a_plain_chain_of_matrices():
    rng = np.random.default_rng(1)
    joints = rng.normal(size=(55, 3))
    rotations = Rotation.from_rotvec(rng.normal(size=(55, 3))).as_matrix()
    ours = JointTree(PARENTS).transforms(torch.from_numpy(rotations), torch.from_numpy(joints))
    np.testing.assert_allclose(ours, _chain_matrices(rotations, joints, PARENTS), atol=1e-12)


def test_levels_hold_every_joint_after_its_parent():
    seen = {-1}
    for level in tree_levels(PARENTS):
        assert all(PARENTS[j] in seen for j in level.tolist())
        seen |= set(level.tolist())
    assert seen == set(range(-1, 55))


def test_skinning_is_the_weighted_mean_of_moved_points_and_follows_a_similarity():
    rng = np.random.default_rng(2)
    points = torch.from_numpy(rng.normal(size=(7, 3)))
    weights = torch.from_numpy(rng.dirichlet(np.ones(55), size=7))
    tree = JointTree(PARENTS)
    joints = torch.from_numpy(rng.normal(size=(55, 3)))
    matrices = tree.transforms(axis_angle_to_matrix(joints.flip(0)), joints)
    expected = sum(
        weights[:, j, None] * apply_rigid(matrices[j].expand(7, 4, 4), points) for j in range(55)
    )
    moved = skin(points, weights, matrices)
    np.testing.assert_allclose(moved, expected, atol=1e-12)
    shift = torch.tensor([0.1, -2.0, 3.0], dtype=torch.float64)
    np.testing.assert_allclose(
        skin(points, weights, similarity(matrices, shift, 1.7)), 1.7 * moved + shift, atol=1e-12
    )
