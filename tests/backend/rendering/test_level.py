"""The level at which a tangent ray is half opaque, against quadrature."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from backend.rendering.level import silhouette_level


def _opacity(alpha: float, radius: float, distance: float) -> float:
    """Of a ray passing a cylinder at ``distance``, with the density of Eq. 2 (corrected)."""
    x = np.linspace(-1, 1, 200_001)
    s = np.hypot(x, radius + distance) - radius
    density = alpha * 0.5 * np.exp(-alpha * s)
    return float(1 - np.exp(-trapezoid(density, x)))


@pytest.mark.parametrize("alpha", [200.0, 500.0, 1000.0])
@pytest.mark.parametrize("radius", [0.04, 0.08, 0.15])
def test_a_ray_at_the_level_is_half_opaque(alpha: float, radius: float) -> None:
    level = silhouette_level(alpha, radius)
    assert level > 0
    assert abs(_opacity(alpha, radius, level) - 0.5) < 0.05


def test_a_soft_density_keeps_the_zero_level() -> None:
    assert silhouette_level(1.0) == 0.0
