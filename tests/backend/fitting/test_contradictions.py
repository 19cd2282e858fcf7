"""Landmarks that make no sense end in a finite body and a plain warning, never in a crash."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from fitting_subjects import HEIGHT, WIDTH, pose_of, subject_of

from backend.body.anny_body import AnnyBody
from backend.fitting.fit import fit_body


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_landmarks(model, seed):
    rng = np.random.default_rng(seed)
    subject, _, _ = subject_of(model, pose_of(model))
    landmarks = replace(
        subject.landmarks,
        body=rng.uniform(0, 1, (33, 2)) * [WIDTH, HEIGHT],
        body_3d=rng.normal(size=(33, 3)),
        visibility=rng.uniform(0.3, 1, 33),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fit_body(replace(subject, landmarks=landmarks), model, 1.75)
    assert np.isfinite(model.pose(result.pose).vertices).all()
    assert np.abs(result.pose.betas).max() < 3.5
    assert any("poorly" in text for text in result.report.warnings)


def test_all_landmarks_in_one_point(model):
    subject, _, _ = subject_of(model, pose_of(model), face=False)
    landmarks = replace(subject.landmarks, body=np.tile([[200.0, 300.0]], (33, 1)))
    result = fit_body(replace(subject, landmarks=landmarks), model, 1.75)
    assert np.isfinite(model.pose(result.pose).vertices).all()
    assert any("poorly" in text for text in result.report.warnings)
