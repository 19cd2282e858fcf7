"""Picture metrics against their definitions."""

import numpy as np
import pytest
import torch

from backend.evaluation.drawing import Skin, draw, over_grey
from backend.evaluation.features import FeatureMetrics, contextual_distance
from backend.evaluation.pictures import (
    PSNR_CAP,
    angle_between,
    foreground_box,
    psnr,
    silhouette_iou,
    ssim,
)
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import ColoredMesh


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def test_psnr_is_minus_ten_log_of_the_mean_square() -> None:
    black = np.zeros((8, 8, 3), np.float32)
    assert psnr(black + np.float32(0.1), black) == pytest.approx(20.0, abs=1e-4)
    assert psnr(black + np.float32(1.0), black) == 0.0
    assert psnr(black, black) == PSNR_CAP


def test_ssim_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a = noise(0, 40, 50, 3)
    b = np.clip(a + 0.2 * noise(1, 40, 50, 3), 0, 1)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = metrics.structural_similarity(a, b, channel_axis=2, data_range=1.0, **options)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-4)
    assert ssim(a, a) == pytest.approx(1.0)


def test_iou_of_overlapping_squares() -> None:
    a, b = np.zeros((10, 10), np.float32), np.zeros((10, 10), np.float32)
    a[:, :6] = 1.0
    b[:, 4:] = 0.6
    assert silhouette_iou(a, b) == pytest.approx(0.2)
    assert silhouette_iou(np.zeros_like(a), np.zeros_like(a)) == 1.0


def test_the_box_holds_the_silhouette_with_a_margin_inside_the_picture() -> None:
    inside = np.zeros((100, 100), bool)
    inside[10:60, 0:20] = True
    box = foreground_box(inside)
    assert (box.top, box.bottom, box.left, box.right) == (8, 62, 0, 22)


def test_angle_of_normals() -> None:
    up = np.zeros((4, 4, 3), np.float32)
    up[..., 1] = 1.0
    tilted = np.zeros_like(up)
    tilted[..., 1], tilted[..., 2] = np.cos(0.5), np.sin(0.5)
    where = np.ones((4, 4), bool)
    assert angle_between(up, tilted, where) == pytest.approx(np.degrees(0.5), abs=1e-3)
    assert np.isnan(angle_between(up, up, ~where))


def test_contextual_distance_by_hand() -> None:
    ours, truth = torch.randn(7, 5), torch.randn(9, 5)
    mean = truth.mean(0)
    similarity = np.zeros((7, 9))
    for i in range(7):
        d = np.zeros(9)
        for j in range(9):
            a, b = (ours[i] - mean).numpy(), (truth[j] - mean).numpy()
            d[j] = 1.0 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        w = np.exp((1.0 - d / (d.min() + 1e-5)) / 0.5)
        similarity[i] = w / w.sum()
    expected = -np.log(similarity.max(0).mean())
    assert contextual_distance(ours, truth) == pytest.approx(expected, rel=1e-4)


def test_contextual_distance_does_not_ask_where() -> None:
    features = torch.randn(30, 16, generator=torch.Generator().manual_seed(0))
    shuffled = features[torch.randperm(30, generator=torch.Generator().manual_seed(1))]
    assert contextual_distance(shuffled, features) == pytest.approx(0.0, abs=1e-3)
    assert contextual_distance(torch.randn(30, 16), features) > 0.5


def test_features_rank_pictures_as_a_person_would() -> None:
    metrics = FeatureMetrics()
    stripes = np.zeros((96, 96, 3), np.float32)
    stripes[::8] = stripes[1::8] = stripes[2::8] = 1.0
    alpha = np.ones((96, 96), np.float32)
    same = metrics(stripes, stripes, alpha, alpha)
    darker = metrics(0.9 * stripes, stripes, alpha, alpha)
    other = metrics(noise(0, 96, 96, 3), stripes, alpha, alpha)
    assert same["perceptual"] == pytest.approx(0.0, abs=1e-6)
    assert same["perceptual"] < darker["perceptual"] < other["perceptual"]
    assert darker["contextual"] < other["contextual"]


def test_only_places_inside_a_silhouette_speak_in_the_contextual_distance() -> None:
    metrics = FeatureMetrics()
    picture, changed = noise(0, 128, 128, 3), noise(0, 128, 128, 3)
    alpha = np.zeros((128, 128), np.float32)
    alpha[:, :64] = 1.0
    outside = np.zeros_like(alpha)
    outside[:, 64:] = 1.0
    changed[:, 96:] = 0.5
    inside_only = metrics(changed, picture, alpha, alpha)["contextual"]
    changed_part = metrics(changed, picture, outside, outside)["contextual"]
    assert inside_only < 0.5 * changed_part


def quad() -> ColoredMesh:
    vertices = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    normals = np.tile([[0.0, 0.0, 1.0]], (4, 1))
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return ColoredMesh(vertices, faces, np.full((4, 3), 0.25), normals)


def test_drawing_puts_texture_and_alpha_where_they_belong() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32] = (255, 0, 0)
    image[32:, :32] = (0, 255, 0)
    corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    mesh = quad()
    view = draw(mesh, Skin(corner[mesh.faces].reshape(-1, 2), image), OrthographicCamera(0.0), 64)
    assert view[..., 3].sum() == pytest.approx(32 * 32)
    np.testing.assert_allclose(view[20, 32], (1, 0, 0, 1), atol=1e-5)
    np.testing.assert_allclose(view[44, 20], (0, 1, 0, 1), atol=1e-5)
    np.testing.assert_allclose(view[44, 44], (0, 0, 0, 1), atol=1e-5)
    np.testing.assert_allclose(over_grey(view)[0, 0], 0.5)


def test_drawing_without_a_texture_takes_vertex_colours() -> None:
    view = draw(quad(), None, OrthographicCamera(0.0), 64)
    np.testing.assert_allclose(view[32, 32], (0.25, 0.25, 0.25, 1.0), atol=1e-5)
