import numpy as np
import pytest

from backend.body.anny_body import AnnyBody
from backend.body.posing import stature
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.objective import State
from backend.fitting.placement import place_in_world, state_of_pose
from shared_protocol.skeleton import N_JOINTS


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


@pytest.fixture(scope="module")
def state(model):
    rng = np.random.default_rng(3)
    pose = 0.3 * rng.normal(size=(N_JOINTS, 3))
    betas = rng.normal(size=model.n_betas)
    return State(pose, betas, float(np.log(230.0)), np.array([310.0, 250.0]))


@pytest.mark.parametrize("height", [1.2, 1.75])
def test_the_body_stands_on_the_floor_over_the_origin(model, state, height):
    pose, _ = place_in_world(state, ArticulatedBody(model), model, height)
    posed = model.pose(pose)
    assert posed.vertices[:, 1].min() == pytest.approx(0.0, abs=1e-5)
    assert posed.joints[0, [0, 2]] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert stature(model, pose.betas) * pose.scale == pytest.approx(height, rel=1e-6)


def test_the_camera_shows_the_placed_body_where_the_fit_saw_it(model, state):
    body = ArticulatedBody(model)
    pose, camera = place_in_world(state, body, model, 1.75)
    fitted = state.project(body.place(body.articulate(state.full_pose, state.betas), body.skin))
    shown = camera.project(model.pose(pose).vertices.astype(np.float64))
    np.testing.assert_allclose(shown, fitted[:, :2], atol=2e-3)


def test_state_of_pose_is_the_inverse(model, state):
    pose, camera = place_in_world(state, ArticulatedBody(model), model, 1.75)
    back = state_of_pose(pose, camera, model.n_betas)
    np.testing.assert_allclose(back.full_pose, state.full_pose, atol=1e-6)
    np.testing.assert_allclose(back.betas, state.betas, atol=1e-6)
    np.testing.assert_allclose(back.shift, state.shift, atol=1e-3)
    assert back.log_scale == pytest.approx(state.log_scale, abs=1e-6)
