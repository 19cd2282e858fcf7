"""The cost a fit minimises (3.1, SMPLify style) and its Jacobian over the chosen variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from backend.fitting.evidence import Evidence
from backend.fitting.kinematics import ArticulatedBody, Articulation, Points
from backend.fitting.landmark_map import REFERENCE_STATURE, offsets
from backend.fitting.least_squares import Linearization, weighted_block
from backend.fitting.lifting import BONES, Slopes
from backend.fitting.priors import PosePrior
from backend.fitting.silhouette import BodyOutline, SilhouetteMatcher
from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS, PARENTS

_LIMIT_SIGMA = 0.04
# Share of its say that a landmark keeps where it is not to be heard.
_UNHEARD = 1e-3
_BETA_SIGMA = 1.0
# Beyond this many standard deviations a body stops looking like one.
_BETA_LIMIT, _BETA_LIMIT_SIGMA = 2.5, 0.1
# Lean of trunk and balance over the feet: depth is what a scaled-orthographic photo hides.
_LEAN = (("pelvis", 0.08), ("spine3", 0.08))
_BALANCE_SIGMA = 0.06
_LOG_SCALE_SIGMA = 0.3
_SILHOUETTE_WIDTH = 4.0
_SLOPE_WIDTH = 8.0
# The joints that bones of known slope end at, and where each bone's ends are among them.
_ENDS = tuple(dict.fromkeys(JOINT_INDEX[name] for bone in BONES for name in bone))
_BONE_ENDS = np.array([[_ENDS.index(JOINT_INDEX[name]) for name in bone] for bone in BONES])
# Legs that bend alike, as a share of what legs that bend apart may do.
_LEGS = tuple(
    (JOINT_INDEX[f"left_{name}"], JOINT_INDEX[f"right_{name}"]) for name in ("hip", "knee")
)
_BOTH_LEGS = 0.25
_PELVIS, _ANKLES = JOINT_INDEX["pelvis"], [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]


@dataclass(frozen=True)
class State:
    """Everything a fit changes. u = tx + s x, v = ty - s y with x, y in unscaled model metres."""

    full_pose: Float[np.ndarray, "55 3"]
    betas: Float[np.ndarray, "b"]
    log_scale: float
    """log of s, pixels per model metre."""
    shift: Float[np.ndarray, "2"]
    """(tx, ty), pixels."""

    def project(self, points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
        """Model points to (u, v, depth towards the camera), pixels."""
        s = np.exp(self.log_scale)
        u, v = self.shift[0] + s * points[:, 0], self.shift[1] - s * points[:, 1]
        return np.column_stack([u, v, s * points[:, 2]])


@dataclass(frozen=True)
class Variables:
    """Which parts of a state are free: some joints' axis-angles, maybe betas, always the camera."""

    joints: tuple[int, ...]
    betas: bool
    n_betas: int

    @property
    def size(self) -> int:
        """Length of the vector: angles, betas, log scale, shift."""
        return 3 * len(self.joints) + (self.n_betas if self.betas else 0) + 3

    def pack(self, state: State) -> Float[np.ndarray, "n"]:
        """The free parts of ``state``."""
        betas = state.betas if self.betas else np.zeros(0)
        angles = state.full_pose[list(self.joints)].ravel()
        return np.concatenate([angles, betas, [state.log_scale], state.shift])

    def unpack(self, x: Float[np.ndarray, "n"], base: State) -> State:
        """``base`` with its free parts replaced."""
        pose = base.full_pose.copy()
        angles = 3 * len(self.joints)
        pose[list(self.joints)] = x[:angles].reshape(-1, 3)
        betas = x[angles:-3] if self.betas else base.betas
        return replace(base, full_pose=pose, betas=betas, log_scale=float(x[-3]), shift=x[-2:])


@dataclass(frozen=True)
class Weights:
    """What a stage listens to."""

    landmark_width: float = np.inf
    """Robust width in sigmas; inf while the start may be far off."""
    silhouette: float = 0.0
    """Share of the outline in the cost (samples are dense and correlated)."""
    fingers: bool = True
    """False while arms look for their place: a hand turned the wrong way would drag its arm along."""


class FitObjective:
    """Robust sum over landmarks, depths, silhouette, priors; call it with a packed vector."""

    def __init__(
        self,
        body: ArticulatedBody,
        evidence: Evidence,
        prior: PosePrior,
        variables: Variables,
        base: State,
        weights: Weights,
        silhouette: tuple[SilhouetteMatcher, BodyOutline] | None = None,
    ) -> None:
        themselves = np.zeros((len(_ENDS), N_JOINTS))
        themselves[np.arange(len(_ENDS)), list(_ENDS)] = 1.0
        ends = list(_ENDS)
        self._bone_ends = Points(body.joints[ends], body.joint_dirs[ends], themselves)
        self._body, self._evidence, self._prior = body, evidence, prior
        self.variables, self._base, self._weights = variables, base, weights
        self._silhouette = silhouette
        joints = [anchor.joint for anchor in evidence.anchors]
        anchors = body.joint_points(joints, offsets(evidence.anchors), REFERENCE_STATURE)
        parts = [anchors] + ([silhouette[1].points] if silhouette else [])
        self._points = Points.join(parts)
        self._n_anchors = len(joints)
        finger = [
            group.endswith("hand") and anchor.landmark > 0
            for group, anchor in zip(evidence.group, evidence.anchors, strict=True)
        ]
        self._heard = np.where(np.array(finger, bool) & (not weights.fingers), _UNHEARD, 1.0)

    def __call__(self, x: Float[np.ndarray, "n"]) -> Linearization:
        """Cost and Gauss-Newton system at ``x``."""
        state = self.variables.unpack(x, self._base)
        posed = self._body.articulate(state.full_pose, state.betas)
        placed, by_angle, by_betas = self._body.place_with_jacobian(
            posed, self._points, self.variables.joints
        )
        pixels = state.project(placed)
        jacobian = self._pixel_jacobian(placed, by_angle, by_betas, float(np.exp(state.log_scale)))
        blocks = [
            self._landmarks(pixels, jacobian),
            self._depths(pixels, jacobian),
            self._pose_prior(state),
            self._limits(state),
            self._lean(posed),
            self._balance(posed),
            self._size_prior(state),
            self._stride(state),
        ]
        if self._evidence.slopes is not None:
            blocks.append(self._slopes(self._evidence.slopes, posed))
        if self.variables.betas:
            blocks.append(self._shape_prior(state))
        if self._silhouette is not None:
            blocks.append(self._outline(pixels, jacobian, float(np.exp(state.log_scale))))
        return Linearization(
            sum(block.cost for block in blocks),
            np.concatenate([block.residual for block in blocks]),
            np.concatenate([block.jacobian for block in blocks]),
        )

    def _pixel_jacobian(
        self, placed: np.ndarray, by_angle: np.ndarray, by_betas: np.ndarray, s: float
    ) -> np.ndarray:
        """(m, 3, n): derivative of (u, v, depth) in every variable."""
        m = len(placed)
        parts = [by_angle.reshape(m, 3, -1)] + ([by_betas] if self.variables.betas else [])
        camera = np.zeros((m, 3, 3))
        # d/d log s of s * p is s * p; the axis flip of v follows below for all columns.
        camera[:, :, 0] = placed
        jacobian = s * np.concatenate([*parts, camera], 2)
        jacobian[:, 1] *= -1
        jacobian[:, 0, -2] = 1.0
        jacobian[:, 1, -1] = 1.0
        return jacobian

    def _landmarks(self, pixels: np.ndarray, jacobian: np.ndarray) -> Linearization:
        n, sigma = self._n_anchors, self._evidence.sigma[:, None] / self._heard[:, None]
        residual = (pixels[:n, :2] - self._evidence.pixels) / sigma
        return weighted_block(
            residual, jacobian[:n, :2] / sigma[:, :, None], self._weights.landmark_width
        )

    def _depths(self, pixels: np.ndarray, jacobian: np.ndarray) -> Linearization:
        first, second = self._evidence.depth_pairs.T
        sigma = self._evidence.depth_sigma / self._heard[second]
        residual = (pixels[second, 2] - pixels[first, 2] - self._evidence.depth) / sigma
        slope = (jacobian[second, 2] - jacobian[first, 2]) / sigma[:, None]
        return weighted_block(residual[:, None], slope[:, None], 3.0)

    def _angle_block(
        self, residual: Float[np.ndarray, "k 3"], slope: Float[np.ndarray, "k 3"]
    ) -> Linearization:
        n = residual.size
        jacobian = np.zeros((n, self.variables.size))
        jacobian[np.arange(n), np.arange(n)] = slope.ravel()
        return Linearization(float((residual**2).sum()), residual.ravel(), jacobian)

    def _pose_prior(self, state: State) -> Linearization:
        joints = list(self.variables.joints)
        sigma = self._prior.sigma[joints]
        return self._angle_block(
            (state.full_pose[joints] - self._prior.mean[joints]) / sigma, 1 / sigma
        )

    def _stride(self, state: State) -> Linearization:
        """Legs bend apart more freely than both alike.

        A camera held high shortens both legs, which must not bend them; a step takes one hip forward
        and the other back.
        """
        jacobian = np.zeros((len(_LEGS), self.variables.size))
        residual = np.zeros(len(_LEGS))
        for row, pair in enumerate(_LEGS):
            if not set(pair) <= set(self.variables.joints):
                continue
            both = list(pair)
            # The mean of two independent angles, held to a share of its own spread.
            sigma = _BOTH_LEGS * 0.5 * float(np.linalg.norm(self._prior.sigma[both, 0]))
            off = state.full_pose[both, 0] - self._prior.mean[both, 0]
            residual[row] = off.mean() / sigma
            for joint in both:
                jacobian[row, 3 * self.variables.joints.index(joint)] = 0.5 / sigma
        return Linearization(float((residual**2).sum()), residual, jacobian)

    def _limits(self, state: State) -> Linearization:
        joints = list(self.variables.joints)
        angle = state.full_pose[joints]
        over = np.maximum(angle - self._prior.upper[joints], 0.0)
        under = np.minimum(angle - self._prior.lower[joints], 0.0)
        beyond = over + under
        return self._angle_block(beyond / _LIMIT_SIGMA, (beyond != 0) / _LIMIT_SIGMA)

    def _lean(self, posed: Articulation) -> Linearization:
        residual = np.zeros((len(_LEAN), 1))
        jacobian = np.zeros((len(_LEAN), 1, self.variables.size))
        for row, (name, sigma) in enumerate(_LEAN):
            up = posed.rotations[JOINT_INDEX[name]][:, 1]
            residual[row] = (up[2] - self._evidence.lean) / sigma
            for k in _chain(name):
                if k in self.variables.joints:
                    at = 3 * self.variables.joints.index(k)
                    turned = np.cross(posed.axes[k].T, up)
                    jacobian[row, 0, at : at + 3] = turned[:, 2] / sigma
        return weighted_block(residual, jacobian)

    def _balance(self, posed: Articulation) -> Linearization:
        """Mean depth of the ankles behind or before the pelvis: 0 for someone who stands."""
        weights = np.zeros((3, N_JOINTS))
        weights[np.arange(3), [_PELVIS, *_ANKLES]] = 1.0
        rest = [_PELVIS, *_ANKLES]
        points = Points(self._body.joints[rest], self._body.joint_dirs[rest], weights)
        placed, by_angle, by_betas = self._body.place_with_jacobian(
            posed, points, self.variables.joints
        )
        mix = np.array([-1.0, 0.5, 0.5]) / _BALANCE_SIGMA
        jacobian = np.zeros((1, 1, self.variables.size))
        angles = 3 * len(self.variables.joints)
        jacobian[0, 0, :angles] = np.tensordot(mix, by_angle[:, 2], 1).ravel()
        if self.variables.betas:
            jacobian[0, 0, angles:-3] = mix @ by_betas[:, 2]
        target = self._evidence.ankle_depth / _BALANCE_SIGMA
        return weighted_block(np.array([[mix @ placed[:, 2] - target]]), jacobian)

    def _slopes(self, slopes: Slopes, posed: Articulation) -> Linearization:
        """Bones point as far towards the camera as lifting says."""
        known = np.isfinite(slopes.sigma)
        placed, by_angle, by_betas = self._body.place_with_jacobian(
            posed, self._bone_ends, self.variables.joints
        )
        start, end = _BONE_ENDS[known].T
        bone = placed[end] - placed[start]
        length = np.linalg.norm(bone, axis=1)
        unit = bone / length[:, None]
        m = len(placed)
        slope = np.zeros((m, 3, self.variables.size))
        angles = 3 * len(self.variables.joints)
        slope[:, :, :angles] = by_angle.reshape(m, 3, -1)
        if self.variables.betas:
            slope[:, :, angles:-3] = by_betas
        moved = slope[end] - slope[start]
        along = np.einsum("ka,kan->kn", unit, moved)
        sigma = slopes.sigma[known]
        jacobian = (moved[:, 2] - unit[:, 2:] * along) / (length * sigma)[:, None]
        residual = (unit[:, 2] - slopes.mean[known]) / sigma
        return weighted_block(residual[:, None], jacobian[:, None], _SLOPE_WIDTH)

    def _size_prior(self, state: State) -> Linearization:
        """Near the landmarks' own size: nothing else stops contradictory landmarks from shrinking."""
        jacobian = np.zeros((1, self.variables.size))
        jacobian[0, -3] = 1 / _LOG_SCALE_SIGMA
        off = state.log_scale - float(np.log(self._evidence.pixels_per_metre))
        residual = np.array([off / _LOG_SCALE_SIGMA])
        return Linearization(float(residual[0] ** 2), residual, jacobian)

    def _shape_prior(self, state: State) -> Linearization:
        n = self.variables.n_betas
        jacobian = np.zeros((2 * n, self.variables.size))
        at = 3 * len(self.variables.joints) + np.arange(n)
        beyond = np.sign(state.betas) * np.maximum(np.abs(state.betas) - _BETA_LIMIT, 0.0)
        jacobian[np.arange(n), at] = 1 / _BETA_SIGMA
        jacobian[n + np.arange(n), at] = (beyond != 0) / _BETA_LIMIT_SIGMA
        residual = np.concatenate([state.betas / _BETA_SIGMA, beyond / _BETA_LIMIT_SIGMA])
        return Linearization(float((residual**2).sum()), residual, jacobian)

    def _outline(self, pixels: np.ndarray, jacobian: np.ndarray, s: float) -> Linearization:
        assert self._silhouette is not None
        matcher, samples = self._silhouette
        placed, slope = pixels[self._n_anchors :, :2], jacobian[self._n_anchors :, :2]
        match = matcher.match(placed, samples.normals, s)
        normal = matcher.outline.normals[match]
        gap = ((placed - matcher.outline.points[match]) * normal).sum(1)
        # Skin outside the silhouette is wrong; skin inside may be loose clothing.
        sigma = np.where(gap > 0, matcher.outside_sigma, samples.slack) * s
        # Samples whose match faces another way have no counterpart (clothes between limbs).
        facing = (normal * samples.normals).sum(1) > 0.5
        along = np.einsum("nc,ncx->nx", normal, slope) * (facing / sigma)[:, None]
        block = weighted_block((gap * facing / sigma)[:, None], along[:, None], _SILHOUETTE_WIDTH)
        share = self._weights.silhouette
        return Linearization(
            share * block.cost, np.sqrt(share) * block.residual, np.sqrt(share) * block.jacobian
        )


def _chain(name: str) -> Sequence[int]:
    joint, chain = JOINT_INDEX[name], []
    while joint >= 0:
        chain.append(joint)
        joint = PARENTS[joint]
    return chain
