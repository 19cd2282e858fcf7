"""The pipeline's first function: what is looked at once, what is taken over, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.errors import HumanRefError
from backend.events import StageStarted
from backend.fitting.pose_schema import PhotoInfo, PoseFile
from backend.perception.overrides import Overrides
from backend.pipeline import Estimate, EstimateRequest, estimate
from shared_protocol.skeleton import JOINT_INDEX

PHOTO = Path(__file__).parents[2] / "examples" / "photo.png"
GONE = Path("no-longer-there.png")
SEEN_ONCE = {"photo", "landmarks", "segmentation", "parsing", "caption"}


@pytest.fixture(scope="module")
def first() -> Estimate:
    return estimate(EstimateRequest(PHOTO))


def edited(first: Estimate) -> PoseFile:
    """The artist turned one elbow and spread one leg sideways, which the photo contradicts."""
    full_pose = first.fit.pose.full_pose.copy()
    full_pose[JOINT_INDEX["left_elbow"]] = (0.1, -0.9, 0.2)
    full_pose[JOINT_INDEX["right_hip"]] += (0.0, 0.0, -0.5)
    return PoseFile(replace(first.fit.pose, full_pose=full_pose), first.fit.camera)


def test_a_subject_is_not_looked_at_again(first: Estimate) -> None:
    events: list = []
    again = estimate(EstimateRequest(GONE), events.append, subject=first.subject)
    started = {event.stage for event in events if isinstance(event, StageStarted)}
    assert "fitting" in started
    assert not started & SEEN_ONCE
    assert again.subject is first.subject
    np.testing.assert_array_equal(again.fit.pose.full_pose, first.fit.pose.full_pose)
    # The same request as one that names the photo: that one does look.
    assert set(first.subject.providers) == SEEN_ONCE - {"photo"}


def test_a_pose_from_memory_is_the_last_word(first: Estimate) -> None:
    given = edited(first)
    taken = estimate(EstimateRequest(GONE, initial=given), subject=first.subject)
    assert taken.fit.pose is given.pose
    assert taken.fit.camera == given.camera
    # Its pose shows in the body and its score in the report.
    assert taken.body.pose is given.pose
    assert taken.fit.report.silhouette_iou < first.fit.report.silhouette_iou


def test_a_refit_keeps_locked_joints_and_moves_the_others(first: Estimate) -> None:
    given = edited(first)
    locked = frozenset({"left_elbow"})
    request = EstimateRequest(GONE, initial=given, refit=True, locked_joints=locked)
    refitted = estimate(request, subject=first.subject).fit
    elbow, hip = JOINT_INDEX["left_elbow"], JOINT_INDEX["right_hip"]
    np.testing.assert_allclose(
        refitted.pose.full_pose[elbow], given.pose.full_pose[elbow], atol=1e-6
    )
    assert abs(refitted.pose.full_pose[hip, 2] - first.fit.pose.full_pose[hip, 2]) < 0.15


def test_a_refit_without_a_camera_finds_one_and_still_moves(first: Estimate) -> None:
    bare = replace(edited(first), camera=None)
    request = EstimateRequest(GONE, initial=bare, refit=True)
    refitted = estimate(request, subject=first.subject).fit
    assert refitted.report.silhouette_iou > first.fit.report.silhouette_iou - 0.05
    hip = JOINT_INDEX["right_hip"]
    assert abs(refitted.pose.full_pose[hip, 2] - bare.pose.full_pose[hip, 2]) > 0.3


def test_a_caption_replaces_the_captioners(first: Estimate) -> None:
    request = EstimateRequest(
        GONE, initial=edited(first), overrides=Overrides(caption=" a  dancer\n")
    )
    said = estimate(request, subject=first.subject).subject
    assert said.caption == "a dancer"
    assert said.providers["caption"].startswith("yours")
    assert said.mask is first.subject.mask
    assert first.subject.caption != "a dancer"


def test_requests_that_make_no_sense_are_refused_before_anything_runs(first: Estimate) -> None:
    given = edited(first)
    other = replace(given, photo=PhotoInfo(3, 4))
    fewer = replace(given, pose=replace(given.pose, model="smplx"))
    cases = {
        "refit_without_pose": {"refit": True},
        "locked_without_refit": {"initial": given, "locked_joints": frozenset({"left_knee"})},
        "unknown_joint": {"initial": given, "refit": True, "locked_joints": frozenset({"tail"})},
        "pose_twice": {"initial": given, "pose": Path("pose.json")},
        "pose_other_photo": {"initial": other},
        "pose_other_model": {"initial": fewer},
    }
    for code, asked in cases.items():
        events: list = []
        with pytest.raises(HumanRefError) as refused:
            estimate(EstimateRequest(PHOTO, **asked), events.append)
        assert refused.value.code == code
        started = {event.stage for event in events if isinstance(event, StageStarted)}
        assert started <= {"photo"}
