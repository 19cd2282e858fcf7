import numpy as np
import pytest
from humanref_addon.scene.bone_layout import BoneLayout, lay_out, main_child, rest_rotations
from humanref_addon.scene.frames import blender_from_body

from backend.body.anny_body import ASSET
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS


@pytest.fixture(scope="module")
def layout() -> BoneLayout:
    with np.load(ASSET) as file:
        return lay_out(blender_from_body(file["Jt"].astype(np.float64)))


def test_bones_end_where_their_child_begins(layout: BoneLayout) -> None:
    for joint in ("left_shoulder", "right_knee", "spine2", "left_index1", "pelvis", "left_wrist"):
        child = main_child(joint)
        assert child is not None
        np.testing.assert_array_equal(
            layout.tails[JOINT_INDEX[joint]], layout.heads[JOINT_INDEX[child]]
        )
        assert layout.connected[JOINT_INDEX[child]]
    # Hips and collars stand apart from their parent's tail, and the root has no parent.
    for joint in ("left_hip", "right_collar", "left_thumb1", "pelvis"):
        assert not layout.connected[JOINT_INDEX[joint]]


def test_every_bone_is_visible_and_no_longer_than_the_limb(layout: BoneLayout) -> None:
    lengths = np.linalg.norm(layout.tails - layout.heads, axis=1)
    assert lengths.min() > 0.01
    assert lengths.max() < 0.5


def test_axes_are_rotations_and_mirror_images(layout: BoneLayout) -> None:
    rest = rest_rotations(layout)
    np.testing.assert_allclose(
        rest @ np.swapaxes(rest, 1, 2), np.tile(np.eye(3), (55, 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(rest), 1.0)
    mirror = np.diag([-1.0, 1.0, 1.0])
    for name in JOINT_NAMES:
        if name.startswith("left_"):
            left = rest[JOINT_INDEX[name]]
            right = rest[JOINT_INDEX[name.replace("left_", "right_", 1)]]
            # y and z are mirrored; x is what makes it right-handed again.
            np.testing.assert_allclose(mirror @ left[:, 1:], right[:, 1:], atol=1e-3)


@pytest.mark.parametrize(
    ("joint", "goes"),
    [
        ("left_elbow", "forward"),
        ("right_elbow", "forward"),
        ("left_hip", "forward"),
        ("right_hip", "forward"),
        ("left_knee", "back"),
        ("right_knee", "back"),
        ("spine2", "forward"),
        ("neck", "forward"),
        ("left_index2", "down"),
        ("right_pinky1", "down"),
        ("jaw", "down"),
        ("left_ankle", "up"),
    ],
)
def test_a_positive_turn_about_x_bends(layout: BoneLayout, joint: str, goes: str) -> None:
    x, y, _ = rest_rotations(layout)[JOINT_INDEX[joint]].T
    directions = {"forward": (0, -1, 0), "back": (0, 1, 0), "down": (0, 0, -1), "up": (0, 0, 1)}
    # The first movement of the bone's tip in a turn about x.
    tip = np.cross(x, y)
    assert tip @ np.array(directions[goes]) > 0.6


def test_joints_in_one_place_still_give_bones() -> None:
    layout = lay_out(np.zeros((55, 3)))
    assert (np.linalg.norm(layout.tails - layout.heads, axis=1) > 1e-3).all()
    assert not any(layout.connected[index] for index in range(55) if PARENTS[index] < 0)
