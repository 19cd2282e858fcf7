"""Targets on the crop, and where rays are drawn."""

import numpy as np
import torch

from backend.optimization.targets import CropMaps, FrontTargets, clean_edges
from backend.perception.subject import NormalMaps


def test_clean_edges_replaces_mixed_colours_only() -> None:
    rgb = np.zeros((3, 5, 3))
    rgb[:, 0] = 1.0
    rgb[:, 1] = 0.5
    mask = np.tile(np.array([1.0, 0.6, 0, 0, 0]), (3, 1))
    cleaned = clean_edges(rgb, mask)
    assert (cleaned == 1.0).all()


def _targets(n: int = 64) -> tuple[CropMaps, FrontTargets]:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:n, :n]
    mask = (((x - 32) / 12) ** 2 + ((y - 32) / 24) ** 2 < 1).astype(np.float32)
    nothing = np.zeros((n, n), bool)
    rgb = rng.random((n, n, 3)).astype(np.float32)
    maps = CropMaps(rgb, mask, np.ones((n, n), bool), nothing, nothing)
    normal = np.zeros((n, n, 3), np.float32)
    normal[..., 2] = 1.0
    normals = NormalMaps(normal, -normal, mask, mask[:, ::-1].copy(), "test")
    targets = FrontTargets(maps, normals, nothing, (16, n), torch.device("cpu"))
    return maps, targets


def test_rays_are_drawn_on_and_around_the_person_in_neighbouring_pairs() -> None:
    maps, targets = _targets()
    xy = targets.draw(64, 4000, torch.Generator().manual_seed(0)).numpy()
    step = np.abs(xy[0::2] - xy[1::2])
    np.testing.assert_allclose(np.sort(step, 1), np.tile([0.0, 2 / 64], (2000, 1)), atol=1e-6)
    column = ((xy[0::2, 0] + 1) / 2 * 64).astype(int)
    row = ((1 - xy[0::2, 1]) / 2 * 64).astype(int)
    drawn = np.zeros((64, 64), bool)
    drawn[row, column] = True
    assert drawn[maps.mask > 0.5].mean() > 0.8
    assert not drawn[:4, :4].any()


def test_targets_at_pixel_centres_are_the_pixels() -> None:
    maps, targets = _targets()
    t = (np.arange(64) + 0.5) / 64 * 2 - 1
    x, y = np.meshgrid(t, -t)
    xy = torch.from_numpy(np.stack([x, y], -1).reshape(-1, 2)).float()
    got = targets.at(64, xy)
    np.testing.assert_allclose(got.color.numpy().reshape(64, 64, 3), maps.rgb, atol=1e-5)
    np.testing.assert_allclose(got.mask.numpy().reshape(64, 64), maps.mask, atol=1e-5)
    back, trust = targets.back_normals(xy)
    assert (back[:, 2] == -1).all()
    np.testing.assert_allclose(trust.numpy().reshape(64, 64), maps.mask[:, ::-1], atol=1e-5)
