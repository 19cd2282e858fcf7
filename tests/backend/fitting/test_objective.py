"""Every term's Jacobian against finite differences of its own cost."""

import numpy as np
import pytest
from fitting_subjects import HEIGHT, WIDTH, pose_of, subject_of

from backend.body.anny_body import AnnyBody
from backend.fitting.evidence import gather_evidence
from backend.fitting.initialise import natural_start
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.objective import FitObjective, Variables, Weights
from backend.fitting.priors import natural_pose_prior
from backend.fitting.silhouette import SilhouetteMatcher, mask_outline
from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS


@pytest.fixture(scope="module")
def setting():
    model = AnnyBody()
    pose = pose_of(model, left_shoulder=(0, 0, -0.3), left_knee=(0.4, 0, 0))
    subject, _, _ = subject_of(model, pose, noise_px=2.0, hands=True)
    evidence = gather_evidence(subject.landmarks, WIDTH, HEIGHT)
    body = ArticulatedBody(model)
    start = natural_start(body, evidence, natural_pose_prior())
    return model, subject, evidence, body, start


def gradient_errors(objective, x, step=1e-6):
    """Difference of 2 J^T r and central differences of the cost, relative to the largest slope."""
    here = objective(x)
    analytic = 2 * here.jacobian.T @ here.residual
    numeric = np.empty_like(x)
    for k in range(len(x)):
        delta = np.zeros_like(x)
        delta[k] = step * max(1.0, abs(x[k]))
        numeric[k] = (objective(x + delta).cost - objective(x - delta).cost) / (2 * delta[k])
    return np.abs(analytic - numeric) / np.abs(numeric).max()


@pytest.mark.parametrize("width", [np.inf, 5.0])
def test_gradient_of_landmarks_depths_and_priors(setting, width):
    model, _, evidence, body, start = setting
    variables = Variables(tuple(range(N_JOINTS)), True, model.n_betas)
    objective = FitObjective(
        body, evidence, natural_pose_prior(), variables, start, Weights(landmark_width=width)
    )
    x = variables.pack(start) + 0.1 * np.random.default_rng(0).normal(size=variables.size)
    # One joint and one shape coefficient beyond their limits, so that those terms count.
    x[3 * JOINT_INDEX["left_knee"]] = -0.4
    x[3 * N_JOINTS] = 3.0
    assert gradient_errors(objective, x).max() < 1e-5


def test_gradient_of_the_silhouette(setting):
    model, subject, evidence, body, start = setting
    variables = Variables((0, 1, 16, 18), True, model.n_betas)
    matcher = SilhouetteMatcher(body, model, mask_outline(subject.mask))
    vertices = body.place(body.articulate(start.full_pose, start.betas), body.skin)
    samples = matcher.sample(start.project(vertices), (WIDTH, HEIGHT), 120)

    def build(share):
        return FitObjective(
            body,
            evidence,
            natural_pose_prior(),
            variables,
            start,
            Weights(silhouette=share),
            (matcher, samples),
        )

    x = variables.pack(start)
    alone, none = build(1.0), build(0.0)
    assert alone(x).cost > none(x).cost + 1.0
    # A sample may change its match within the step, which no derivative sees: not in most variables.
    assert np.percentile(gradient_errors(alone, x, 1e-7), 80) < 1e-4


def test_pack_and_unpack_are_inverse(setting):
    model, *_, start = setting
    variables = Variables((3, 18), True, model.n_betas)
    x = variables.pack(start) + 0.5
    np.testing.assert_allclose(variables.pack(variables.unpack(x, start)), x)
    untouched = [j for j in range(N_JOINTS) if j not in (3, 18)]
    moved = variables.unpack(x, start)
    np.testing.assert_array_equal(moved.full_pose[untouched], start.full_pose[untouched])
