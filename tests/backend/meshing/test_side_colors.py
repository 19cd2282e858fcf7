"""Flanks take their colours from front and back; what a picture shows well stays as it was."""

import numpy as np
import pytest
import trimesh

from backend.geometry.frames import PhotoCamera
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.meshing.photo_view import PhotoView
from backend.meshing.side_colors import settle_sides

CAMERA = PhotoCamera(150.0, 200.0, 200.0)
PIXEL = 1 / 150.0


def mesh_of(shape: trimesh.Trimesh, colors: np.ndarray) -> ColoredMesh:
    vertices = np.asarray(shape.vertices, np.float32)
    faces = np.asarray(shape.faces, np.int32)
    normals = vertex_normals(vertices, faces)
    return ColoredMesh(vertices, faces, colors.astype(np.float32), normals)


def view(mask: np.ndarray | None = None) -> PhotoView:
    """Its colours are not looked at here."""
    everywhere = np.ones((400, 400), np.float32)
    return PhotoView(
        np.zeros((400, 400, 3), np.float32), everywhere if mask is None else mask, CAMERA
    )


@pytest.fixture(scope="module")
def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(5)


def test_noise_on_the_flanks_goes_and_the_rest_stays(ball: trimesh.Trimesh) -> None:
    z = np.asarray(ball.vertices)[:, 2]
    true = 0.5 + 0.3 * np.stack([z, -z, 0 * z], 1)
    noise = np.random.default_rng(0).normal(0, 0.03, true.shape)
    flank = np.abs(z) < 0.08
    settled = settle_sides(mesh_of(ball, true + noise * flank[:, None]), view(), PIXEL).colors
    assert np.abs(settled - true)[flank].mean() < 0.25 * np.abs(noise)[flank].mean()
    assert np.abs(settled - true)[z > 0.3].max() < 2e-3
    assert np.abs(settled - true)[z < -0.5].max() < 2e-3


def test_colours_do_not_run_along_the_body(ball: trimesh.Trimesh) -> None:
    """A red half above a blue one: around the flank the seam stays where it is."""
    points = np.asarray(ball.vertices)
    red, blue = np.array([0.8, 0.2, 0.2]), np.array([0.2, 0.2, 0.8])
    true = np.where(points[:, 1:2] > 0, red, blue)
    noise = np.random.default_rng(0).normal(0, 0.02, true.shape)
    flank = np.abs(points[:, 2]) < 0.08
    settled = settle_sides(mesh_of(ball, true + noise * flank[:, None]), view(), PIXEL).colors
    off_seam = np.abs(points[:, 1]) > 0.06
    assert np.abs(settled - true)[off_seam].max() < 0.06


def test_a_dark_patch_that_no_picture_shows_is_washed_out() -> None:
    """Between a board and the plate that hides it, both ways, lies a black patch."""
    trunk = trimesh.creation.icosphere(5, radius=0.5)
    plates = [trimesh.creation.box((0.5, 0.5, 0.05)) for _ in range(2)]
    plates[0].apply_translation([0.35, 0, 0.7])
    plates[1].apply_translation([0.35, 0, -0.7])
    scene = trimesh.util.concatenate([trunk, *plates])
    points = np.asarray(scene.vertices)
    patch = (np.linalg.norm(points, axis=1) < 0.51) & (points[:, 0] > 0.42)
    colors = np.where(patch[:, None], 0.05, 0.6) * np.ones(3)
    settled = settle_sides(mesh_of(scene, colors), view(), PIXEL).colors
    assert settled[patch].mean() > 0.5
    shown = np.linalg.norm(points, axis=1) < 0.51
    shown &= points[:, 0] < 0.0
    assert np.abs(settled[shown] - 0.6).max() < 1e-3


def test_outside_the_silhouette_the_photo_says_nothing(ball: trimesh.Trimesh) -> None:
    """A front that pokes out of the mask was painted by nobody; beyond the photo's edge it was."""
    z, x = np.asarray(ball.vertices)[:, 2], np.asarray(ball.vertices)[:, 0]
    poking = (z > 0.3) & (x > 0.5)
    colors = np.where(poking[:, None], 0.0, 0.6) * np.ones(3)
    mask = np.ones((400, 400), np.float32)
    mask[:, 200 + 60 :] = 0.0
    settled = settle_sides(mesh_of(ball, colors), view(mask), PIXEL).colors
    inner = poking & (x > 0.6)
    assert settled[inner].mean() > 0.3
    cut = PhotoView(np.zeros((400, 260, 3), np.float32), mask[:, :260], CAMERA)
    kept = settle_sides(mesh_of(ball, colors), cut, PIXEL).colors
    assert kept[inner & (z > 0.5)].max() < 0.05
