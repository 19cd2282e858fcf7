"""Depth from landmarks: what the networks are told and say, and what a fit makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting_subjects import HEIGHT, WIDTH, aligned_error, pose_of, subject_of
from jaxtyping import Float
from test_objective import gradient_errors

from backend.body.anny_body import AnnyBody
from backend.errors import HumanRefError
from backend.fitting import fit
from backend.fitting.evidence import gather_evidence, with_slopes
from backend.fitting.fit import fit_body
from backend.fitting.initialise import natural_start
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.lifter_weights import SHIPPED, load_lifter, shipped_lifter
from backend.fitting.lifting import (
    BONE_LANDMARKS,
    BONES,
    LANDMARKS,
    MIRRORED,
    PLACES,
    Lifter,
    Slopes,
    landmark_pose,
)
from backend.fitting.objective import FitObjective, Variables, Weights
from backend.fitting.priors import natural_pose_prior
from backend.weight_files import CONFIG, WEIGHTS
from shared_protocol.skeleton import JOINT_INDEX

SEEN = np.ones(33, bool)


@pytest.fixture(scope="module")
def model() -> AnnyBody:
    return AnnyBody()


@pytest.fixture(scope="module")
def standing(model: AnnyBody) -> Any:
    return subject_of(model, pose_of(model))


def landmarks(subject: Any) -> tuple[np.ndarray, np.ndarray]:
    found = subject.landmarks
    return found.body.astype(np.float64), found.body_3d.astype(np.float64)


def told(slopes: Sequence[float], sigma: float = 0.05) -> Any:
    """A lifter that always says the same."""

    class Told(Lifter):
        def __init__(self) -> None:
            pass

        def slopes(self, body: Any, world: Any, seen: Any, cues: Any = None) -> Slopes:
            ends = np.array([seen[list(pair)].all() for pair in BONE_LANDMARKS])
            return Slopes(np.array(slopes, float), np.where(ends, sigma, np.inf))

    return Told()


def true_slopes(joints: Float[np.ndarray, "55 3"]) -> Float[np.ndarray, "10"]:
    along = np.array([joints[JOINT_INDEX[b]] - joints[JOINT_INDEX[a]] for a, b in BONES])
    return np.asarray(along[:, 2] / np.linalg.norm(along, axis=1))


def test_landmarks_and_mirror_agree() -> None:
    assert len(LANDMARKS) == len(MIRRORED) == len(set(MIRRORED))
    for here, there in enumerate(MIRRORED):
        assert MIRRORED[there] == here
        if LANDMARKS[here] > 8:
            # MediaPipe: odd landmarks are the left side's, the next one is its pair.
            assert abs(LANDMARKS[here] - LANDMARKS[there]) == 1


def test_size_and_place_in_the_photo_do_not_matter(standing: Any) -> None:
    body, world = landmarks(standing[0])
    lifter = shipped_lifter()
    first = lifter.slopes(body, world, SEEN)
    again = lifter.slopes(3.0 * body + (200.0, -50.0), 1.3 * world + 0.4, SEEN)
    assert first is not None
    assert again is not None
    np.testing.assert_allclose(again.mean, first.mean, atol=1e-6)
    np.testing.assert_allclose(again.sigma, first.sigma, atol=1e-6)


def test_someone_who_stands_is_said_to_stand(model: AnnyBody, standing: Any) -> None:
    subject, posed, _ = standing
    found = shipped_lifter().slopes(*landmarks(subject), SEEN)
    assert found is not None
    off = (found.mean - true_slopes(posed.joints)) / found.sigma
    assert np.abs(off).max() < 3.0
    assert found.sigma.max() < 0.4


def test_what_is_not_seen_is_not_told(standing: Any) -> None:
    body, world = landmarks(standing[0])
    seen = SEEN.copy()
    seen[25:] = False
    seen[15] = False
    found = shipped_lifter().slopes(body, world, seen)
    assert found is not None
    hidden = np.isinf(found.sigma)
    expected = [not seen[list(pair)].all() for pair in BONE_LANDMARKS]
    np.testing.assert_array_equal(hidden, expected)
    # A hidden leg's landmarks, wherever the detector guesses them, change nothing.
    moved = body.copy()
    moved[25:] += 70.0
    again = shipped_lifter().slopes(moved, world, seen)
    assert again is not None
    np.testing.assert_allclose(again.mean, found.mean, atol=1e-6)
    seen[[23, 24]] = False
    assert shipped_lifter().slopes(body, world, seen) is None
    assert landmark_pose(np.zeros((33, 2)), world) is None


def test_poses_unlike_those_learned_from_are_left_alone(model: AnnyBody) -> None:
    seated = pose_of(
        model,
        left_hip=(-1.5, 0, 0),
        right_hip=(-1.5, 0, 0),
        left_knee=(1.5, 0, 0),
        right_knee=(1.5, 0, 0),
    )
    headstand = pose_of(model, pelvis=(0, 0, np.pi))
    for pose in (seated, headstand):
        subject, _, _ = subject_of(model, pose)
        assert shipped_lifter().slopes(*landmarks(subject), SEEN) is None


def test_slopes_move_world_landmarks_in_depth_alone(standing: Any) -> None:
    _, world = landmarks(standing[0])
    wanted = np.array([0.3, -0.2, 0.1, 0.0, -0.3, 0.4, 0.8, -0.5, 0.1, -0.1])
    moved = with_slopes(world, Slopes(wanted, np.full(10, 0.1)))
    for (start, end), slope in zip(BONE_LANDMARKS, wanted, strict=True):
        before, after = world[end] - world[start], moved[end] - moved[start]
        assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before))
        assert after[2] / np.linalg.norm(after) == pytest.approx(slope)
        flat = before[:2] / np.linalg.norm(before[:2])
        assert after[:2] @ flat == pytest.approx(np.linalg.norm(after[:2]))
    unknown = with_slopes(world, Slopes(wanted, np.full(10, np.inf)))
    np.testing.assert_allclose(unknown, world)


def test_lifted_depths_stand_for_the_detectors(standing: Any) -> None:
    plain = gather_evidence(standing[0].landmarks, WIDTH, HEIGHT)
    lifted = gather_evidence(standing[0].landmarks, WIDTH, HEIGHT, told([0.0] * 10))
    assert plain.slopes is None
    assert lifted.slopes is not None
    # Ten of the body's fourteen pairs are bones whose slope is told.
    assert len(plain.depth_pairs) - len(lifted.depth_pairs) == len(BONES)


def test_jacobian_of_the_slopes(model: AnnyBody) -> None:
    pose = pose_of(model, left_shoulder=(0, 0, -0.3), left_knee=(0.4, 0, 0))
    subject, _, _ = subject_of(model, pose, noise_px=2.0)
    slopes = [0.3, -0.3, 0.2, -0.2, 0.5, -0.5, 0.7, 0.1, 0.2, -0.2]
    evidence = gather_evidence(subject.landmarks, WIDTH, HEIGHT, told(slopes))
    body = ArticulatedBody(model)
    start = natural_start(body, evidence, natural_pose_prior())
    variables = Variables(tuple(range(22)), True, model.n_betas)
    objective = FitObjective(body, evidence, natural_pose_prior(), variables, start, Weights())
    x = variables.pack(start) + 0.1 * np.random.default_rng(0).normal(size=variables.size)
    without = FitObjective(
        *(body, replace(evidence, slopes=None), natural_pose_prior(), variables, start, Weights())
    )
    assert objective(x).cost > without(x).cost + 1.0
    assert gradient_errors(objective, x).max() < 1e-5


def test_a_stride_that_only_lifting_tells_is_found(
    model: AnnyBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = pose_of(model, left_hip=(-0.3, 0.0, 0.1), right_hip=(0.3, 0.0, -0.1))
    subject, truth, _ = subject_of(model, pose, noise_px=1.0)
    # A detector that knows of no depth.
    flat = subject.landmarks.body_3d * (1.0, 1.0, 0.0)
    subject = replace(subject, landmarks=replace(subject.landmarks, body_3d=flat))
    legs = [JOINT_INDEX[n] for n in ("left_knee", "left_ankle", "right_knee", "right_ankle")]

    def error(lifter: Lifter | None) -> float:
        monkeypatch.setattr(fit, "shipped_lifter", lambda: lifter)
        joints = model.pose(fit_body(subject, model, 1.75).pose).joints
        return float(aligned_error(joints[:22], truth.joints[:22])[legs].mean())

    blind, seeing = error(None), error(told(list(true_slopes(truth.joints))))
    assert blind > 0.08
    assert seeing < 0.3 * blind


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "lifter"
    shutil.copytree(SHIPPED, folder)
    assert load_lifter(folder) is not None
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(HumanRefError, match="damaged") as caught:
        load_lifter(folder)
    assert caught.value.code == "weights_corrupt"
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(HumanRefError, match="format 99"):
        load_lifter(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(HumanRefError, match="cannot be read") as caught:
        load_lifter(folder)
    assert caught.value.code == "weights_missing"


def test_pictures_unlike_photos_are_not_looked_at(standing: Any) -> None:
    body, world = landmarks(standing[0])
    lifter = shipped_lifter()
    away = lifter._cue_scale * np.random.default_rng(0).normal(size=(len(PLACES), 1))
    blind = lifter.slopes(body, world, SEEN)
    told = [
        lifter.slopes(body, world, SEEN, lifter._cue_mean + share * away) for share in (0.9, 3.0)
    ]
    assert blind is not None
    assert told[0] is not None
    assert told[1] is not None
    assert not np.array_equal(told[0].mean, blind.mean)
    np.testing.assert_array_equal(told[1].mean, blind.mean)
    np.testing.assert_array_equal(told[1].sigma, blind.sigma)
