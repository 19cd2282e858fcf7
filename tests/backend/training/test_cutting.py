"""Cutting along a field, and the cut-out rasteriser against its definition."""

from __future__ import annotations

import numpy as np

from backend.geometry.rasterizer import rasterize
from backend.training.cutout import OPAQUE, draw_cutout
from backend.training.triangles import cut


def area(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_the_two_sides_of_a_cut_make_the_whole() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1).reshape(-1, 2)
    vertices = np.c_[grid, rng.normal(size=81)]
    corner = (np.arange(8)[:, None] * 9 + np.arange(8)).ravel()
    faces = np.concatenate(
        [np.c_[corner, corner + 1, corner + 9], np.c_[corner + 1, corner + 10, corner + 9]]
    )
    field = rng.normal(size=81)
    parts = [cut(faces, sign * field) for sign in (1.0, -1.0)]
    areas = [area(part.carry(vertices), part.faces) for part in parts]
    np.testing.assert_allclose(sum(areas), area(vertices, faces), rtol=1e-9)
    for part in parts:
        new = part.first != part.second
        np.testing.assert_allclose(part.carry(field)[new], 0.0, atol=1e-12)
        # Orientation is kept: seen from above every triangle still turns the same way.
        flat = part.carry(vertices)[part.faces][..., :2]
        edge = flat[:, 1:] - flat[:, :1]
        turn = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
        assert (turn >= -1e-12).all()


def test_cutouts_against_the_definition() -> None:
    rng = np.random.default_rng(1)
    size = 24
    wall = np.array([[-9.0, -9, 0], [9, -9, 0], [0, 9, 0]])
    raster = rasterize(wall, np.array([[0, 1, 2]]), size)
    xyz = rng.uniform(-1.2, 1.2, (30, 3))
    faces = np.arange(30).reshape(10, 3)
    uv = rng.uniform(-1.0, 2.0, (10, 3, 2))
    alpha = (rng.random((5, 7)) * 255).astype(np.uint8)
    drawn = draw_cutout(raster, xyz, faces, uv, alpha, 1)

    want = np.zeros((size, size), int)
    depth = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            p = np.array([(j + 0.5) / size * 2 - 1, 1 - (i + 0.5) / size * 2])
            for f, face in enumerate(faces):
                system = np.vstack([xyz[face, :2].T, np.ones(3)])
                w = np.linalg.solve(system, [*p, 1.0])
                z = w @ xyz[face, 2]
                if w.min() < 0 or z <= depth[i, j]:
                    continue
                u, v = (w @ uv[f]) % 1.0
                if alpha[min(4, int((1 - v) * 5)), int(u * 7)] >= OPAQUE:
                    want[i, j], depth[i, j] = f + 1, z
    assert (want > 0).sum() > 30
    assert ((want == 0) & (drawn.face_index == 0)).sum() > 30
    np.testing.assert_array_equal(drawn.face_index, want)
    np.testing.assert_allclose(drawn.depth, depth, atol=1e-5)
    assert (raster.face_index == 0).all()
