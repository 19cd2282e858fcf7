"""A baked texture against what it should show: known colours, the photo's pixels, hidden parts."""

import numpy as np
import pytest
import trimesh

from backend.geometry.frames import FieldToWorld, PhotoCamera
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.geometry.resampling import sample
from backend.meshing.photo_view import PhotoView
from backend.meshing.side_picture import SidePicture
from backend.meshing.texture import Texture, bake_texture

SIDE = 512
CAMERA = PhotoCamera(150.0, 200.0, 200.0)


def colored(mesh: trimesh.Trimesh) -> ColoredMesh:
    """Colours that are linear in space, so that triangles carry them without an error."""
    vertices = np.asarray(mesh.vertices, np.float32)
    faces = np.asarray(mesh.faces, np.int32)
    return ColoredMesh(vertices, faces, linear(vertices), vertex_normals(vertices, faces))


def linear(points: np.ndarray) -> np.ndarray:
    return (0.5 + 0.3 * points).astype(np.float32)


@pytest.fixture(scope="module")
def ball() -> ColoredMesh:
    return colored(trimesh.creation.icosphere(4))


def spots(mesh: ColoredMesh, texture: Texture, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random points of every face (corners and edges too) and what the texture shows there."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet([0.4] * 3, (len(mesh.faces), 12))
    weight[:, :3] = np.eye(3)
    points = np.einsum("fsk,fkd->fsd", weight, mesh.vertices[mesh.faces]).reshape(-1, 3)
    uv = np.einsum("fsk,fkd->fsd", weight, texture.uv.reshape(-1, 3, 2)).reshape(-1, 2)
    pixels = np.stack([uv[:, 0], 1.0 - uv[:, 1]], 1) * len(texture.image)
    return points, sample(texture.image.astype(np.float32) / 255.0, pixels)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(1 / ((a - b) ** 2).mean()))


def waves(points: np.ndarray) -> np.ndarray:
    """Detail finer than the ball's triangles, six photo pixels a wave or more."""
    x, y = points[..., 0], points[..., 1]
    value = 0.5 + 0.4 * np.sin(150 / 8 * 2 * x) * np.cos(150 / 8 * 2 * y)
    return np.stack([value, 1 - value, 0.5 * np.ones_like(value)], -1).astype(np.float32)


def photo(colors_at=waves) -> PhotoView:
    v, u = np.mgrid[0:400, 0:400] + 0.5
    points = np.stack([(u - 200) / 150, (200 - v) / 150], -1)
    mask = (np.linalg.norm(points, axis=-1) < 1.0).astype(np.float32)
    return PhotoView(colors_at(points), mask, CAMERA)


def test_known_colours_come_back_everywhere_seams_included(ball: ColoredMesh) -> None:
    texture = bake_texture(ball, SIDE, None)
    points, shown = spots(ball, texture)
    assert np.abs(shown - linear(points)).max() < 0.015
    assert psnr(shown, linear(points)) > 46


def test_no_texel_is_left_empty(ball: ColoredMesh) -> None:
    bright = ColoredMesh(ball.vertices, ball.faces, np.ones_like(ball.colors), ball.normals)
    assert (bake_texture(bright, 256, None).image == 255).all()


def test_scraps_smaller_than_a_texel_keep_their_colours(ball: ColoredMesh) -> None:
    rng = np.random.default_rng(0)
    size = 80
    corners = rng.uniform(-1, 1, (size, 1, 3)) + rng.normal(0, 1e-4, (size, 3, 3))
    vertices = np.concatenate([ball.vertices, corners.reshape(-1, 3)]).astype(np.float32)
    own = np.arange(3 * size, dtype=np.int32).reshape(-1, 3) + len(ball.vertices)
    faces = np.concatenate([ball.faces, own])
    colors = np.zeros_like(vertices)
    colors[len(ball.vertices) :] = np.repeat(rng.random((size, 3)), 3, axis=0)
    mesh = ColoredMesh(vertices, faces, colors, vertex_normals(vertices, faces))
    _, shown = spots(mesh, bake_texture(mesh, 256, None))
    wanted = np.repeat(colors[own[:, 0]], 12, axis=0)
    assert np.abs(shown[-12 * size :] - wanted).max() < 0.01


def test_what_the_camera_saw_is_the_photos_own(ball: ColoredMesh) -> None:
    texture = bake_texture(ball, SIDE, photo())
    points, shown = spots(ball, texture)
    front = points[:, 2] > 0.6
    assert psnr(shown[front], waves(points[front])) > 30
    # Triangles cannot carry these waves: the best that vertex colours could do.
    at_vertices = waves(ball.vertices)[ball.faces]
    weight = np.random.default_rng(0).dirichlet([1] * 3, len(ball.faces))
    between = np.einsum("fk,fkd->fd", weight, ball.vertices[ball.faces])
    carried = np.einsum("fk,fkc->fc", weight, at_vertices)
    assert psnr(carried[between[:, 2] > 0.6], waves(between[between[:, 2] > 0.6])) < 20
    back = points[:, 2] < 0.0
    assert np.abs(shown[back] - linear(points[back])).max() < 0.015


def test_no_edge_shows_where_the_photo_ends(ball: ColoredMesh) -> None:
    """Where photo and vertex colours agree up to a constant, the step is spread, not cut."""
    lighter = photo(lambda p: linear(np.concatenate([p, 0 * p[..., :1]], -1)) + np.float32(0.1))
    flat = ColoredMesh(
        ball.vertices,
        ball.faces,
        linear(ball.vertices * np.float32([1, 1, 0])),
        ball.normals,
    )
    points, shown = spots(flat, bake_texture(flat, SIDE, lighter))
    over = (shown - linear(points * [1, 1, 0])).mean(1)
    height = np.arcsin(np.clip(points[:, 2], -1, 1))
    mean = [over[(height >= a) & (height < a + 0.05)].mean() for a in np.arange(-0.3, 1.2, 0.05)]
    assert mean[0] == pytest.approx(0.0, abs=0.004)
    assert mean[-1] == pytest.approx(0.1, abs=0.004)
    assert np.abs(np.diff(mean)).max() < 0.06


def test_a_limb_before_the_body_does_not_leave_its_colours_on_it() -> None:
    body = trimesh.creation.icosphere(4)
    limb = trimesh.creation.icosphere(3, radius=0.25)
    limb.apply_translation([0.2, 0.1, 1.6])
    scene = colored(trimesh.util.concatenate([body, limb]))
    white = photo(lambda p: np.ones((*p.shape[:-1], 3), np.float32))
    points, shown = spots(scene, bake_texture(scene, SIDE, white))
    on_body = np.linalg.norm(points, axis=1) < 1.01
    beside = np.linalg.norm(points[:, :2] - [0.2, 0.1], axis=1)
    hidden = on_body & (points[:, 2] > 0) & (beside < 0.24)
    assert np.abs(shown[hidden] - linear(points[hidden])).max() < 0.02
    free = on_body & (points[:, 2] > 0.6) & (beside > 0.35)
    assert shown[free].min() > 0.98
    front_of_limb = ~on_body & (points[:, 2] > 1.78)
    assert shown[front_of_limb].min() > 0.98


def test_a_photo_finer_than_the_texture_does_not_flicker(ball: ColoredMesh) -> None:
    fine = PhotoCamera(1200.0, 1400.0, 1400.0)
    stripes = np.zeros((2800, 2800, 3), np.float32)
    stripes[:, ::2] = 1.0
    view = PhotoView(stripes, np.ones((2800, 2800), np.float32), fine)
    points, shown = spots(ball, bake_texture(ball, 256, view))
    front = points[:, 2] > 0.7
    assert np.abs(shown[front] - 0.5).max() < 0.06


def test_a_flanks_picture_is_painted_where_it_says(ball: ColoredMesh) -> None:
    """Waves over y and z on the person's left side, but for its lower half."""
    side = 400
    v, u = np.mgrid[0:side, 0:side] + 0.5
    place = np.stack([1.0 - 2.0 * u / side, 1.0 - 2.0 * v / side], -1)
    weight = (place[..., 1] > 0).astype(np.float32)
    left = SidePicture(ball, 90.0, FieldToWorld(1.0, (0.0, 0.0, 0.0)), waves(place), weight)
    points, shown = spots(ball, bake_texture(ball, SIDE, None, (left,)))
    # Seen from there, the person faces to the picture's left: z runs against u.
    told = waves(points[:, [2, 1]])
    upper = (points[:, 0] > 0.7) & (points[:, 1] > 0.05)
    assert psnr(shown[upper], told[upper]) > 28
    other = (points[:, 0] < 0.0) | (points[:, 1] < -0.05)
    assert np.abs(shown[other] - linear(points[other])).max() < 0.02


def test_the_photo_goes_before_a_flanks_picture(ball: ColoredMesh) -> None:
    white = np.ones((200, 200, 3), np.float32)
    front = SidePicture(ball, 0.0, FieldToWorld(1.0, (0.0, 0.0, 0.0)), white, white[..., 0])
    points, shown = spots(ball, bake_texture(ball, SIDE, photo(), (front,)))
    seen = points[:, 2] > 0.6
    assert psnr(shown[seen], waves(points[seen])) > 30
