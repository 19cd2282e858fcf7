import numpy as np
import pytest

from backend.body.anny_body import AnnyBody
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.silhouette import (
    SilhouetteMatcher,
    draw_silhouette,
    intersection_over_union,
    mask_outline,
)
from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS

WIDTH, HEIGHT = 300, 400


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


@pytest.fixture(scope="module")
def body(model):
    return ArticulatedBody(model)


@pytest.fixture(scope="module")
def t_pose_pixels(body):
    vertices = body.vertices
    return np.column_stack(
        [150 + 150 * vertices[:, 0], 190 - 150 * vertices[:, 1], 150 * vertices[:, 2]]
    )


def disc(center=(100, 80), radius=40, size=(160, 200)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = np.hypot(columns + 0.5 - center[0], rows + 0.5 - center[1]) < radius
    return inside.astype(np.float32)


def test_outline_of_a_disc_lies_on_its_circle_and_points_out():
    outline = mask_outline(disc())
    from_center = outline.points - np.array([100, 80])
    radius = np.linalg.norm(from_center, axis=1)
    assert np.abs(radius - 40).max() < 1.5
    cosine = (outline.normals * from_center).sum(1) / radius
    assert cosine.min() > 0.95


def test_the_border_of_the_photo_is_no_outline():
    outline = mask_outline(disc(center=(100, 10)))
    assert (outline.points[:, 1] > 2).all()
    assert len(mask_outline(np.zeros((50, 60), np.float32)).points) == 0


def test_body_on_its_own_silhouette_has_no_gaps(model, body, t_pose_pixels):
    mask = draw_silhouette(t_pose_pixels[:, :2], model.faces, WIDTH, HEIGHT)
    matcher = SilhouetteMatcher(body, model, mask_outline(mask.astype(np.float32)))
    samples = matcher.sample(t_pose_pixels, (WIDTH, HEIGHT), 240)
    assert 150 < len(samples.slack) < 500
    state = body.articulate(np.zeros((N_JOINTS, 3)), np.zeros(model.n_betas))
    placed = body.place(state, samples.points)
    uv = np.column_stack([150 + 150 * placed[:, 0], 190 - 150 * placed[:, 1]])
    match = matcher.match(uv, samples.normals, 150.0)
    apart = np.linalg.norm(uv - matcher.outline.points[match], axis=1)
    assert np.median(apart) < 1.0
    assert np.percentile(apart, 95) < 3.0
    facing = (samples.normals * matcher.outline.normals[match]).sum(1)
    assert np.median(facing) > 0.9


def test_hidden_limbs_are_not_sampled(model, body, t_pose_pixels):
    outline = mask_outline(disc())
    arm = SilhouetteMatcher(body, model, outline, hidden_joints=("left_elbow",))
    samples = arm.sample(t_pose_pixels, (WIDTH, HEIGHT), 400)
    elbow = body.joints[JOINT_INDEX["left_elbow"], 0]
    placed_x = samples.points.rest[:, 0]
    assert placed_x.max() < elbow + 0.06
    assert placed_x.min() < -elbow - 0.15


def test_samples_stay_on_the_photo(model, body, t_pose_pixels):
    matcher = SilhouetteMatcher(body, model, mask_outline(disc()))
    samples = matcher.sample(t_pose_pixels, (WIDTH, 200), 240)
    lowest = 190 - 150 * samples.points.rest[:, 1].min()
    assert lowest < 202


def test_intersection_over_union_against_its_definition():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert intersection_over_union(a, b) == 0.0
    a[:2], b[1:3] = True, True
    assert intersection_over_union(a, b) == pytest.approx(4 / 12)
