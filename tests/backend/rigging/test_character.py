import numpy as np
import pytest

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from backend.geometry.frames import PhotoCamera
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.rigging.character import blend, rig, scale_to_height
from shared_protocol.skeleton import JOINT_INDEX


@pytest.fixture(scope="module")
def model():
    return load_body("anny")


@pytest.fixture(scope="module")
def body(model):
    full_pose = np.zeros((55, 3), np.float32)
    for name, rotation in {
        "pelvis": (0.1, 0.4, 0.0),
        "left_shoulder": (0.0, 0.2, -1.0),
        "right_elbow": (0.0, 1.2, 0.0),
        "left_knee": (0.9, 0.0, 0.0),
        "left_index1": (0.0, 0.0, -0.6),
        "head": (0.1, -0.3, 0.0),
    }.items():
        full_pose[JOINT_INDEX[name]] = rotation
    betas = np.zeros(model.n_betas, np.float32)
    betas[0] = 0.8
    return model.pose(BodyPose(betas, full_pose, np.array([0.3, 1.4, -0.2], np.float32), 0.9))


@pytest.fixture(scope="module")
def character(body):
    normals = vertex_normals(body.vertices, body.faces)
    colors = np.full_like(body.vertices, 0.5)
    return rig(ColoredMesh(body.vertices, body.faces, colors, normals), body)


def skinned(character):
    points = np.concatenate([character.rest_vertices, np.ones((len(character.weights), 1))], 1)
    matrix = blend(character.weights, character.indices, character.transforms)
    return np.einsum("vij,vj->vi", matrix, points)[:, :3]


def test_skinning_the_rest_pose_gives_the_photo_pose_back(character):
    np.testing.assert_allclose(skinned(character), character.mesh.vertices, atol=1e-5)


def test_rest_pose_is_the_bodys_t_pose_in_metres(character, body):
    # Firmly bound vertices are independent of how weights were smoothed and cut to four.
    firm = body.skin_weights.max(1) > 0.999
    firm &= character.weights[:, 0] > 0.999
    expected = 0.9 * body.rest_vertices[firm]
    offset = character.rest_vertices[firm] - expected
    assert firm.sum() > 500
    np.testing.assert_allclose(offset[:, [0, 2]], 0, atol=2e-3)
    np.testing.assert_allclose(offset[:, 1], offset[0, 1], atol=2e-3)
    assert character.rest_vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
    joint_offset = character.rest_joints - 0.9 * body.rest_joints
    np.testing.assert_allclose(joint_offset, np.tile(joint_offset[0], (55, 1)), atol=1e-5)


def test_transforms_are_rigid_and_move_the_joints(character):
    rotation = character.transforms[:, :3, :3]
    identity = np.tile(np.eye(3), (55, 1, 1))
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), identity, atol=1e-5)
    moved = np.einsum("jab,jb->ja", rotation, character.rest_joints)
    moved += character.transforms[:, :3, 3]
    np.testing.assert_allclose(moved, character.joints, atol=1e-5)


def test_height_is_that_of_the_t_pose_and_the_feet_stand_on_the_floor(character, model):
    scaled, place = scale_to_height(character, 1.62)
    assert scaled.height == pytest.approx(1.62, abs=1e-6)
    assert np.ptp(scaled.rest_vertices[:, 1]) == pytest.approx(1.62, abs=1e-6)
    assert scaled.mesh.vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
    assert place.factor == pytest.approx(1.62 / character.height)
    np.testing.assert_allclose(skinned(scaled), scaled.mesh.vertices, atol=1e-5)
    again = model.pose(scaled.pose)
    np.testing.assert_allclose(again.joints, scaled.joints, atol=1e-5)
    np.testing.assert_allclose(again.vertices, place.points(character.mesh.vertices), atol=1e-5)


def test_the_camera_follows_the_world(character):
    camera = PhotoCamera(430.0, 250.0, 410.0)
    _, place = scale_to_height(character, 1.9)
    points = character.mesh.vertices[::500]
    moved = place.camera(camera).project(place.points(points))
    np.testing.assert_allclose(moved, camera.project(points), atol=1e-2)


def test_a_blend_that_cannot_be_undone_uses_one_joint(model):
    """A shoulder turned by pi about the arm: equal shares of both matrices collapse to a line."""
    full_pose = np.zeros((55, 3), np.float32)
    full_pose[JOINT_INDEX["left_elbow"]] = (np.pi, 0, 0)
    betas = np.zeros(model.n_betas, np.float32)
    body = model.pose(BodyPose(betas, full_pose, np.zeros(3, np.float32)))
    normals = vertex_normals(body.vertices, body.faces)
    colors = np.full_like(body.vertices, 0.5)
    character = rig(ColoredMesh(body.vertices, body.faces, colors, normals), body)
    assert np.ptp(character.rest_vertices, 0).max() < 1.3 * np.ptp(body.rest_vertices, 0).max()
    np.testing.assert_allclose(skinned(character), character.mesh.vertices, atol=1e-4)


@pytest.mark.parametrize("metres", [0.0, -1.0, float("nan")])
def test_senseless_heights_are_refused(character, metres):
    with pytest.raises(HumanRefError, match="height"):
        scale_to_height(character, metres)
