"""Hand-written kinematics against the body model under autograd, in values and gradients."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from backend.body.anny_body import AnnyBody
from backend.fitting.kinematics import (
    ArticulatedBody,
    Points,
    descendants,
    rotation_and_left_jacobian,
    skew,
    split_betas,
)
from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


@pytest.fixture(scope="module")
def body(model):
    return ArticulatedBody(model)


def random_state(model, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N_JOINTS, 3)) * 0.6, rng.normal(size=model.n_betas)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 0.5, 2.0, 3.1, 4.0])
def test_rotation_and_left_jacobian_against_definition(angle):
    axis = np.array([0.48, -0.6, 0.64])
    vector = angle * axis
    rotation, left = rotation_and_left_jacobian(vector)
    np.testing.assert_allclose(rotation, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    step = 1e-5
    for k in range(3):
        delta = step * np.eye(3)[k]
        after = Rotation.from_rotvec(vector + delta)
        before = Rotation.from_rotvec(vector - delta)
        turned = (after * before.inv()).as_rotvec() / (2 * step)
        np.testing.assert_allclose(left[:, k], turned, atol=1e-8)


def test_skew_is_the_cross_product():
    a, b = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.7, -1.1])
    np.testing.assert_allclose(skew(a) @ b, np.cross(a, b))


def test_descendants_of_the_left_elbow_are_its_forearm_and_hand():
    below = descendants()[JOINT_INDEX["left_elbow"]]
    names = {name for name, j in JOINT_INDEX.items() if below[j]}
    assert {"left_elbow", "left_wrist", "left_thumb3", "left_pinky1"} <= names
    assert len(names) == 17
    assert descendants()[0].all()


def test_points_and_jacobians_match_autograd(model, body):
    pose, betas = random_state(model)
    vertices = np.arange(0, len(body.vertices), 997)
    points = Points(body.vertices[vertices], body.vertex_dirs[vertices], body.weights[vertices])
    state = body.articulate(pose, betas)
    placed, by_angle, by_betas = body.place_with_jacobian(state, points, range(N_JOINTS))
    np.testing.assert_allclose(placed, body.place(state, points), atol=1e-12)

    def twin(full_pose, shape):
        return model(shape, full_pose, torch.zeros(3, dtype=shape.dtype)).vertices[vertices]

    inputs = (torch.from_numpy(pose), torch.from_numpy(betas))
    np.testing.assert_allclose(placed, twin(*inputs).numpy(), atol=2e-6)
    twin_angle, twin_betas = torch.autograd.functional.jacobian(twin, inputs)
    np.testing.assert_allclose(by_angle, twin_angle.numpy(), atol=5e-6)
    np.testing.assert_allclose(by_betas, twin_betas.numpy(), atol=5e-6)


def test_jacobian_of_some_joints_is_a_slice_of_all(model, body):
    pose, betas = random_state(model, 1)
    points = body.joint_points(["left_wrist", "head"], np.full((2, 3), 0.05), 1.8)
    state = body.articulate(pose, betas)
    chosen = [JOINT_INDEX["spine2"], JOINT_INDEX["left_elbow"]]
    _, everything, _ = body.place_with_jacobian(state, points, range(N_JOINTS))
    _, some, _ = body.place_with_jacobian(state, points, chosen)
    np.testing.assert_array_equal(some, everything[:, :, chosen])


def test_joint_points_grow_with_stature(model, body):
    offset = np.array([[0.0, 0.0, 0.1]])
    point = body.joint_points(["head"], offset, reference_stature=body.stature)
    taller = np.zeros(model.n_betas)
    taller[0] = 2.0
    state = body.articulate(np.zeros((N_JOINTS, 3)), taller)
    reach = body.place(state, point)[0] - state.positions[JOINT_INDEX["head"]]
    heights = model.rest(torch.from_numpy(taller))[0][:, 1]
    growth = float(heights.max() - heights.min()) / body.stature
    assert growth > 1.05
    np.testing.assert_allclose(reach, offset[0] * growth, rtol=2e-3, atol=1e-9)


def test_coefficients_beyond_those_that_vary_stay(model, monkeypatch):
    monkeypatch.setattr("backend.fitting.kinematics.MAX_BETAS", 4)
    betas = random_state(model, 2)[1]
    head, tail = split_betas(betas, 4)
    few = ArticulatedBody(model, tail)
    assert few.n_betas == 4
    placed = few.place(few.articulate(np.zeros((N_JOINTS, 3)), head), few.skin)
    whole = model.rest(torch.from_numpy(betas))[0].numpy()
    np.testing.assert_allclose(placed, whole, atol=5e-6)


def test_split_betas_pads_and_cuts():
    head, tail = split_betas(np.arange(3.0), 5)
    np.testing.assert_array_equal(head, [0, 1, 2, 0, 0])
    assert len(tail) == 0
    head, tail = split_betas(np.arange(7.0), 5)
    np.testing.assert_array_equal(tail, [5, 6])
