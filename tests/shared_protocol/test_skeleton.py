"""The skeleton against SMPL-X's published facts and against the smplx package's own tables."""

import numpy as np
import pytest

from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS, PARENTS, POSE_SLICES


def mirrored(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    return "left_" + name.removeprefix("right_") if name.startswith("right_") else name


def test_every_joint_has_one_name() -> None:
    assert N_JOINTS == len(JOINT_NAMES) == len(PARENTS) == 55
    assert [JOINT_INDEX[name] for name in JOINT_NAMES] == list(range(55))


def test_the_order_is_that_of_the_smplx_package() -> None:
    names = pytest.importorskip("smplx.joint_names").JOINT_NAMES
    assert tuple(names[:55]) == JOINT_NAMES


@pytest.mark.parametrize(
    ("name", "index", "parent"),
    [
        ("left_knee", 4, "left_hip"),
        ("spine3", 9, "spine2"),
        ("left_collar", 13, "spine3"),
        ("right_shoulder", 17, "right_collar"),
        ("right_wrist", 21, "right_elbow"),
        ("jaw", 22, "head"),
        ("left_eye_smplhf", 23, "head"),
        ("left_index1", 25, "left_wrist"),
        ("left_thumb3", 39, "left_thumb2"),
        ("right_index1", 40, "right_wrist"),
        ("right_thumb3", 54, "right_thumb2"),
    ],
)
def test_joints_of_the_smplx_model(name: str, index: int, parent: str) -> None:
    assert JOINT_INDEX[name] == index
    assert JOINT_NAMES[PARENTS[index]] == parent


def test_parents_come_before_their_children_and_the_pelvis_is_the_only_root() -> None:
    assert [joint for joint, parent in enumerate(PARENTS) if parent < 0] == [0]
    assert JOINT_NAMES[0] == "pelvis"
    assert all(parent < joint for joint, parent in enumerate(PARENTS))


def test_left_and_right_mirror_each_other() -> None:
    assert sum(name.startswith("left_") for name in JOINT_NAMES) == 24
    for name, parent in zip(JOINT_NAMES[1:], PARENTS[1:], strict=True):
        twin = JOINT_INDEX[mirrored(name)]
        assert JOINT_NAMES[PARENTS[twin]] == mirrored(JOINT_NAMES[parent])


def test_pose_parts_cover_every_joint_once_in_order() -> None:
    covered = [joint for part in POSE_SLICES.values() for joint in range(55)[part]]
    assert covered == list(range(55))
    lengths = {name: part.stop - part.start for name, part in POSE_SLICES.items()}
    assert lengths["body_pose"] == 21
    assert lengths["left_hand_pose"] == lengths["right_hand_pose"] == 15


def test_pose_parts_hold_what_their_names_say() -> None:
    names = np.array(JOINT_NAMES)
    assert list(names[POSE_SLICES["global_orient"]]) == ["pelvis"]
    assert list(names[POSE_SLICES["jaw_pose"]]) == ["jaw"]
    assert list(names[POSE_SLICES["leye_pose"]]) == ["left_eye_smplhf"]
    for side in ("left", "right"):
        hand = names[POSE_SLICES[f"{side}_hand_pose"]]
        assert all(name.startswith(f"{side}_") and name[-1] in "123" for name in hand)
