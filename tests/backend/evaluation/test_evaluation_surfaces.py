"""Alignment and distances of surfaces against cases with known answers."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from backend.evaluation.alignment import Similarity, fit_similarity, icp
from backend.evaluation.surface import Surface, compare_surfaces, outer_surface
from backend.geometry.mesh import Mesh


def made(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces))


def known_move() -> Similarity:
    rotation = Rotation.from_rotvec((0.2, -0.5, 0.3)).as_matrix()
    return Similarity(1.3, rotation, np.array([0.4, -1.0, 2.0]))


def test_a_similarity_is_found_again() -> None:
    points = np.random.default_rng(0).normal(size=(22, 3))
    move = known_move()
    found = fit_similarity(points, move.points(points))
    assert found.scale == pytest.approx(1.3)
    np.testing.assert_allclose(found.rotation, move.rotation, atol=1e-12)
    np.testing.assert_allclose(found.shift, move.shift, atol=1e-12)


def test_a_mirrored_person_is_not_reflected() -> None:
    points = np.random.default_rng(0).normal(size=(22, 3))
    found = fit_similarity(points, points * (-1.0, 1.0, 1.0))
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_a_rigid_fit_keeps_lengths() -> None:
    points = np.random.default_rng(0).normal(size=(22, 3))
    assert fit_similarity(points, 2.0 * points, scaled=False).scale == 1.0


def test_then_is_one_after_the_other() -> None:
    points = np.random.default_rng(1).normal(size=(5, 3))
    first, second = known_move(), Similarity(0.7, np.eye(3)[[1, 2, 0]], np.ones(3))
    both = first.then(second).points(points)
    np.testing.assert_allclose(both, second.points(first.points(points)))


def test_icp_undoes_a_small_motion() -> None:
    points = np.random.default_rng(2).uniform((-0.3, 0.0, -0.1), (0.3, 1.7, 0.1), (3000, 3))
    rotation = Rotation.from_rotvec((0.0, 0.03, 0.01)).as_matrix()
    moved = points @ rotation.T + (0.02, -0.01, 0.015)
    found = icp(moved, points)
    assert found.scale == 1.0
    assert np.abs(found.points(moved) - points).max() < 1e-6


def test_equal_surfaces_have_no_distance() -> None:
    surface = outer_surface(made(trimesh.creation.icosphere(4, 0.5)), 20_000)
    other = outer_surface(made(trimesh.creation.icosphere(4, 0.5)), 20_000, seed=1)
    found = compare_surfaces(surface, other)
    # Spheres of flat triangles, seen from other samples: not quite the same triangle is met.
    assert found["chamfer_cm"] < 0.05
    assert found["normal_error_deg"] < 2.0


def test_spheres_lie_their_radii_apart() -> None:
    small = outer_surface(made(trimesh.creation.icosphere(5, 0.50)), 20_000)
    large = outer_surface(made(trimesh.creation.icosphere(5, 0.52)), 20_000)
    found = compare_surfaces(small, large)
    assert found["chamfer_cm"] == pytest.approx(2.0, abs=0.02)
    assert found["point_to_surface_cm"] == pytest.approx(2.0, abs=0.02)


def test_a_missing_limb_counts_one_way_only() -> None:
    trunk = trimesh.creation.box((0.4, 1.0, 0.2))
    limb = trimesh.creation.box((0.1, 0.5, 0.1))
    limb.apply_translation((0.6, 0.0, 0.0))
    whole = outer_surface(made(trimesh.util.concatenate([trunk, limb])), 20_000)
    part = outer_surface(made(trunk), 20_000)
    ours_lacks, ours_adds = compare_surfaces(part, whole), compare_surfaces(whole, part)
    assert ours_lacks["point_to_surface_cm"] < 0.01
    assert ours_adds["point_to_surface_cm"] > 3.0
    assert ours_lacks["chamfer_cm"] == pytest.approx(ours_adds["chamfer_cm"])


def test_what_lies_inside_is_no_outer_surface() -> None:
    outer, inner = trimesh.creation.icosphere(4, 0.5), trimesh.creation.icosphere(4, 0.4)
    surface = outer_surface(made(trimesh.util.concatenate([outer, inner])), 20_000)
    assert np.linalg.norm(surface.points, axis=1).min() > 0.49


def test_triangles_may_face_either_way() -> None:
    ball = trimesh.creation.icosphere(4, 0.5)
    inverted = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces)[:, ::-1].copy())
    surface = outer_surface(inverted, 5000)
    assert (surface.points * surface.normals).sum(1).min() > 0.45


def test_normals_of_a_tilted_plane_differ_by_the_tilt() -> None:
    corners = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 2.0, 0.0]])
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (500, 3)) * (1.0, 1.0, 0.0)
    plane = Surface(points, np.tile([[0.0, 0.0, 1.0]], (500, 1)), np.tile(corners, (500, 1, 1)))
    turn = Rotation.from_rotvec((0.0, np.radians(10.0), 0.0)).as_matrix()
    tilted = Surface(points @ turn.T, plane.normals @ turn.T, plane.triangles @ turn.T)
    found = compare_surfaces(plane, tilted)
    assert found["normal_error_deg"] == pytest.approx(10.0)
    expected = 100.0 * np.abs(points[:, 0]).mean() * np.sin(np.radians(10.0))
    assert found["point_to_surface_cm"] == pytest.approx(expected)


def test_the_sides_of_a_thin_sheet_are_told_apart() -> None:
    surface = outer_surface(made(trimesh.creation.box((1.0, 1.0, 1e-3))), 4000)
    flat = np.abs(surface.normals[:, 2]) > 0.9
    assert (surface.points[flat, 2] * surface.normals[flat, 2] > 0).mean() > 0.99
