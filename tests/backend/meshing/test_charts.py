"""Charts lie flat: nothing in them looks away from their view, and nothing hides anything."""

import numpy as np
import pytest
import trimesh

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.geometry.mesh import Mesh
from backend.meshing.charts import FRONT, VIEWS, face_pairs, make_charts
from shared_protocol.skeleton import JOINT_INDEX


@pytest.fixture(scope="module")
def crossed_arm() -> Mesh:
    """A body with one forearm before its belly: in the front view it hides what it is joined to."""
    model = load_body("anny")
    full_pose = np.zeros((55, 3), np.float32)
    full_pose[JOINT_INDEX["left_shoulder"]] = (0.0, -0.4, -1.2)
    full_pose[JOINT_INDEX["left_elbow"]] = (0.0, -1.8, 0.0)
    betas = np.zeros(model.n_betas, np.float32)
    body = model.pose(BodyPose(betas, full_pose, np.zeros(3, np.float32), 1.0))
    used, faces = np.unique(body.faces[body.outer_faces], return_inverse=True)
    return Mesh(body.vertices[used], faces.reshape(-1, 3).astype(np.int32))


def overlaps(flat: np.ndarray, chart: np.ndarray, samples: int = 700) -> float:
    """Share of the plane's sample points that lie in two faces of one chart, counted plainly."""
    taken: dict[tuple[int, int, int], int] = {}
    count = 0
    cell = np.ptp(flat.reshape(-1, 2), axis=0).max() / samples
    for face, where in zip(flat / cell, chart, strict=True):
        low, high = np.ceil(face.min(0)).astype(int), np.floor(face.max(0)).astype(int)
        edges = np.roll(face, -1, 0) - face
        for x in range(low[0], high[0] + 1):
            for y in range(low[1], high[1] + 1):
                to = np.array([x, y]) - face
                turns = edges[:, 0] * to[:, 1] - edges[:, 1] * to[:, 0]
                if (turns > 1e-9).all() or (turns < -1e-9).all():
                    count += (int(where), x, y) in taken
                    taken[int(where), x, y] = 1
    return count / len(taken)


def test_pairs_are_the_inner_edges() -> None:
    ball = trimesh.creation.icosphere(2)
    faces = np.asarray(ball.faces, np.int32)
    ours = {tuple(sorted(pair)) for pair in face_pairs(faces).tolist()}
    assert ours == {tuple(sorted(pair)) for pair in ball.face_adjacency.tolist()}
    # An open edge has one face and makes no pair.
    assert len(face_pairs(faces[:1])) == 0


def test_a_body_lies_flat_in_few_charts(crossed_arm: Mesh) -> None:
    charts = make_charts(crossed_arm)
    corner = crossed_arm.vertices[crossed_arm.faces].astype(np.float64)
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = np.linalg.norm(cross, axis=1)
    facing = (cross * VIEWS[charts.view[charts.of_face], 0]).sum(1) / np.maximum(area, 1e-12)
    assert (facing[area > 1e-9] > 0.05).all()
    axes = VIEWS[charts.view[charts.of_face], 1:]
    np.testing.assert_allclose(charts.corners, np.einsum("fkd,fad->fka", corner, axes))
    assert overlaps(charts.corners, charts.of_face) < 5e-5
    assert charts.count < 400
    largest = np.bincount(charts.of_face, area).argsort()[::-1]
    assert np.bincount(charts.of_face, area)[largest[:30]].sum() > 0.95 * area.sum()
    # What the photo shows lies in its own view.
    assert charts.view[largest[0]] == FRONT


def test_the_views_are_rotations() -> None:
    for view in VIEWS:
        toward, right, up = view
        np.testing.assert_allclose(np.cross(right, up), toward)


def test_a_spiral_seen_from_the_front_is_peeled() -> None:
    """A ramp that winds twice around an axis towards the camera: joined, facing, and over itself."""
    turns = np.linspace(0, 4 * np.pi, 81)
    rim = np.stack([np.cos(turns), np.sin(turns), 0.2 * turns], 1)
    vertices = np.concatenate([rim * [0.5, 0.5, 1], rim])
    k = np.arange(80)
    faces = np.concatenate(
        [np.stack([k, k + 81, k + 82], 1), np.stack([k, k + 82, k + 1], 1)]
    ).astype(np.int32)
    charts = make_charts(Mesh(vertices, faces))
    assert (charts.view == FRONT).all()
    assert charts.count >= 2
    assert overlaps(charts.corners, charts.of_face, 120) == 0
