from dataclasses import replace

import numpy as np
import pytest
from fitting_subjects import HEIGHT, WIDTH, pose_of, subject_of
from scipy.spatial.transform import Rotation

from backend.body.anny_body import AnnyBody
from backend.errors import HumanRefError
from backend.fitting.evidence import gather_evidence, without_camera_pitch


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


@pytest.fixture(scope="module")
def seen(model):
    subject, _, camera = subject_of(model, pose_of(model), hands=True)
    return subject.landmarks, camera


def hidden(landmarks, indices, visibility=0.05):
    changed = landmarks.visibility.copy()
    changed[list(indices)] = visibility
    return replace(landmarks, visibility=changed)


def test_everything_seen(seen):
    landmarks, camera = seen
    evidence = gather_evidence(landmarks, WIDTH, HEIGHT)
    assert evidence.missing_joints == ()
    assert evidence.resting_joints == ()
    assert evidence.warnings == ()
    assert set(evidence.group) == {"body", "face", "left_hand", "right_hand"}
    assert evidence.pixels_per_metre == pytest.approx(camera.pixels_per_metre, rel=0.05)


def test_hidden_legs_are_named_and_rest(seen):
    evidence = gather_evidence(hidden(seen[0], range(25, 33)), WIDTH, HEIGHT)
    assert "left_knee" in evidence.missing_joints
    assert {"left_hip", "right_knee", "left_ankle"} <= set(evidence.resting_joints)
    assert "left_hip" not in evidence.missing_joints
    used = {
        a.landmark for a, g in zip(evidence.anchors, evidence.group, strict=True) if g == "body"
    }
    assert used.isdisjoint(range(25, 33))
    assert any("right ankle" in text for text in evidence.warnings)


def test_a_hint_is_four_times_weaker_and_not_trusted(seen):
    whole = gather_evidence(seen[0], WIDTH, HEIGHT)
    hinted = gather_evidence(hidden(seen[0], [13], 0.3), WIDTH, HEIGHT)
    index = next(k for k, a in enumerate(hinted.anchors) if a.joint == "left_elbow")
    assert hinted.sigma[index] == pytest.approx(4 * whole.sigma[index], rel=1e-3)
    assert not hinted.trusted[index]
    assert "left_elbow" in hinted.missing_joints


def test_landmarks_outside_the_photo_are_guesses(seen):
    landmarks = seen[0]
    evidence = gather_evidence(landmarks, WIDTH, int(landmarks.body[25, 1]) - 40)
    assert {"left_knee", "right_ankle"} <= set(evidence.missing_joints)


def test_a_hand_on_the_wrong_wrist_is_refused(seen):
    swapped = replace(seen[0], left_hand=seen[0].right_hand, left_hand_3d=seen[0].right_hand_3d)
    evidence = gather_evidence(swapped, WIDTH, HEIGHT)
    assert "left_hand" not in evidence.group
    assert any("left hand" in text for text in evidence.warnings)


def test_a_face_away_from_the_head_is_refused(seen):
    evidence = gather_evidence(replace(seen[0], face=seen[0].face + 150), WIDTH, HEIGHT)
    assert "face" not in evidence.group
    assert any("face" in text for text in evidence.warnings)


def test_too_little_to_see_is_an_error(seen):
    with pytest.raises(HumanRefError) as error:
        gather_evidence(hidden(seen[0], range(3, 33)), WIDTH, HEIGHT)
    assert error.value.code == "person_not_visible"


def test_camera_pitch_is_taken_out_up_to_20_degrees(seen):
    points = seen[0].body_3d
    weight = np.ones(33)
    upright = without_camera_pitch(points, weight)
    for degrees in (-15.0, 15.0):
        leaning = Rotation.from_euler("x", degrees, degrees=True).apply(points)
        np.testing.assert_allclose(without_camera_pitch(leaning, weight), upright, atol=1e-9)
    bowing = Rotation.from_euler("x", 60.0, degrees=True).apply(points)
    left = without_camera_pitch(bowing, weight)
    trunk = left[[11, 12]].mean(0) - left[[27, 28]].mean(0)
    assert np.degrees(np.arctan2(trunk[2], trunk[1])) > 35
    assert gather_evidence(replace(seen[0], body_3d=bowing), WIDTH, HEIGHT).lean > 0.2
    assert gather_evidence(seen[0], WIDTH, HEIGHT).lean == 0.0
