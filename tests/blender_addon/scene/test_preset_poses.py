"""Presets and mirroring against the backend's own skinning."""

from functools import cache

import numpy as np
import pytest
from humanref_addon.scene.preset_poses import (
    PRESETS,
    PresetName,
    descendants,
    mirrored_vectors,
    other_side,
    preset_pose,
)
from numpy.typing import NDArray

from backend.body import load_body
from backend.body.model import BodyModel
from backend.body.pose import BodyPose
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES

_SWAPPED = [JOINT_INDEX[other_side(name)] for name in JOINT_NAMES]


@cache
def _body() -> BodyModel:
    return load_body("anny")


def _joints(full_pose: NDArray[np.float64]) -> NDArray[np.float32]:
    body = _body()
    pose = BodyPose(
        betas=np.zeros(body.n_betas, np.float32),
        full_pose=full_pose.astype(np.float32),
        transl=np.zeros(3, np.float32),
        model=body.name,
    )
    return body.pose(pose).joints


def test_sides_are_swapped_and_the_middle_stays() -> None:
    assert other_side("left_knee") == "right_knee"
    assert other_side("right_eye_smplhf") == "left_eye_smplhf"
    assert other_side("spine1") == "spine1"
    assert all(other_side(other_side(name)) == name for name in JOINT_NAMES)


def test_a_mirrored_pose_is_the_mirror_image() -> None:
    pose = np.random.default_rng(2).normal(0, 0.4, (55, 3))
    mirrored = mirrored_vectors(pose)[_SWAPPED]
    image = _joints(pose)[_SWAPPED] * np.array([-1.0, 1.0, 1.0])
    # The mean body's left and right differ by less than a millimetre.
    np.testing.assert_allclose(_joints(mirrored), image, atol=2e-3)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_symmetric_and_upright(preset: PresetName) -> None:
    pose = preset_pose(preset)
    np.testing.assert_array_equal(pose, mirrored_vectors(pose)[_SWAPPED] + 0.0)
    np.testing.assert_array_equal(pose[0], 0)


def test_arms_sink_from_t_over_a_to_relaxed() -> None:
    wrist, shoulder = JOINT_INDEX["left_wrist"], JOINT_INDEX["left_shoulder"]
    angles = []
    for preset in PRESETS:
        joints = _joints(preset_pose(preset))
        arm = joints[wrist] - joints[shoulder]
        angles.append(np.degrees(np.arctan2(-arm[1], arm[0])))
    assert abs(angles[0]) < 3
    assert 40 < angles[1] < 50
    assert 65 < angles[2] < 85


def test_relaxed_hands_come_forward_and_do_not_touch_the_body() -> None:
    joints = _joints(preset_pose("RELAXED"))
    wrist, elbow = joints[JOINT_INDEX["left_wrist"]], joints[JOINT_INDEX["left_elbow"]]
    assert wrist[2] > elbow[2] + 0.02
    assert wrist[0] > joints[JOINT_INDEX["left_hip"]][0] + 0.1


def test_descendants() -> None:
    below = descendants(["left_elbow"])
    assert {"left_elbow", "left_wrist", "left_thumb3"} <= below
    assert not {"left_shoulder", "right_elbow", "pelvis"} & below
    assert descendants(["pelvis"]) == frozenset(JOINT_NAMES)
