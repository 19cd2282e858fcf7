"""Losses against their definitions, evaluated directly in float64."""

import numpy as np
import torch

from backend.optimization import losses


def test_iou_loss_is_equation_4() -> None:
    s, t = np.random.default_rng(0).random((2, 50))
    expected = 1 - np.abs(s * t).sum() / np.abs(s + t - s * t).sum()
    value = losses.iou_loss(torch.tensor(s), torch.tensor(t))
    np.testing.assert_allclose(float(value), expected, rtol=1e-12)


def test_iou_loss_of_equal_hard_masks_is_zero_and_of_disjoint_ones_is_one() -> None:
    a = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert float(losses.iou_loss(a, a)) < 1e-6
    assert float(losses.iou_loss(a, 1 - a)) == 1.0


def test_rgb_loss_is_the_weighted_mean_square() -> None:
    color, target = torch.rand(2, 7, 3, dtype=torch.float64)
    weight = torch.tensor([1.0, 0, 1, 0, 1, 1, 0], dtype=torch.float64)
    expected = ((color - target) ** 2)[weight > 0].mean()
    torch.testing.assert_close(losses.rgb_loss(color, target, weight), expected)


def test_normal_loss_leaves_out_untrusted_pixels() -> None:
    normal, target = torch.randn(2, 6, 3, dtype=torch.float64)
    weight = torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64)
    expected = ((normal - target) ** 2).sum(-1)[:3].mean()
    torch.testing.assert_close(losses.normal_loss(normal, target, weight), expected)
    target = torch.cat([target[:3], target[3:] + 100])
    torch.testing.assert_close(losses.normal_loss(normal, target, weight), expected)


def test_sdf_loss_is_l1_scaled_by_tightness() -> None:
    sdf, body = torch.randn(2, 9, dtype=torch.float64)
    tight = torch.rand(9, dtype=torch.float64)
    expected = (torch.abs(sdf - body) * tight).sum() / 9
    torch.testing.assert_close(losses.sdf_loss(sdf, body, tight), expected)


def test_eikonal_loss_vanishes_for_unit_gradients_only() -> None:
    unit = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=-1)
    near = torch.rand(20, dtype=torch.float64) + 0.5
    assert float(losses.eikonal_loss(unit, near)) < 1e-12
    expected = (near * 0.25).sum() / near.sum().clamp_min(1.0)
    torch.testing.assert_close(losses.eikonal_loss(1.5 * unit, near), expected, rtol=1e-9, atol=0)


def test_smoothness_loss_compares_the_pair() -> None:
    pair = torch.tensor([[[0.0, 0, 1], [0, 0, 1]], [[0.0, 0, 1], [0, 1, 0]]])
    assert float(losses.smoothness_loss(pair, torch.ones(2))) == 1.0
    assert float(losses.smoothness_loss(pair, torch.tensor([1.0, 0.0]))) == 0.0
