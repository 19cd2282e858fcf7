import numpy as np

from backend.fitting.priors import natural_pose_prior
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES


def test_the_natural_pose_keeps_its_own_limits():
    prior = natural_pose_prior()
    assert (prior.mean >= prior.lower).all()
    assert (prior.mean <= prior.upper).all()
    assert (prior.sigma > 0).all()


def test_right_mirrors_left():
    prior = natural_pose_prior()
    for name in JOINT_NAMES:
        if not name.startswith("left_"):
            continue
        left, right = JOINT_INDEX[name], JOINT_INDEX[name.replace("left_", "right_")]
        np.testing.assert_array_equal(prior.mean[right], prior.mean[left] * [1, -1, -1])
        np.testing.assert_array_equal(prior.sigma[right], prior.sigma[left])
        np.testing.assert_array_equal(prior.lower[right][1:], -prior.upper[left][1:])


def test_knees_and_elbows_bend_one_way():
    prior = natural_pose_prior()
    knee, elbow = JOINT_INDEX["left_knee"], JOINT_INDEX["left_elbow"]
    assert prior.lower[knee, 0] > -0.1
    assert prior.upper[knee, 0] > 2
    assert prior.upper[elbow, 1] < 0.1
    assert prior.lower[elbow, 1] < -2
