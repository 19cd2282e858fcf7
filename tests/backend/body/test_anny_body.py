"""The shipped body: its asset, its T-pose conventions and its behaviour as a BodyModel."""

import numpy as np
import pytest
import torch
import trimesh

from backend.body import load_body
from backend.body.anny_body import ASSET, AnnyBody
from backend.body.model import Region
from backend.body.part_map import joint_region, vertex_regions
from backend.body.pose import BodyPose
from backend.body.posing import stature
from backend.errors import HumanRefError
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES


@pytest.fixture(scope="module")
def body():
    return load_body("anny")


@pytest.fixture(scope="module")
def t_pose(body):
    return body.pose(BodyPose.t_pose(body.n_betas))


def _joint(posed, name):
    return posed.joints[JOINT_INDEX[name]]


def _bent(body, **rotations):
    full_pose = np.zeros((55, 3), np.float32)
    for name, rotation in rotations.items():
        full_pose[JOINT_INDEX[name]] = rotation
    betas = np.zeros(body.n_betas, np.float32)
    return body.pose(BodyPose(betas, full_pose, np.zeros(3, np.float32)))


def test_asset_is_small_and_consistent(body):
    assert ASSET.stat().st_size <= 4_000_000
    assert body.n_betas == 16
    n = len(body.regions)
    assert body.skin_weights.shape == (n, 55)
    np.testing.assert_allclose(body.skin_weights.sum(1), 1, atol=1e-5)
    assert body.skin_weights.min() >= 0
    assert (body.skin_weights > 0).sum(1).max() <= 8
    # Every joint moves something.
    assert (body.skin_weights.max(0) > 0.2).all()
    assert body.faces_uv.shape == body.faces.shape == (len(body.outer_faces), 3)
    assert body.faces_uv.max() < len(body.uv)
    assert body.uv.min() >= 0
    assert body.uv.max() <= 1
    assert 0 < (~body.outer_faces).sum() < 0.1 * len(body.faces)


def test_surface_is_closed_and_turned_outwards(body, t_pose):
    mesh = trimesh.Trimesh(t_pose.vertices, body.faces, process=False)
    assert mesh.is_watertight
    # Litres of a mean adult.
    assert 0.05 < mesh.volume < 0.1
    skin = max(mesh.split(), key=lambda part: len(part.faces))
    assert skin.euler_number == 2


def test_rest_is_a_t_pose_facing_z_with_the_left_side_on_x(t_pose):
    for side, sign in (("left", 1), ("right", -1)):
        arm = _joint(t_pose, f"{side}_wrist") - _joint(t_pose, f"{side}_shoulder")
        assert sign * arm[0] > 0.4
        assert abs(arm[1]) < 0.1 * abs(arm[0])
        leg = _joint(t_pose, f"{side}_ankle") - _joint(t_pose, f"{side}_hip")
        assert leg[1] < -0.7
        assert abs(leg[0]) < 0.06
        assert _joint(t_pose, f"{side}_foot")[2] > _joint(t_pose, f"{side}_ankle")[2] + 0.05
        assert sign * _joint(t_pose, f"{side}_hip")[0] > 0.05
        thumb = _joint(t_pose, f"{side}_thumb3") - _joint(t_pose, f"{side}_index3")
        assert thumb[2] > 0
    nose = t_pose.vertices[t_pose.regions == Region.HEAD]
    assert nose[:, 2].max() > _joint(t_pose, "head")[2] + 0.05
    assert np.abs(_joint(t_pose, "pelvis")).max() < 0.01


def test_the_two_sides_mirror_each_other(t_pose):
    for name, index in JOINT_INDEX.items():
        if name.startswith("left"):
            other = t_pose.joints[JOINT_INDEX["right" + name[4:]]]
            np.testing.assert_allclose(other * [-1, 1, 1], t_pose.joints[index], atol=4e-3)


def test_rest_pose_and_transforms_reproduce_the_vertices(body):
    rng = np.random.default_rng(0)
    pose = BodyPose(
        rng.normal(size=16).astype(np.float32),
        rng.normal(0, 0.3, (55, 3)).astype(np.float32),
        np.array([0.5, 1, -2], np.float32),
        scale=0.9,
    )
    posed = body.pose(pose)
    homogeneous = np.c_[posed.rest_vertices, np.ones(len(posed.rest_vertices))]
    blended = np.einsum("vj,jab->vab", posed.skin_weights, posed.transforms)
    expected = np.einsum("vab,vb->va", blended, homogeneous)[:, :3]
    np.testing.assert_allclose(posed.vertices, expected, atol=1e-5)
    joints = np.einsum(
        "jab,jb->ja", posed.transforms, np.c_[posed.rest_joints, np.ones(55)].astype(np.float32)
    )
    np.testing.assert_allclose(posed.joints, joints[:, :3], atol=1e-5)
    np.testing.assert_array_equal(posed.transforms[:, 3], np.tile([0, 0, 0, 1], (55, 1)))


def test_scale_translation_and_root_rotation_act_like_in_smplx(body, t_pose):
    turn = np.array([0, np.pi / 2, 0], np.float32)
    turned = _bent(body, pelvis=turn)
    pelvis = t_pose.joints[0]
    moved = t_pose.vertices - pelvis
    expected = np.stack([moved[:, 2], moved[:, 1], -moved[:, 0]], 1) + pelvis
    np.testing.assert_allclose(turned.vertices, expected, atol=2e-6)
    pose = BodyPose(
        np.zeros(16, np.float32), np.zeros((55, 3), np.float32), np.float32([1, 2, 3]), 2.0
    )
    np.testing.assert_allclose(body.pose(pose).vertices, 2 * t_pose.vertices + [1, 2, 3], atol=2e-6)


def test_limbs_bend_the_human_way(body, t_pose):
    knee = _bent(body, left_knee=(1.5, 0, 0))
    assert _joint(knee, "left_ankle")[2] < _joint(t_pose, "left_ankle")[2] - 0.3
    np.testing.assert_allclose(_joint(knee, "right_ankle"), _joint(t_pose, "right_ankle"))
    elbow = _bent(body, left_elbow=(0, -1.5, 0), right_elbow=(0, 1.5, 0))
    for side in ("left", "right"):
        assert _joint(elbow, f"{side}_wrist")[2] > _joint(t_pose, f"{side}_wrist")[2] + 0.15
    arms = _bent(body, left_shoulder=(0, 0, -1.2), right_shoulder=(0, 0, 1.2))
    for side in ("left", "right"):
        assert _joint(arms, f"{side}_wrist")[1] < _joint(t_pose, f"{side}_wrist")[1] - 0.4
    jaw = _bent(body, jaw=(0.3, 0, 0))
    change = jaw.vertices - t_pose.vertices
    assert change[:, 1].min() < -0.015
    assert np.abs(change[body.regions != Region.HEAD]).max() < 5e-3
    fist = _bent(body, **{f"left_{f}{k}": (0, 0, -1.3) for f in ("index", "ring") for k in (1, 2)})
    assert _joint(fist, "left_index3")[1] < _joint(t_pose, "left_index3")[1] - 0.03


def test_gradients_reach_every_argument_and_are_right(body):
    rng = np.random.default_rng(1)
    arguments = [
        torch.from_numpy(rng.normal(size=16)).requires_grad_(),
        torch.zeros(55, 3, dtype=torch.float64, requires_grad=True),
        torch.zeros(3, dtype=torch.float64, requires_grad=True),
        torch.tensor(1.1, dtype=torch.float64, requires_grad=True),
    ]
    probe = torch.from_numpy(rng.normal(size=(len(body.regions), 3))) / 100

    def value(arguments):
        out = body(*arguments)
        return (out.vertices * probe).sum() + out.joints.square().sum()

    gradients = torch.autograd.grad(value(arguments), arguments)
    for k, gradient in enumerate(gradients):
        direction = torch.from_numpy(rng.normal(size=gradient.shape))
        ends = []
        for step in (1e-5, -1e-5):
            moved = [a.detach() for a in arguments]
            moved[k] = moved[k] + step * direction
            ends.append(value(moved).item())
        slope = (ends[0] - ends[1]) / 2e-5
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_betas_change_the_stature_and_keep_the_joints_inside(body):
    assert 1.6 < stature(body, np.zeros(16, np.float32)) < 1.9
    tall = np.zeros(16, np.float32)
    tall[0] = 2
    assert stature(body, tall) > stature(body, -tall) + 0.1
    # Fewer betas are the first ones.
    assert stature(body, tall[:1]) == stature(body, tall)
    posed = body.pose(BodyPose(tall, np.zeros((55, 3), np.float32), np.zeros(3, np.float32)))
    mesh = trimesh.Trimesh(posed.vertices, posed.faces, process=False)
    for name in ("pelvis", "left_knee", "right_elbow", "spine2", "neck", "left_wrist"):
        nearest = np.linalg.norm(mesh.vertices - _joint(posed, name), axis=1).min()
        assert 0.01 < nearest < 0.2


def test_regions_are_where_they_should_be(body, t_pose):
    regions, y = body.regions, t_pose.vertices[:, 1]
    assert set(np.unique(regions)) == {1, 2, 3, 4}
    assert y[regions == Region.HEAD].min() > _joint(t_pose, "spine3")[1]
    assert y[regions == Region.FEET].max() < _joint(t_pose, "left_knee")[1] - 0.2
    assert y[regions == Region.LOWER].max() < _joint(t_pose, "spine3")[1]
    hands = np.abs(t_pose.vertices[:, 0]) > abs(_joint(t_pose, "left_wrist")[0])
    assert (regions[hands] == Region.UPPER).all()
    # One-joint weights give that joint's own region.
    np.testing.assert_array_equal(
        vertex_regions(np.eye(55)), [joint_region(name) for name in JOINT_NAMES]
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "smplx"}, "pose_other_model"),
        ({"betas": np.zeros(17, np.float32)}, "betas_too_many"),
        ({"full_pose": np.full((55, 3), np.nan, np.float32)}, "pose_not_finite"),
        ({"scale": 0.0}, "pose_scale"),
    ],
)
def test_senseless_poses_are_refused(body, change, code):
    fields = {**vars(BodyPose.t_pose(16)), **change}
    with pytest.raises(HumanRefError) as raised:
        body.pose(BodyPose(**fields))
    assert raised.value.code == code


def test_a_broken_asset_and_an_unknown_model_say_so(tmp_path):
    np.savez(tmp_path / "other.npz", joint_names=np.array(["a"]))
    (tmp_path / "text.npz").write_text("no zip")
    for name in ("other.npz", "text.npz", "absent.npz"):
        with pytest.raises(HumanRefError) as raised:
            AnnyBody(tmp_path / name)
        assert raised.value.code == "body_asset_broken"
