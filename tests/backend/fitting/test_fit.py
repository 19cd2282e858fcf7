"""The whole fit on people whose pose is known."""

import time
from dataclasses import replace

import numpy as np
import pytest
from fitting_subjects import WIDTH, aligned_error, landmarks_of, pose_of, subject_of, wrap
from scipy.spatial.transform import Rotation

from backend.body.anny_body import AnnyBody
from backend.body.posing import stature
from backend.errors import HumanRefError
from backend.events import Step, Warned
from backend.fitting.calibration import detected_pictures
from backend.fitting.evidence import gather_evidence
from backend.fitting.fit import FitResult, adopt_pose, fit_body, fit_camera
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.pose_schema import PoseFile
from backend.fitting.scoring import score_fit
from backend.fitting.silhouette import draw_silhouette, intersection_over_union
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Subject
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES

HEIGHT_M = 1.75
BODY = slice(0, 22)


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


def raised_arm(model):
    return pose_of(
        model,
        betas=0.5 * np.sin(np.arange(model.n_betas)),
        pelvis=(0, 0.3, 0),
        left_shoulder=(0, -0.2, 0.5),
        right_hip=(0, 0, -0.25),
        left_knee=(0.15, 0, 0),
    )


@pytest.fixture(scope="module")
def fitted(model):
    subject, truth, _ = subject_of(model, raised_arm(model), noise_px=3.0)
    events = []
    return fit_body(subject, model, HEIGHT_M, events.append), subject, truth, events


def test_known_pose_is_recovered_from_noisy_landmarks(model, fitted):
    result, subject, truth, _ = fitted
    joints = model.pose(result.pose).joints
    error = aligned_error(joints[BODY], truth.joints[BODY])
    assert error.mean() < 0.03
    assert error.max() < 0.10
    assert result.report.silhouette_iou > 0.9
    assert result.report.reprojection_error_percent < 1.0
    # Left stays left: the raised arm is the person's left.
    assert joints[JOINT_INDEX["left_wrist"], 1] > joints[JOINT_INDEX["head"], 1] - 0.1
    assert joints[JOINT_INDEX["right_wrist"], 1] < joints[JOINT_INDEX["spine2"], 1]
    assert joints[JOINT_INDEX["left_hip"], 0] > joints[JOINT_INDEX["right_hip"], 0]
    assert subject.mask.shape == (640, WIDTH)


def test_the_result_stands_in_the_world_at_the_asked_height(model, fitted):
    result = fitted[0]
    posed = model.pose(result.pose)
    assert posed.vertices[:, 1].min() == pytest.approx(0.0, abs=1e-4)
    assert np.abs(posed.joints[0, [0, 2]]).max() < 1e-5
    assert stature(model, result.pose.betas) * result.pose.scale == pytest.approx(HEIGHT_M)


def test_the_report_says_what_the_camera_shows(model, fitted):
    result, subject, _, _ = fitted
    pixels = result.camera.project(model.pose(result.pose).vertices.astype(np.float64))
    covered = draw_silhouette(pixels, model.faces, *subject.mask.shape[::-1])
    iou = intersection_over_union(covered, subject.mask > 0.5)
    assert result.report.silhouette_iou == pytest.approx(iou, abs=1e-3)
    assert result.report.missing_joints == ()


def test_progress_and_warnings_are_told(fitted):
    result, _, _, events = fitted
    steps = [e.step for e in events if isinstance(e, Step)]
    assert steps == list(range(1, len(steps) + 1))
    totals = [e.total for e in events if isinstance(e, Step)]
    # Fits that end in one pose are finished once, so there may be less to do than was told at first.
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] == len(steps)
    told = [e.message for e in events if isinstance(e, Warned)]
    assert told == list(result.report.warnings)
    assert any("left hand" in message for message in told)


def test_the_same_input_gives_the_same_fit(model, fitted):
    began = time.perf_counter()
    again = fit_body(fitted[1], model, HEIGHT_M)
    # Against this machine's own clock: a busy one is not a fault of the fit. Rounded to ms.
    assert 0 < again.report.seconds <= time.perf_counter() - began + 1e-3
    np.testing.assert_array_equal(again.pose.full_pose, fitted[0].pose.full_pose)
    assert again.camera == fitted[0].camera


def test_somebody_seen_from_behind(model):
    subject, truth, _ = subject_of(model, pose_of(model, pelvis=(0, 3.0, 0)), 3.0, face=False)
    result = fit_body(subject, model, HEIGHT_M)
    joints = model.pose(result.pose).joints
    assert joints[JOINT_INDEX["left_shoulder"], 0] < joints[JOINT_INDEX["right_shoulder"], 0]
    assert aligned_error(joints[BODY], truth.joints[BODY]).mean() < 0.03


def test_sitting_bends_hips_and_knees(model):
    legs = {
        f"{side}_{joint}": angles
        for side in ("left", "right")
        for joint, angles in (("hip", (-1.4, 0, 0)), ("knee", (1.5, 0, 0)))
    }
    subject, truth, _ = subject_of(model, pose_of(model, **legs), noise_px=3.0)
    result = fit_body(subject, model, HEIGHT_M)
    joints = model.pose(result.pose).joints
    assert result.pose.full_pose[JOINT_INDEX["left_knee"], 0] > 1.0
    assert aligned_error(joints[BODY], truth.joints[BODY]).mean() < 0.05


def test_hands_follow_their_landmarks(model):
    fist = {
        f"left_{f}{k}": (0, 0, -1.2) for f in ("index", "middle", "ring", "pinky") for k in (1, 2)
    }
    pose = pose_of(model, left_shoulder=(0, 0, -0.5), **fist)
    subject, _, _ = subject_of(model, pose, noise_px=1.0, hands=True)
    result = fit_body(subject, model, HEIGHT_M)
    curl = result.pose.full_pose[:, 2]
    left = np.mean([curl[JOINT_INDEX[f"left_middle{k}"]] for k in (1, 2)])
    right = np.mean([curl[JOINT_INDEX[f"right_middle{k}"]] for k in (1, 2)])
    assert left < -0.8
    assert right < 0.7


def test_unseen_legs_stand_and_are_reported(model):
    pose = pose_of(model, left_shoulder=(0, 0, -0.9))
    posed = model.pose(pose)
    camera = PhotoCamera(420.0, WIDTH / 2, 330.0)
    landmarks = landmarks_of(model, pose, camera, 3.0)
    seen = landmarks.body[:, 1] < 480
    landmarks = replace(landmarks, visibility=np.where(seen, landmarks.visibility, 0.02))
    subject = wrap(model, posed, camera, landmarks, height=480)
    assert subject.mask[-1].any()
    result = fit_body(subject, model, HEIGHT_M)
    assert {"left_knee", "right_ankle"} <= set(result.report.missing_joints)
    assert any("left knee" in text for text in result.report.warnings)
    bends = np.abs(result.pose.full_pose[[JOINT_INDEX["left_knee"], JOINT_INDEX["right_hip"]], 0])
    assert bends.max() < 0.25
    joints = model.pose(result.pose).joints
    assert joints[JOINT_INDEX["left_ankle"], 1] < 0.15
    assert aligned_error(joints[BODY], posed.joints[BODY]).mean() < 0.05


def test_locked_joints_keep_the_artists_rotation(model, fitted):
    first, subject, _, _ = fitted
    edited = first.pose.full_pose.copy()
    edited[JOINT_INDEX["right_elbow"]] = (0.1, 0.9, 0.0)
    edited[JOINT_INDEX["right_wrist"]] = (0.3, 0.0, 0.2)
    initial = PoseFile(replace(first.pose, full_pose=edited), first.camera)
    locked = frozenset({"right_elbow", "right_wrist"})
    result = fit_body(subject, model, HEIGHT_M, initial=initial, locked_joints=locked)
    kept = [JOINT_INDEX[name] for name in sorted(locked)]
    np.testing.assert_allclose(result.pose.full_pose[kept], edited[kept], atol=1e-6)
    free = JOINT_INDEX["right_shoulder"]
    assert np.abs(result.pose.full_pose[free] - edited[free]).max() > 1e-3


@pytest.mark.parametrize("turn", [0.0, np.pi])
def test_a_pose_without_camera_gets_one_and_stays(model, turn):
    pose = raised_arm(model)
    subject, truth, camera = subject_of(model, pose, noise_px=2.0)
    given = pose.full_pose.copy()
    # As smplify-x writes it: in a camera frame whose y points down.
    root = Rotation.from_rotvec([turn, 0, 0]) * Rotation.from_rotvec(given[0])
    given[0] = root.as_rotvec()
    result = fit_camera(subject, model, replace(pose, full_pose=given), HEIGHT_M)
    np.testing.assert_array_equal(result.pose.full_pose[1:], pose.full_pose[1:])
    np.testing.assert_array_equal(result.pose.betas, pose.betas)
    shown = result.camera.project(model.pose(result.pose).joints.astype(np.float64))
    wanted = camera.project(truth.joints.astype(np.float64))
    assert np.linalg.norm(shown - wanted, axis=1).mean() < 3.0
    assert result.report.silhouette_iou > 0.93


def test_a_given_pose_with_camera_is_not_touched(model, fitted):
    first, subject, _, _ = fitted
    moved = replace(first.camera, center_u=first.camera.center_u + 40)
    result = adopt_pose(subject, model, PoseFile(first.pose, moved), HEIGHT_M)
    assert result.pose is first.pose
    assert result.camera == moved
    assert result.report.silhouette_iou < first.report.silhouette_iou - 0.1
    assert result.report.reprojection_error_px > 30
    with pytest.raises(HumanRefError) as error:
        FitResult.from_file(PoseFile(first.pose))
    assert error.value.code == "pose_without_camera"


def test_a_camera_of_another_photo_is_refused(model, fitted):
    first, subject, _, _ = fitted
    beside = replace(first.camera, center_u=first.camera.center_u + 5000)
    with pytest.raises(HumanRefError) as error:
        adopt_pose(subject, model, PoseFile(first.pose, beside), HEIGHT_M)
    assert error.value.code == "pose_elsewhere"


def test_without_trusted_landmarks_no_error_is_claimed(model, fitted):
    first, subject, _, _ = fitted
    height, width = subject.mask.shape
    evidence = gather_evidence(subject.landmarks, width, height)
    unsure = replace(evidence, trusted=(False,) * len(evidence.trusted))
    report = score_fit(first.pose, first.camera, subject, model, unsure)
    assert report.reprojection_error_px is None
    assert report.reprojection_error_percent is None
    assert report.silhouette_iou == first.report.silhouette_iou


def test_a_person_who_fills_the_photo_has_no_outline(model, fitted):
    subject = replace(fitted[1], mask=np.ones_like(fitted[1].mask))
    result = fit_body(subject, model, HEIGHT_M)
    assert result.report.reprojection_error_percent < 1.0
    assert any("poorly" in text for text in result.report.warnings)


@pytest.mark.parametrize(
    ("locked", "code"), [({"left_knee"}, "locked_without_pose"), ({"tail"}, "unknown_joint")]
)
def test_locks_that_make_no_sense(model, fitted, locked, code):
    with pytest.raises(HumanRefError) as error:
        fit_body(fitted[1], model, HEIGHT_M, locked_joints=frozenset(locked))
    assert error.value.code == code


def test_people_that_a_real_detector_sees(model):
    """MediaPipe on drawn bodies: its noise and its habits, and a truth to compare with."""
    errors = []
    for picture, landmarks in detected_pictures(model, 4, seed=7, side=512):
        regions = np.zeros(picture.mask.shape, np.uint8)
        subject = Subject(
            picture.photo(), picture.mask.astype(np.float32), regions, landmarks, "a person"
        )
        result = fit_body(subject, model, HEIGHT_M)
        joints = model.pose(result.pose).joints
        errors.append(aligned_error(joints[BODY], picture.body.joints[BODY]).mean())
        assert result.report.silhouette_iou > 0.88
        body = ArticulatedBody(model)
        scale = result.camera.pixels_per_metre * result.pose.scale * body.stature
        apart = result.camera.project(joints[BODY].astype(np.float64)) - (
            picture.camera.project(picture.body.joints[BODY].astype(np.float64))
        )
        assert np.linalg.norm(apart, axis=1).mean() < 0.02 * scale
    assert len(JOINT_NAMES) == 55
    assert np.mean(errors) < 0.040
    assert max(errors) < 0.065
