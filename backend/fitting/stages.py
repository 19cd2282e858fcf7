"""The stages of a fit: starts, landmarks, shape and outline, then everything together.

Torso and limbs come from landmarks alone, from several starts because depth is ambiguous; then shape and
outline; then hands and head with everything together. Every stage is Levenberg-Marquardt on exact
Jacobians.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from backend.body.model import BodyModel
from backend.body.pose import BodyPose
from backend.events import OnEvent, Step
from backend.fitting.evidence import gather_evidence
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
from backend.fitting.lifting import Lifter
from backend.fitting.objective import FitObjective, State, Variables, Weights
from backend.fitting.picture_cues import picture_cues
from backend.fitting.placement import state_of_pose
from backend.fitting.pose_schema import PoseFile
from backend.fitting.priors import PosePrior, natural_pose_prior
from backend.fitting.silhouette import BodyOutline, SilhouetteMatcher, mask_outline
from backend.perception.subject import Subject
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS

STAGE = "fitting"
# Jaw and eyes are not fitted: nothing in the landmarks says where a person looks.
_BODY = tuple(range(22))
_TORSO = tuple(JOINT_INDEX[n] for n in ("pelvis", "spine1", "spine2", "spine3"))
_HANDS = tuple(range(25, N_JOINTS))
# Starts that are fitted to the end; minimisations with a new outline, of the body and of everything.
_KEPT_STARTS, _REFINEMENTS, _FINISHES = 3, 4, 3
# Two fits whose joints are all nearer than this are one (metres).
_SAME_POSE = 0.04
_OUTLINE_SAMPLES = 240
# 240 neighbouring samples are about 80 independent ones.
_SILHOUETTE_SHARE = 0.35


class Fitter:
    """One photo's evidence and the stages that use it."""

    def __init__(
        self,
        subject: Subject,
        model: BodyModel,
        locked: frozenset[str],
        on_event: OnEvent,
        betas: Float[np.ndarray, "b"] | None = None,
        lifter: Lifter | None = None,
    ) -> None:
        """``betas``: of a given pose; what the fit does not vary of them stays as it is."""
        self._height, self._width = subject.mask.shape
        self._model, self._on_event = model, on_event
        cues = None
        if lifter is not None:
            body = subject.landmarks.body.astype(np.float64)
            cues = picture_cues(subject.photo.rgb, subject.mask, body)
        self.evidence = gather_evidence(subject.landmarks, self._width, self._height, lifter, cues)
        tail = None if betas is None else split_betas(betas, min(model.n_betas, MAX_BETAS))[1]
        self.body = ArticulatedBody(model, tail)
        resting = self.evidence.resting_joints
        self._prior: PosePrior = unseen_limbs_at_rest(natural_pose_prior(), resting)
        self._locked = {JOINT_INDEX[name] for name in locked}
        outline = mask_outline(subject.mask)
        self._matcher = SilhouetteMatcher(self.body, model, outline, hidden_joints=resting)
        self._step, self._steps = 0, 0

    def start(self, initial: PoseFile | None) -> list[State]:
        """The given pose, or the best few different fits to the landmarks alone."""
        self._steps = _REFINEMENTS + _FINISHES
        if initial is not None and initial.camera is not None:
            return [state_of_pose(initial.pose, initial.camera, self.body.n_betas)]
        natural = natural_start(self.body, self.evidence, self._prior)
        if self.evidence.slopes is None:
            limbs = limbs_from_directions(self.body, self.evidence, natural)
            self._prior = legs_as_seen(self._prior, limbs, self.evidence.landmark_weight)
        starts = candidate_starts(self.body, self.evidence, natural)
        self._steps = 3 * len(starts) + _KEPT_STARTS * (_REFINEMENTS + _FINISHES)
        fits = [self._landmark_stages(self._roughly(start)[0]) for start in starts]
        different: list[State] = []
        for state, _ in sorted(fits, key=lambda fit: fit[1]):
            if all(self._apart(state, other) > _SAME_POSE for other in different):
                different.append(state)
        return different[:_KEPT_STARTS]

    def _apart(self, first: State, second: State) -> float:
        """The largest distance between the same joints of two poses, metres."""
        places = [self.body.articulate(s.full_pose, s.betas).positions for s in (first, second)]
        return float(np.linalg.norm(places[0] - places[1], axis=1).max())

    def _roughly(self, state: State) -> tuple[State, float]:
        arms = Weights(fingers=False)
        state, _ = self._minimize(state, _TORSO, False, arms, iterations=3)
        arms = Weights(landmark_width=10.0, fingers=False)
        return self._minimize(state, _BODY, False, arms, iterations=8)

    def _landmark_stages(self, state: State) -> tuple[State, float]:
        return self._minimize(state, _BODY, False, Weights(landmark_width=6.0), iterations=15)

    def refine(self, states: Sequence[State]) -> State:
        """The one of several starts that explains landmarks and outline best in the end."""
        self._steps = self._step + len(states) * (_REFINEMENTS + _FINISHES)
        return min((self._refined(state) for state in states), key=lambda fit: fit[1])[0]

    def _refined(self, state: State) -> tuple[State, float]:
        """Shape and outline, then hands and head with everything together."""
        weights = Weights(landmark_width=5.0, silhouette=_SILHOUETTE_SHARE)
        for _ in range(_REFINEMENTS):
            state, _ = self._minimize(state, _BODY, True, weights, 4, self._outline(state))
        everything = (*_BODY, *self._seen_fingers())
        cost = np.inf
        for _ in range(_FINISHES):
            state, cost = self._minimize(state, everything, True, weights, 5, self._outline(state))
        return state, cost

    def camera_only(self, pose: BodyPose) -> State:
        """Scale and shift of a fixed pose, upright or turned by half about x."""
        self._steps = 2 + _FINISHES
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
        for _ in range(_FINISHES):
            state, _ = self._minimize(state, (), False, weights, 4, self._outline(state))
        return state

    def _seen_fingers(self) -> tuple[int, ...]:
        seen = {anchor.joint for anchor in self.evidence.anchors}
        sides = [s for s in ("left", "right") if f"{s}_index2" in seen]
        return tuple(j for j in _HANDS if JOINT_NAMES[j].split("_")[0] in sides)

    def _outline(self, state: State) -> BodyOutline | None:
        """Samples of the body's outline; None where the person fills the photo and has no outline."""
        if len(self._matcher.outline.points) == 0:
            return None
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
        self._on_event(Step(STAGE, self._step, self._steps, 0.0, {"cost": end.cost}))
        return variables.unpack(x, state), end.cost
