"""Cuts land on hems; colour arithmetic agrees with its definition."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from backend.perception.cut_lines import srgb_to_lab, strongest_change


def test_lab_agrees_with_scikit_image() -> None:
    colors = np.random.default_rng(0).random((500, 3))
    np.testing.assert_allclose(srgb_to_lab(colors), rgb2lab(colors), atol=0.02)


@pytest.mark.parametrize("hem", [130, 150, 171])
def test_a_hem_is_found_where_it_is(hem: int) -> None:
    rgb = np.full((300, 200, 3), 0.6, np.float32)
    rgb[hem:] = [0.2, 0.25, 0.5]
    rgb += np.random.default_rng(1).normal(0, 0.02, rgb.shape).astype(np.float32)
    part = np.zeros((300, 200), bool)
    part[60:260, 60:140] = True
    offset = strongest_change(
        rgb.clip(0, 1),
        part,
        np.array([100.0, 150.0]),
        np.array([0.0, 1.0]),
        100.0,
        (-0.35, 0.4),
        12.0,
    )
    assert offset is not None
    assert abs(150.0 + 100.0 * offset - hem) <= 2.0


def test_shading_is_no_hem() -> None:
    v = np.linspace(0.5, 0.62, 300, dtype=np.float32)
    rgb = np.repeat(np.repeat(v[:, None, None], 200, 1), 3, 2)
    part = np.ones((300, 200), bool)
    offset = strongest_change(
        rgb, part, np.array([100.0, 150.0]), np.array([0.0, 1.0]), 100.0, (-0.35, 0.4), 12.0
    )
    assert offset is None
