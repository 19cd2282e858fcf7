"""Fit the body to a photo's landmarks and silhouette (3.1, SMPLify style), or take a given pose."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from backend.body.model import BodyModel
from backend.body.pose import BodyPose
from backend.body.posing import check_pose
from backend.errors import HumanRefError
from backend.events import OnEvent, Warned, ignore_events
from backend.fitting.evidence import Evidence, gather_evidence
from backend.fitting.initialise import unseen_legs_upright
from backend.fitting.lifter_weights import shipped_lifter
from backend.fitting.placement import place_in_world
from backend.fitting.pose_schema import PoseFile
from backend.fitting.report import FitReport
from backend.fitting.scoring import score_fit
from backend.fitting.stages import Fitter
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Subject
from shared_protocol.skeleton import JOINT_NAMES

# Overlap (IoU) below which a given camera does not belong to the photo; a bad pose has 0.3 and more.
_LEAST_OVERLAP = 0.02


@dataclass(frozen=True)
class FitResult:
    """The fitted body, the camera that shows it over the photo, and how well it does."""

    pose: BodyPose
    camera: PhotoCamera
    report: FitReport

    @staticmethod
    def from_file(pose_file: PoseFile) -> FitResult:
        """A given pose taken as it is, with the report it came with.

        Raises:
            HumanRefError: ``pose_without_camera``.
        """
        if pose_file.camera is None:
            raise HumanRefError(
                "pose_without_camera",
                "The pose file has no camera, so nobody knows where in the photo the body stands.",
                'Add "camera", or let humanref fit it.',
            )
        report = pose_file.fit or FitReport.unmeasured()
        return FitResult(pose_file.pose, pose_file.camera, report)


def fit_body(
    subject: Subject,
    model: BodyModel,
    height_m: float,
    on_event: OnEvent = ignore_events,
    initial: PoseFile | None = None,
    locked_joints: frozenset[str] = frozenset(),
) -> FitResult:
    """Find pose, shape and camera of the person in the photo.

    Args:
        height_m: stature of the T-pose body, metres.
        initial: start here instead of from the landmarks (a corrected pose to refine). Without a
            camera its pose and shape are kept and only the camera is found (:func:`fit_camera`).
        locked_joints: names of joints whose rotation stays as in ``initial``.

    The result stands with its lowest vertex at y = 0 and its pelvis joint at x = z = 0 (world frame).

    Raises:
        HumanRefError: ``person_not_visible``; ``unknown_joint`` or ``locked_without_pose`` for locks
            that make no sense; see also :func:`backend.body.posing.check_pose` for ``initial``.
    """
    began = time.perf_counter()
    check_locks(locked_joints, initial)
    if initial is not None:
        check_pose(model, initial.pose)
        if initial.camera is None:
            for note in initial.notes:
                on_event(Warned("pose_adapted", note))
            return fit_camera(subject, model, initial.pose, height_m, on_event)
    given = None if initial is None else initial.pose.betas
    fitter = Fitter(subject, model, locked_joints, on_event, given, shipped_lifter())
    state = fitter.refine(fitter.start(initial))
    if initial is None:
        resting = fitter.evidence.resting_joints
        upright = unseen_legs_upright(state.full_pose, resting, locked_joints)
        state = replace(state, full_pose=upright)
    pose, camera = place_in_world(state, fitter.body, model, height_m)
    return _finish(pose, camera, subject, model, fitter.evidence, began, on_event)


def fit_camera(
    subject: Subject,
    model: BodyModel,
    pose: BodyPose,
    height_m: float,
    on_event: OnEvent = ignore_events,
) -> FitResult:
    """Keep a given pose and shape and find only the camera: scale and shift.

    For parameter files that come without a camera of this photo. Their root may stand in a camera
    frame with y down (smplify-x and its kin); the half turn about x that fits the landmarks better is
    chosen. The body is set to ``height_m`` and stands as :func:`fit_body` says.

    Raises:
        HumanRefError: as :func:`fit_body`.
    """
    began = time.perf_counter()
    fitter = Fitter(subject, model, frozenset(JOINT_NAMES), on_event, pose.betas)
    state = fitter.camera_only(pose)
    placed, camera = place_in_world(state, fitter.body, model, height_m)
    return _finish(placed, camera, subject, model, fitter.evidence, began, on_event)


def adopt_pose(
    subject: Subject,
    model: BodyModel,
    pose_file: PoseFile,
    height_m: float,
    on_event: OnEvent = ignore_events,
) -> FitResult:
    """Take a given pose as the artist's last word, and say how well it explains this photo.

    With a camera nothing is changed; without one the camera is found (:func:`fit_camera`).

    Raises:
        HumanRefError: ``pose_elsewhere`` when the camera shows the body beside the person; as
            :func:`fit_camera`; see :func:`backend.body.posing.check_pose`.
    """
    for note in pose_file.notes:
        on_event(Warned("pose_adapted", note))
    check_pose(model, pose_file.pose)
    if pose_file.camera is None:
        return fit_camera(subject, model, pose_file.pose, height_m, on_event)
    began = time.perf_counter()
    height, width = subject.mask.shape
    evidence = gather_evidence(subject.landmarks, width, height)
    result = _finish(pose_file.pose, pose_file.camera, subject, model, evidence, began, on_event)
    if not (result.report.silhouette_iou or 0.0) >= _LEAST_OVERLAP:
        raise HumanRefError(
            "pose_elsewhere",
            "The pose's camera shows the body where the person in this photo is not.",
            'Delete "camera" from the pose file to have it found, or give the photo it belongs to.',
        )
    return result


def refine_pose(
    subject: Subject,
    model: BodyModel,
    pose_file: PoseFile,
    height_m: float,
    on_event: OnEvent = ignore_events,
    locked_joints: frozenset[str] = frozenset(),
) -> FitResult:
    """Fit again from a given pose, keeping the rotations of the joints that an artist has set.

    Without a camera one is found for the pose as it is (:func:`fit_camera`) before everything moves.

    Raises:
        HumanRefError: as :func:`adopt_pose` and :func:`fit_body`.
    """
    check_locks(locked_joints, pose_file)
    if pose_file.camera is None:
        placed = adopt_pose(subject, model, pose_file, height_m, on_event)
        pose_file = PoseFile(placed.pose, placed.camera)
    return fit_body(subject, model, height_m, on_event, pose_file, locked_joints)


def check_locks(locked_joints: frozenset[str], initial: PoseFile | None) -> None:
    """Raise HumanRefError for joints that do not exist or locks with nothing to keep."""
    unknown = sorted(locked_joints - set(JOINT_NAMES))
    if unknown:
        raise HumanRefError(
            "unknown_joint",
            f"There is no joint called {', '.join(unknown)}.",
            "Use SMPL-X's names, such as left_elbow or right_knee.",
        )
    if locked_joints and initial is None:
        raise HumanRefError(
            "locked_without_pose",
            "Locked joints keep the rotation of a given pose, and no pose was given.",
            "Give the corrected pose.json together with the locked joints.",
        )


def _finish(
    pose: BodyPose,
    camera: PhotoCamera,
    subject: Subject,
    model: BodyModel,
    evidence: Evidence,
    began: float,
    on_event: OnEvent,
) -> FitResult:
    report = score_fit(pose, camera, subject, model, evidence)
    report = replace(report, seconds=round(time.perf_counter() - began, 3))
    for message in report.warnings:
        on_event(Warned("fitting", message))
    return FitResult(pose, camera, report)
