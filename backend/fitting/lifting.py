"""How far limbs point towards the camera, read from landmarks and the picture there: 2D-to-3D lifting.

What the detector's world landmarks say of depth is wrong in a repeatable way. A few small networks learned
that way (Martinez et al. 2017 lift poses so): from where the landmarks lie, flat and in the detector's own
metres, and what the picture shows there (:mod:`backend.fitting.picture_cues`), to the slope of each bone,
with how sure they are. numpy does, they are tiny.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

# Left, right and middle landmarks that are looked at, and where each one is in a mirror.
LANDMARKS = (0, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32)
MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17)
BONES = (
    *(("left_hip", "left_knee"), ("right_hip", "right_knee")),
    *(("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
    *(("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    *(("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
    *(("right_hip", "left_hip"), ("right_shoulder", "left_shoulder")),
)
"""Joints a slope is told of: from the first to the second."""
BONE_LANDMARKS = (
    *((23, 25), (24, 26), (25, 27), (26, 28), (11, 13), (12, 14), (13, 15), (14, 16)),
    *((24, 23), (12, 11)),
)
"""The landmarks at the ends of each of :data:`BONES`."""
PLACES = (*LANDMARKS, *BONE_LANDMARKS)
"""Where the picture is looked at: at the landmarks, and in the middle of the bones."""
CUE_WIDTH = 152
"""Numbers that :mod:`backend.fitting.picture_cues` gives a place."""
LOG_SIGMA = (-4.0, 0.0)
"""Range of the networks' log standard deviation."""
_HIPS, _SHOULDERS = (23, 24), (11, 12)
_LEAST_SIGMA, _MOST_SIGMA = 0.02, 1.0
STRANGE = 1.5
"""Squared distance from the training poses, in units of their edge's, from which on nothing is said."""
UNLIKE_PHOTOS = 2.0
"""Mean square of scaled cues from which on a picture is not looked at (1 on average in training, 1.0 to
1.2 on photos)."""


@dataclass(frozen=True)
class Slopes:
    """z of each bone's unit vector (towards the camera), of a person who stands upright."""

    mean: Float[np.ndarray, "10"]
    sigma: Float[np.ndarray, "10"]
    """Standard deviation; infinite for a bone with an unseen end."""


@dataclass(frozen=True)
class LandmarkPose:
    """What the networks see of a person, of any size and place."""

    flat: Float[np.ndarray, "*b 19 2"]
    """Photo, y up, from between the hips, in lengths of the trunk."""
    world: Float[np.ndarray, "*b 19 3"]
    """World landmarks, the same."""

    def features(self, seen: Bool[np.ndarray, "*b 19"]) -> Float[np.ndarray, "*b 114"]:
        """Coordinates, zero where nothing is seen, and which are."""
        both = np.concatenate([self.flat, self.world], -1) * seen[..., None]
        return np.asarray(np.concatenate([both.reshape(*seen.shape[:-1], -1), seen], -1))


def shown_places(seen: Bool[np.ndarray, "*b 19"]) -> Bool[np.ndarray, "*b 29"]:
    """Which of :data:`PLACES` are seen: a bone's middle where both its ends are."""
    ends = np.array([[LANDMARKS.index(k) for k in pair] for pair in BONE_LANDMARKS])
    return np.asarray(np.concatenate([seen, seen[..., ends].all(-1)], -1))


def landmark_pose(
    body: Float[np.ndarray, "33 2"], world: Float[np.ndarray, "33 3"]
) -> LandmarkPose | None:
    """Landmarks in photo pixels (v down) and in metres (y up, z to the camera); None without a trunk."""
    upright = body * np.array([1.0, -1.0])
    flat, deep = _from_the_hips(upright), _from_the_hips(world)
    return None if flat is None or deep is None else LandmarkPose(flat, deep)


def _from_the_hips(points: Float[np.ndarray, "33 d"]) -> Float[np.ndarray, "19 d"] | None:
    hips, shoulders = points[list(_HIPS)].mean(0), points[list(_SHOULDERS)].mean(0)
    trunk = float(np.linalg.norm(shoulders - hips))
    return None if trunk < 1e-6 else (points[list(LANDMARKS)] - hips) / trunk


class Lifter:
    """Several networks' answers, and doubt where a pose is unlike those that they learned from."""

    def __init__(self, weights: Mapping[str, Float[np.ndarray, "..."]]) -> None:
        """``weights``: of :func:`backend.training.lifter_training.weights_of`."""
        names = sorted({name.split(".")[0] for name in weights if name.startswith("network")})
        self._networks = [
            [
                (weights[f"{n}.{k}.weight"], weights[f"{n}.{k}.bias"])
                for k in ("cues", *map(str, range(4)))
            ]
            for n in names
        ]
        self._cue_mean, self._cue_scale = weights["cue_mean"], weights["cue_scale"]
        self._mean, self._covariance = weights["mean"], weights["covariance"]
        self._usual = float(weights["usual"][0])

    def slopes(
        self,
        body: Float[np.ndarray, "33 2"],
        world: Float[np.ndarray, "33 3"],
        seen: Bool[np.ndarray, "33"],
        cues: Float[np.ndarray, "29 152"] | None = None,
    ) -> Slopes | None:
        """The bones' slopes; None without hips and shoulders, and in a pose like none learned from.

        Args:
            body: landmarks, photo pixels.
            world: world landmarks of someone who stands upright, metres.
            seen: which are to be believed.
            cues: what the picture shows there; None, or a picture unlike all photos, leaves the
                landmarks alone.
        """
        pose = landmark_pose(body, world)
        if pose is None or not seen[[*_HIPS, *_SHOULDERS]].all():
            return None
        shown = seen[list(LANDMARKS)]
        strangeness = self._strangeness(pose, shown)
        if strangeness > STRANGE:
            return None
        if cues is not None and self._unlike_photos(cues, shown):
            cues = None
        mean, sigma = self.answer(pose, shown, cues)
        sigma = np.clip(sigma * max(1.0, strangeness), _LEAST_SIGMA, _MOST_SIGMA)
        ends = np.array([seen[list(pair)].all() for pair in BONE_LANDMARKS])
        return Slopes(mean, np.where(ends, sigma, np.inf))

    def answer(
        self,
        pose: LandmarkPose,
        shown: Bool[np.ndarray, "19"],
        cues: Float[np.ndarray, "29 152"] | None,
    ) -> tuple[Float[np.ndarray, "10"], Float[np.ndarray, "10"]]:
        """Mean and standard deviation of all networks together."""
        features, places = pose.features(shown), shown_places(shown)
        if cues is None:
            told, places = np.zeros((len(PLACES), CUE_WIDTH)), np.zeros_like(places)
        else:
            told = (cues.astype(np.float64) - self._cue_mean) / self._cue_scale
        answers = [self._answer(net, features, told, places) for net in self._networks]
        means = np.stack([mean for mean, _ in answers])
        variance = np.mean([np.exp(2.0 * log) for _, log in answers], 0) + means.var(0)
        return means.mean(0), np.sqrt(variance)

    def _answer(
        self,
        network: list[tuple[Float[np.ndarray, "_ _"], Float[np.ndarray, "_"]]],
        features: Float[np.ndarray, "i"],
        cues: Float[np.ndarray, "29 152"],
        places: Bool[np.ndarray, "29"],
    ) -> tuple[Float[np.ndarray, "10"], Float[np.ndarray, "10"]]:
        look, first, *middle, last = network
        looked = np.maximum(cues @ look[0].T + look[1], 0.0) * places[:, None]
        x = np.maximum(first[0] @ np.concatenate([features, looked.ravel()]) + first[1], 0.0)
        for weight, bias in middle:
            x = x + np.maximum(weight @ x + bias, 0.0)
        out = last[0] @ x + last[1]
        return out[: len(BONES)], np.clip(out[len(BONES) :], *LOG_SIGMA)

    def _unlike_photos(
        self, cues: Float[np.ndarray, "29 152"], shown: Bool[np.ndarray, "19"]
    ) -> bool:
        told = (cues[shown_places(shown)] - self._cue_mean) / self._cue_scale
        return bool(np.square(told).mean() > UNLIKE_PHOTOS)

    def _strangeness(self, pose: LandmarkPose, shown: Bool[np.ndarray, "19"]) -> float:
        """Squared Mahalanobis distance of what is shown, 1 at the edge of the training poses."""
        both = np.concatenate([pose.flat, pose.world], -1).ravel() - self._mean
        kept = np.repeat(shown, 5)
        off = both[kept]
        square = off @ np.linalg.solve(self._covariance[np.ix_(kept, kept)], off)
        return float(square / kept.sum() / self._usual)
