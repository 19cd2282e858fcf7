import numpy as np
import trimesh

from backend.geometry.cameras import pixel_centers
from backend.geometry.mesh import Mesh
from backend.geometry.rasterizer import interpolate, rasterize
from backend.meshing.color_fit import FacePicture, _drawing_matrix, fit_back_colors, fit_colors
from backend.meshing.colors import seen_from_front


def ball(subdivisions):
    shape = trimesh.creation.icosphere(subdivisions, radius=0.8)
    return Mesh(shape.vertices, shape.faces.astype(np.int32))


def test_colours_that_were_drawn_are_found_again():
    mesh = ball(2)
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.1, 0.9, (len(mesh.vertices), 3))
    draw, _ = _drawing_matrix(mesh, FacePicture(np.zeros((96, 96, 3)), np.ones((96, 96))), 96, 2)
    picture = FacePicture((draw @ truth).reshape(96, 96, 3), np.ones((96, 96)))
    start = np.full_like(truth, 0.5)
    found = fit_colors(mesh, start, picture, keep=1e-6, smooth=0.0)
    central = (mesh.vertices[:, 2] > 0.5) & seen_from_front(mesh)
    assert central.sum() > 20
    np.testing.assert_allclose(found[central], truth[central], atol=2e-2)


def test_matches_the_dense_least_squares_solution():
    mesh = ball(1)
    rng = np.random.default_rng(1)
    picture = FacePicture(rng.uniform(0.3, 0.7, (32, 32, 3)), np.ones((32, 32)))
    colors = np.full((len(mesh.vertices), 3), 0.5)
    found = fit_colors(mesh, colors, picture, keep=0.5, smooth=0.0)
    draw, weight = _drawing_matrix(mesh, picture, 32, 2)
    rows = np.sqrt(weight)[:, None]
    system = np.vstack([rows * draw.toarray(), np.sqrt(0.5) * np.eye(len(colors))])
    residual = rows * (picture.rgb.reshape(-1, 3) - draw @ colors)
    target = np.vstack([residual, np.zeros_like(colors)])
    expected = colors + np.linalg.lstsq(system, target, rcond=None)[0]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_detailed_photo_is_reproduced_better_and_the_back_keeps_its_colours():
    mesh = ball(5)

    def texture(xy):
        wave = 0.5 + 0.4 * np.sin(40 * xy[..., :1]) * np.sin(35 * xy[..., 1:])
        return np.repeat(wave, 3, -1)

    picture = texture(pixel_centers(128).reshape(128, 128, 2))
    raster = rasterize(mesh.vertices, mesh.faces, 128)
    weight = np.pad(raster.covered[4:-4, 4:-4], 4).astype(np.float64)
    colors = texture(mesh.vertices[:, :2])
    fitted = fit_colors(mesh, colors, FacePicture(picture, weight))

    def error(c):
        inner = raster.covered & (
            np.linalg.norm(pixel_centers(128), axis=1).reshape(128, 128) < 0.6
        )
        return ((interpolate(raster, c, mesh.faces) - picture)[inner] ** 2).mean()

    assert error(fitted) < 0.5 * error(colors)
    back = mesh.vertices[:, 2] < -0.2
    np.testing.assert_allclose(fitted[back], colors[back], atol=1e-6)
    assert fitted.min() >= 0
    assert fitted.max() <= 1


def test_a_picture_of_the_back_is_met_behind_and_left_and_right_stay():
    mesh = ball(5)
    x = pixel_centers(128).reshape(128, 128, 2)[..., :1]
    through = np.repeat(0.5 + 0.4 * np.sin(9 * x), 3, -1)
    raster = rasterize(mesh.vertices, mesh.faces, 128)
    weight = np.pad(raster.covered[4:-4, 4:-4], 4).astype(np.float64)
    grey = np.full((len(mesh.vertices), 3), 0.5)
    fitted = fit_back_colors(mesh, grey, FacePicture(through, weight).turned())
    back, front = mesh.vertices[:, 2] < -0.6, mesh.vertices[:, 2] > 0.2
    expected = 0.5 + 0.4 * np.sin(9 * mesh.vertices[back, 0])
    np.testing.assert_allclose(fitted[back, 0], expected, atol=0.03)
    np.testing.assert_allclose(fitted[front], grey[front], atol=1e-4)


def test_a_share_moves_colours_part_of_the_way():
    mesh = ball(4)
    grey = np.full((len(mesh.vertices), 3), 0.5)
    raster = rasterize(mesh.vertices, mesh.faces, 64)
    weight = np.pad(raster.covered[4:-4, 4:-4], 4).astype(np.float64)
    x = pixel_centers(64).reshape(64, 64, 2)[..., 0]
    share = np.where(x < 0, 0.25, 1.0)
    fitted = fit_colors(mesh, grey, FacePicture(np.full((64, 64, 3), 0.9), weight, share))
    center = mesh.vertices[:, 2] > 0.6
    left, right = center & (mesh.vertices[:, 0] < -0.1), center & (mesh.vertices[:, 0] > 0.1)
    np.testing.assert_allclose(fitted[left], 0.6, atol=0.02)
    np.testing.assert_allclose(fitted[right], 0.9, atol=0.02)
    turned = FacePicture(np.zeros((64, 64, 3)), weight, share).turned()
    np.testing.assert_array_equal(turned.share, share[:, ::-1])
