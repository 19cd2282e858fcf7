"""Fit the body to a photo's landmarks and silhouette (3.1, SMPLify style), in stages.

Torso and limbs from landmarks alone (two starts, the better one stays), then shape and outline, then
hands and head with everything together. Every stage is Levenberg-Marquardt on exact Jacobians.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from backend.body.model import BodyModel
from backend.body.pose import BodyPose
from backend.body.posing import check_pose
from backend.errors import HumanRefError
from backend.events import OnEvent, Step, Warned, ignore_events
from backend.fitting.evidence import Evidence, gather_evidence
from backend.fitting.initialise import (
    align_camera,
    candidate_starts,
    legs_as_seen,
    limbs_from_directions,
    natural_start,
    unseen_limbs_at_rest,
)
from backend.fitting.kinematics import MAX_BETAS, ArticulatedBody, split_betas
from backend.fitting.least_squares import minimize
from backend.fitting.objective import FitObjective, State, Variables, Weights
from backend.fitting.placement import place_in_world, state_of_pose
from backend.fitting.pose_schema import PoseFile
from backend.fitting.priors import PosePrior, natural_pose_prior
from backend.fitting.report import FitReport
from backend.fitting.scoring import score_fit
from backend.fitting.silhouette import BodyOutline, SilhouetteMatcher, mask_outline
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Subject
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS

STAGE = "fitting"
# Jaw and eyes are not fitted: nothing in the landmarks says where a person looks.
_BODY = tuple(range(22))
_TORSO = tuple(JOINT_INDEX[n] for n in ("pelvis", "spine1", "spine2", "spine3"))
_HANDS = tuple(range(25, N_JOINTS))
_OUTLINE_SAMPLES = 240
# Minimisations of a fit from scratch, for the progress bar.
_STEPS = 21
# 240 neighbouring samples are about 80 independent ones.
_SILHOUETTE_SHARE = 0.35


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
    fitter = _Fitter(subject, model, locked_joints, on_event, given)
    state = fitter.refine(fitter.start(initial))
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
    fitter = _Fitter(subject, model, frozenset(JOINT_NAMES), on_event, pose.betas)
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
        HumanRefError: as :func:`fit_camera`; see :func:`backend.body.posing.check_pose`.
    """
    for note in pose_file.notes:
        on_event(Warned("pose_adapted", note))
    check_pose(model, pose_file.pose)
    if pose_file.camera is None:
        return fit_camera(subject, model, pose_file.pose, height_m, on_event)
    began = time.perf_counter()
    height, width = subject.mask.shape
    evidence = gather_evidence(subject.landmarks, width, height)
    return _finish(pose_file.pose, pose_file.camera, subject, model, evidence, began, on_event)


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


class _Fitter:
    """One photo's evidence and the stages that use it."""

    def __init__(
        self,
        subject: Subject,
        model: BodyModel,
        locked: frozenset[str],
        on_event: OnEvent,
        betas: Float[np.ndarray, "b"] | None = None,
    ) -> None:
        """``betas``: of a given pose; what the fit does not vary of them stays as it is."""
        self._height, self._width = subject.mask.shape
        self._model, self._on_event = model, on_event
        self.evidence = gather_evidence(subject.landmarks, self._width, self._height)
        tail = None if betas is None else split_betas(betas, min(model.n_betas, MAX_BETAS))[1]
        self.body = ArticulatedBody(model, tail)
        resting = self.evidence.resting_joints
        self._prior: PosePrior = unseen_limbs_at_rest(natural_pose_prior(), resting)
        self._locked = {JOINT_INDEX[name] for name in locked}
        outline = mask_outline(subject.mask)
        self._matcher = SilhouetteMatcher(self.body, model, outline, hidden_joints=resting)
        self._step = 0

    def start(self, initial: PoseFile | None) -> State:
        """The given pose, or the better of two fits to the landmarks alone."""
        if initial is not None and initial.camera is not None:
            return state_of_pose(initial.pose, initial.camera, self.body.n_betas)
        natural = natural_start(self.body, self.evidence, self._prior)
        limbs = limbs_from_directions(self.body, self.evidence, natural)
        self._prior = legs_as_seen(self._prior, limbs, self.evidence.landmark_weight)
        starts = candidate_starts(self.body, self.evidence, natural)
        rough = sorted((self._roughly(start) for start in starts), key=lambda fit: fit[1])
        best = [self._landmark_stages(state) for state, _ in rough[:2]]
        return min(best, key=lambda fit: fit[1])[0]

    def _roughly(self, state: State) -> tuple[State, float]:
        state, _ = self._minimize(state, _TORSO, False, Weights(), iterations=3)
        return self._minimize(state, _BODY, False, Weights(landmark_width=10.0), iterations=8)

    def _landmark_stages(self, state: State) -> tuple[State, float]:
        return self._minimize(state, _BODY, False, Weights(landmark_width=6.0), iterations=15)

    def refine(self, state: State) -> State:
        """Shape and outline, then hands and head with everything together."""
        weights = Weights(landmark_width=5.0, silhouette=_SILHOUETTE_SHARE)
        for _ in range(4):
            state, _ = self._minimize(state, _BODY, True, weights, 4, self._outline(state))
        everything = (*_BODY, *self._seen_fingers())
        for _ in range(3):
            state, _ = self._minimize(state, everything, True, weights, 5, self._outline(state))
        return state

    def camera_only(self, pose: BodyPose) -> State:
        """Scale and shift of a fixed pose, upright or turned by half about x."""
        betas, _ = split_betas(pose.betas, self.body.n_betas)
        full_pose = pose.full_pose.astype(np.float64)
        given = align_camera(self.body, self.evidence, full_pose, betas)
        turned = given.full_pose.copy()
        half_turn = Rotation.from_rotvec([np.pi, 0, 0])
        turned[0] = (half_turn * Rotation.from_rotvec(turned[0])).as_rotvec()
        other = align_camera(self.body, self.evidence, turned, given.betas)
        weights = Weights(landmark_width=8.0)
        fits = [self._minimize(s, (), False, weights, 10) for s in (given, other)]
        state = min(fits, key=lambda fit: fit[1])[0]
        weights = Weights(landmark_width=5.0, silhouette=_SILHOUETTE_SHARE)
        for _ in range(3):
            state, _ = self._minimize(state, (), False, weights, 4, self._outline(state))
        return state

    def _seen_fingers(self) -> tuple[int, ...]:
        seen = {anchor.joint for anchor in self.evidence.anchors}
        sides = [s for s in ("left", "right") if f"{s}_index2" in seen]
        return tuple(j for j in _HANDS if JOINT_NAMES[j].split("_")[0] in sides)

    def _outline(self, state: State) -> BodyOutline:
        vertices = self.body.place(
            self.body.articulate(state.full_pose, state.betas), self.body.skin
        )
        photo = (self._width, self._height)
        return self._matcher.sample(state.project(vertices), photo, _OUTLINE_SAMPLES)

    def _minimize(
        self,
        state: State,
        joints: tuple[int, ...],
        betas: bool,
        weights: Weights,
        iterations: int,
        outline: BodyOutline | None = None,
    ) -> tuple[State, float]:
        free = tuple(j for j in joints if j not in self._locked)
        variables = Variables(free, betas, self.body.n_betas)
        matched = (self._matcher, outline) if outline is not None else None
        objective = FitObjective(
            self.body, self.evidence, self._prior, variables, state, weights, matched
        )
        x, end = minimize(objective, variables.pack(state), iterations)
        self._step += 1
        self._on_event(Step(STAGE, self._step, _STEPS, 0.0, {"cost": end.cost}))
        return variables.unpack(x, state), end.cost
