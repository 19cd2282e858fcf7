import numpy as np
import pytest

from backend.errors import HumanRefError
from backend.geometry.cameras import OrthographicCamera, pixel_centers
from backend.geometry.rasterizer import interpolate, rasterize


def readable_twin(xyz, faces, resolution):
    """Solve every pixel centre's barycentric weights in every triangle; keep the nearest."""
    points = pixel_centers(resolution)
    index = np.full(len(points), -1)
    weights = np.zeros((len(points), 3))
    depth = np.full(len(points), -np.inf)
    for f, face in enumerate(faces):
        corners = xyz[face].astype(np.float64)
        system = np.vstack([corners[:, :2].T, np.ones(3)])
        if abs(np.linalg.det(system)) < 1e-14:
            continue
        solved = np.linalg.solve(system, np.column_stack([points, np.ones(len(points))]).T).T
        z = solved @ corners[:, 2]
        nearer = (solved >= 0).all(1) & (z > depth)
        index[nearer], weights[nearer], depth[nearer] = f, solved[nearer], z[nearer]
    shape = (resolution, resolution)
    return index.reshape(shape), weights.reshape(*shape, 3), depth.reshape(shape)


def test_matches_the_readable_twin_on_random_triangles():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-1.3, 1.3, (60, 3)).astype(np.float32)
    faces = rng.integers(0, 60, (40, 3)).astype(np.int32)
    raster = rasterize(xyz, faces, 48)
    index, weights, depth = readable_twin(xyz, faces, 48)
    assert (raster.face_index == index).mean() > 0.999
    same = (raster.face_index == index) & (index >= 0)
    assert same.sum() > 500
    np.testing.assert_allclose(raster.barycentric[same], weights[same], atol=1e-5)
    np.testing.assert_allclose(raster.depth[same], depth[same], atol=1e-5)


def test_neighbouring_triangles_leave_no_gap_and_row_zero_is_on_top():
    xyz = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int64)
    raster = rasterize(xyz, faces, 17)
    assert raster.covered.all()
    picture = interpolate(raster, xyz, faces)
    expected = pixel_centers(17).reshape(17, 17, 2)
    np.testing.assert_allclose(picture[..., :2], expected, atol=1e-6)
    assert picture[0, 0, 1] > 0.9


def test_larger_z_hides_smaller_and_background_takes_the_fill():
    xyz = np.array(
        [
            [-0.5, -0.5, 0],
            [0.5, -0.5, 0],
            [0, 0.5, 0],
            [-0.5, -0.5, 1],
            [0.5, -0.5, 1],
            [0, 0.5, 1],
        ],
        np.float64,
    )
    raster = rasterize(xyz, np.array([[0, 1, 2], [3, 4, 5]]), 32)
    assert set(np.unique(raster.face_index)) == {-1, 1}
    assert np.isneginf(raster.depth[0, 0])
    fill = np.array([0.1, 0.2, 0.3])
    picture = interpolate(raster, np.ones((6, 3)), np.array([[0, 1, 2], [3, 4, 5]]), fill)
    np.testing.assert_array_equal(picture[0, 0], fill)
    np.testing.assert_allclose(picture[raster.covered], 1.0)


def test_triangles_behind_the_frame_and_slivers_do_no_harm():
    xyz = np.array([[1e12, 0, 0], [-1e12, 1e12, 0], [0, -1e12, 0], [0, 0, 0]], np.float64)
    raster = rasterize(xyz, np.array([[0, 1, 2], [3, 3, 3]]), 8)
    assert raster.covered.all()
    assert not rasterize(xyz + 5e12, np.array([[0, 1, 2]]), 8).covered.any()


def test_seen_from_behind_left_and_right_swap():
    xyz = np.array([[0.2, -0.5, 0], [0.8, -0.5, 0], [0.5, 0.5, 0]])
    faces = np.array([[0, 1, 2]])
    front = rasterize(OrthographicCamera(0.0).project(xyz), faces, 32).covered
    back = rasterize(OrthographicCamera(180.0).project(xyz), faces, 32).covered
    assert front.sum() > 50
    np.testing.assert_array_equal(back, front[:, ::-1])


def test_invalid_meshes_are_refused():
    xyz = np.zeros((3, 3))
    with pytest.raises(HumanRefError, match="vertices it does not have"):
        rasterize(xyz, np.array([[0, 1, 3]]), 8)
    with pytest.raises(HumanRefError, match="finite"):
        rasterize(np.full((3, 3), np.nan), np.array([[0, 1, 2]]), 8)
