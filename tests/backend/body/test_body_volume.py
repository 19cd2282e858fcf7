"""Signed distance grids against closed forms and brute force."""

import numpy as np
import pytest
import trimesh

from backend.body import load_body
from backend.body.body_volume import signed_distance_grid
from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from shared_protocol.skeleton import JOINT_INDEX


def _samples(n, lower=-1.0, upper=1.0):
    t = np.linspace(lower, upper, n)
    z, y, x = np.meshgrid(t, t, t, indexing="ij")
    return np.stack([x, y, z], -1)


def _brute_distance(points, vertices, faces):
    """Distance to the nearest triangle, all pairs, by trimesh's closest points."""
    triangles = vertices[faces]
    best = np.empty(len(points))
    for k, point in enumerate(points):
        near = np.linalg.norm(triangles.mean(1) - point, axis=1)
        radius = np.linalg.norm(triangles - triangles.mean(1, keepdims=True), axis=2).max(1)
        candidates = triangles[near - radius <= (near + radius).min()]
        closest = trimesh.triangles.closest_point(candidates, np.tile(point, (len(candidates), 1)))
        best[k] = np.linalg.norm(closest - point, axis=1).min()
    return best


def test_box_also_where_its_faces_lie_on_samples():
    n, half = 33, np.array([0.5, 0.25, 0.375])
    box = trimesh.creation.box(2 * half)
    grid = signed_distance_grid(box.vertices, box.faces, n)
    q = np.abs(_samples(n)) - half
    expected = np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
    band = np.abs(expected) < 2.9 * 2 / (n - 1)
    # On the surface itself either sign is right.
    np.testing.assert_allclose(np.abs(grid)[band], np.abs(expected)[band], atol=1e-6)
    np.testing.assert_allclose(np.abs(grid), np.abs(expected), atol=2 / (n - 1))
    off = np.abs(expected) > 1e-6
    np.testing.assert_array_equal(grid[off] > 0, expected[off] > 0)


def test_sphere_in_another_unit_and_place():
    centre = np.array([10.0, -3.0, 4.0])
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=50.0)
    grid = signed_distance_grid(
        (sphere.vertices + centre).astype(np.float32), sphere.faces, 48, centre - 80, centre + 80
    )
    expected = np.linalg.norm(_samples(48, -80, 80), axis=-1) - 50
    # The icosphere itself lies up to 0.14 inside its sphere; a cell is 3.4 wide.
    near = np.abs(expected) < 10
    assert np.abs(grid - expected)[near].max() < 0.2
    assert np.abs(grid - expected).max() < 3.4


def test_overlapping_balls_are_one_solid_without_an_inner_wall():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    both = trimesh.util.concatenate(
        [ball.copy().apply_translation([s * 0.2, 0.01, 0.02]) for s in (-1, 1)]
    )
    grid = signed_distance_grid(both.vertices, both.faces, 65)
    p = _samples(65) - [0, 0.01, 0.02]
    a, b = (np.linalg.norm(p - [s * 0.2, 0, 0], axis=-1) - 0.4 for s in (-1, 1))
    far = np.abs(np.minimum(a, b)) > 0.01
    np.testing.assert_array_equal((grid < 0)[far], (np.minimum(a, b) < 0)[far])
    # The middle of the lens: the nearest point that can be touched is the seam, 0.346 away.
    assert grid[32, 32, 32] == pytest.approx(-np.sqrt(0.4**2 - 0.2**2), abs=0.03)


def test_closed_cavity_is_filled_and_open_mesh_is_closed():
    outer = trimesh.creation.icosphere(subdivisions=3, radius=0.7)
    inner = trimesh.creation.icosphere(subdivisions=2, radius=0.3)
    inner.invert()
    shell = trimesh.util.concatenate([outer, inner])
    whole = signed_distance_grid(outer.vertices, outer.faces, 33)
    np.testing.assert_allclose(
        signed_distance_grid(shell.vertices, shell.faces, 33), whole, atol=1e-6
    )
    opened = outer.faces[1:]
    np.testing.assert_allclose(signed_distance_grid(outer.vertices, opened, 33), whole, atol=2e-3)


@pytest.fixture(scope="module")
def walking():
    """A body whose hand is pushed into its thigh, scaled into the cube."""
    body = load_body()
    full_pose = np.zeros((55, 3), np.float32)
    full_pose[JOINT_INDEX["left_shoulder"]] = (0.2, 0.0, -1.45)
    full_pose[JOINT_INDEX["left_elbow"]] = (0.0, -0.5, 0.0)
    full_pose[JOINT_INDEX["left_hip"]] = (-0.9, 0.0, 0.0)
    full_pose[JOINT_INDEX["left_knee"]] = (1.2, 0.0, 0.0)
    pose = BodyPose(np.zeros(16, np.float32), full_pose, np.array([0, 0.15, 0], np.float32))
    return body.pose(pose)


def test_body_agrees_with_brute_force(walking):
    n = 96
    grid = signed_distance_grid(walking.vertices, walking.faces, n, -1.1, 1.3)
    cell = 2.4 / (n - 1)
    rng = np.random.default_rng(0)
    index = np.concatenate(
        [rng.integers(0, n, (120, 3)), rng.permutation(np.argwhere(np.abs(grid) < 2 * cell))[:130]]
    )
    values = grid[tuple(index.T)]
    points = -1.1 + cell * index[:, ::-1]
    brute = _brute_distance(points, walking.vertices.astype(float), walking.faces)
    outside = values > 0
    error = (values - brute)[outside] / cell
    assert error.min() > -1e-4
    assert error[brute[outside] < 3 * cell].max() < 1e-4
    assert np.median(error) < 0.05
    assert error.max() < 1
    # Inside, buried walls (mouth, overlapping limbs) do not count: never nearer than the mesh.
    assert (-values - brute)[~outside].min() > -1e-4
    inside = trimesh.Trimesh(walking.vertices, walking.faces, process=False)
    winding = _winding(points, inside.triangles)
    np.testing.assert_array_equal(~outside[brute > 1e-4], (winding > 0.5)[brute > 1e-4])


def _winding(points, triangles):
    """Generalised winding number by solid angles (Van Oosterom and Strackee)."""
    total = np.zeros(len(points))
    for k, p in enumerate(points):
        a, b, c = (triangles[:, i] - p for i in range(3))
        la, lb, lc = (np.linalg.norm(e, axis=1) for e in (a, b, c))
        top = np.einsum("ij,ij->i", a, np.cross(b, c))
        dots = [np.einsum("ij,ij->i", u, v) for u, v in ((a, b), (b, c), (c, a))]
        bottom = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
        total[k] = np.arctan2(top, bottom).sum() / (2 * np.pi)
    return total


def test_far_field_is_distance_like(walking):
    grid = signed_distance_grid(walking.vertices, walking.faces, 64, -1.5, 1.5)
    cell = 3.0 / 63
    for axis in range(3):
        # A true distance changes by at most one cell a cell.
        change = np.abs(np.diff(grid, axis=axis)) / cell
        assert change.max() < 2
        assert (change < 1.1).mean() > 0.99
    for wall in (grid[:, :, -8:], -grid[:, :, :8], grid[-8:].T, -grid[:8].T):
        # With all of the body on one side the distance grows, but for the odd jump by a fraction of
        # a cell where the nearest limb changes.
        growth = np.diff(wall, axis=2) / cell
        assert growth.min() > -0.5
        assert (growth > 0).mean() > 0.99
    assert grid.dtype == np.float32


def test_bad_meshes_are_refused():
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.5)
    flipped = ball.faces[:, ::-1].copy()
    with pytest.raises(HumanRefError) as raised:
        signed_distance_grid(ball.vertices, flipped, 16)
    assert raised.value.code == "mesh_inside_out"
    mixed = ball.faces.copy()
    mixed[:3] = mixed[:3, ::-1]
    for vertices, faces in (
        (ball.vertices * np.nan, ball.faces),
        (ball.vertices + 10, ball.faces),
        (ball.vertices, mixed),
    ):
        with pytest.raises(HumanRefError) as raised:
            signed_distance_grid(vertices, faces, 16)
        assert raised.value.code == "invalid_mesh"
