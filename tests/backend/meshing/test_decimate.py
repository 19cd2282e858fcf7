import numpy as np
import pytest
import torch
import trimesh

from backend.geometry.mesh import Mesh
from backend.meshing.clean import topology
from backend.meshing.decimate import _CONSTANT, _QUADRIC, _VECTOR, _add_face, decimate
from backend.meshing.extract import evaluate_sparse, marching_cubes


@pytest.fixture(scope="module")
def ball():
    return marching_cubes(evaluate_sparse(lambda p: p.norm(dim=1) - 0.7, 72))


def test_quadric_is_the_squared_distance_to_the_plane_times_the_area():
    rng = np.random.default_rng(0)
    point = rng.normal(size=(3, 6))
    quadric = np.zeros((3, _QUADRIC))
    _add_face(point, np.array([0, 1, 2], np.int32), quadric, np.empty(6), np.empty(6))
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6)] = quadric[1, :_VECTOR]
    matrix = matrix + matrix.T - np.diag(np.diag(matrix))
    basis, _ = np.linalg.qr((point[1:] - point[0]).T)
    edges = point[1:] - point[0]
    area = 0.5 * np.sqrt(np.linalg.det(edges @ edges.T))
    for x in rng.normal(size=(5, 6)):
        error = x @ matrix @ x + 2 * quadric[1, _VECTOR:_CONSTANT] @ x + quadric[1, _CONSTANT]
        offset = x - point[0]
        expected = area * ((offset - basis @ (basis.T @ offset)) ** 2).sum()
        assert error == pytest.approx(expected, rel=1e-9)


def test_budget_is_met_and_the_surface_stays_closed_and_true(ball):
    small, origin = decimate(ball, 2000, np.zeros_like(ball.vertices))
    assert 1998 <= len(small.faces) <= 2000
    found = topology(small.faces)
    assert found.closed_manifold
    assert (found.components, found.handles) == (1, 0)
    np.testing.assert_allclose(np.linalg.norm(small.vertices, axis=1), 0.7, atol=4e-3)
    near = np.linalg.norm(small.vertices - ball.vertices[origin], axis=1)
    assert near.max() < 0.15
    shape = trimesh.Trimesh(small.vertices, small.faces, process=False)
    assert shape.volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=1e-2)
    assert np.degrees(shape.face_angles.min(1)).min() > 1.0


def test_colour_detail_gets_the_triangles(ball):
    red = (np.sin(40 * ball.vertices[:, 0]) > 0) & (ball.vertices[:, 2] > 0)
    attributes = np.zeros_like(ball.vertices)
    attributes[red, 0] = 0.05
    small, _ = decimate(ball, 4000, attributes)
    centers = small.vertices[small.faces].mean(1)
    assert (centers[:, 2] > 0).mean() > 0.65


def test_tubes_and_handles_survive():
    def ring_and_needle(points):
        around = torch.stack([points[:, :2].norm(dim=1) - 0.5, points[:, 2]], 1).norm(dim=1) - 0.08
        needle = torch.stack([points[:, 0], points[:, 2]], 1).norm(dim=1) - 0.03
        return torch.minimum(around, torch.maximum(needle, points[:, 1].abs() - 0.8))

    mesh = marching_cubes(evaluate_sparse(ring_and_needle, 96))
    small, _ = decimate(mesh, 1500, np.zeros_like(mesh.vertices))
    assert topology(small.faces).closed_manifold
    assert topology(small.faces).handles == topology(mesh.faces).handles == 2
    assert small.vertices[:, 1].max() == pytest.approx(0.8, abs=0.02)


def test_small_meshes_pass_unchanged_and_an_impossible_budget_stops():
    box = trimesh.creation.icosphere(0)
    mesh = Mesh(box.vertices, box.faces.astype(np.int32))
    same, origin = decimate(mesh, 100, np.zeros((12, 3)))
    assert same is mesh
    np.testing.assert_array_equal(origin, np.arange(12))
    least, _ = decimate(mesh, 1, np.zeros((12, 3)))
    assert len(least.faces) >= 4
    assert topology(least.faces).closed_manifold
