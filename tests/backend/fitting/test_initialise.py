import numpy as np
import pytest
from fitting_subjects import HEIGHT, WIDTH, pose_of, subject_of
from scipy.spatial.transform import Rotation

from backend.body.anny_body import AnnyBody
from backend.fitting.evidence import gather_evidence
from backend.fitting.initialise import (
    heading,
    legs_as_seen,
    limbs_from_directions,
    natural_start,
    shortest_turn,
    unseen_legs_upright,
    unseen_limbs_at_rest,
)
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.priors import natural_pose_prior
from shared_protocol.skeleton import JOINT_INDEX


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


@pytest.mark.parametrize("target", [(0, 1, 0), (1, 1, 1), (-1, 0, 0), (-2, 1e-12, 0), (3, 0, 0)])
def test_shortest_turn_reaches_its_target(target):
    start = np.array([2.0, 0.0, 0.0])
    goal = np.array(target, float)
    reached = Rotation.from_rotvec(shortest_turn(start, goal)).apply(start) / 2
    np.testing.assert_allclose(reached, goal / np.linalg.norm(goal), atol=1e-6)


@pytest.mark.parametrize("degrees", [-120, -40, 0, 75, 170])
def test_heading_of_a_turned_person(model, degrees):
    subject, _, _ = subject_of(model, pose_of(model, pelvis=(0, np.radians(degrees), 0)))
    found = heading(subject.landmarks.body_3d, np.ones(33))
    assert np.degrees(found) == pytest.approx(degrees, abs=3)


def test_limbs_point_where_the_world_landmarks_say(model):
    pose = pose_of(model, left_shoulder=(0, 0, 0.8), right_hip=(-1.2, 0, 0), right_knee=(1.4, 0, 0))
    subject, posed, _ = subject_of(model, pose)
    evidence = gather_evidence(subject.landmarks, WIDTH, HEIGHT)
    body = ArticulatedBody(model)
    start = natural_start(body, evidence, natural_pose_prior())
    limbs = limbs_from_directions(body, evidence, start)
    placed = body.articulate(limbs, start.betas).positions
    for a, b in (("left_shoulder", "left_elbow"), ("right_hip", "right_knee")):
        bone = placed[JOINT_INDEX[b]] - placed[JOINT_INDEX[a]]
        truth = posed.joints[JOINT_INDEX[b]] - posed.joints[JOINT_INDEX[a]]
        cosine = bone @ truth / np.linalg.norm(bone) / np.linalg.norm(truth)
        assert cosine > 0.97
    assert np.exp(start.log_scale) == pytest.approx(evidence.pixels_per_metre, rel=0.35)


def test_straight_legs_are_expected_straight_and_bent_ones_bent():
    prior = natural_pose_prior()
    limbs = prior.mean.copy()
    limbs[JOINT_INDEX["left_knee"]] = (1.2, 0, 0)
    limbs[JOINT_INDEX["right_knee"]] = (0.2, 0, 0)
    seen = legs_as_seen(prior, limbs, np.ones(33))
    left, right = JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]
    assert seen.mean[left, 0] > 0.9
    assert seen.mean[right, 0] == prior.mean[right, 0]
    assert seen.sigma[right, 0] < seen.sigma[left, 0]
    blind = legs_as_seen(prior, limbs, np.zeros(33))
    np.testing.assert_array_equal(blind.mean, prior.mean)


def test_unseen_limbs_are_held():
    prior = natural_pose_prior()
    held = unseen_limbs_at_rest(prior, ("left_hip",))
    joint = JOINT_INDEX["left_hip"]
    assert held.sigma[joint, 0] < prior.sigma[joint, 0]
    np.testing.assert_array_equal(held.sigma[joint + 1 :], prior.sigma[joint + 1 :])


def test_unseen_legs_hang_upright_from_a_leaning_pelvis_and_keep_its_heading(model):
    lean = Rotation.from_euler("YZX", [40, 25, 15], degrees=True)
    pose = np.zeros((55, 3))
    pose[0] = lean.as_rotvec()
    upright = unseen_legs_upright(pose, ("left_hip", "right_hip"), frozenset())
    posed = ArticulatedBody(model).articulate(upright, np.zeros(model.n_betas)).positions
    for side in ("left", "right"):
        leg = posed[JOINT_INDEX[f"{side}_ankle"]] - posed[JOINT_INDEX[f"{side}_hip"]]
        assert -leg[1] / np.linalg.norm(leg) > np.cos(np.radians(8))
        foot = posed[JOINT_INDEX[f"{side}_foot"]] - posed[JOINT_INDEX[f"{side}_ankle"]]
        assert np.degrees(np.arctan2(foot[0], foot[2])) == pytest.approx(40, abs=25)
    kept = unseen_legs_upright(pose, ("left_hip",), frozenset({"left_hip"}))
    np.testing.assert_array_equal(kept, pose)
