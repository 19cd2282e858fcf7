import itertools

import numpy as np
import pytest

from backend.fitting.least_squares import Linearization, geman_mcclure, minimize, weighted_block


def test_geman_mcclure_slope_is_its_derivative():
    s = np.array([0.0, 0.3, 4.0, 50.0])
    for width in (2.0, np.inf):
        _, slope = geman_mcclure(s, width)
        h = 1e-6
        numeric = (geman_mcclure(s + h, width)[0] - geman_mcclure(s, width)[0]) / h
        np.testing.assert_allclose(slope, numeric, rtol=1e-4)


def test_outliers_stop_counting():
    rho, slope = geman_mcclure(np.array([1.0, 1e6]), 3.0)
    assert rho[1] < 9.0
    assert slope[1] < 1e-6 < slope[0]


def rosenbrock(x):
    residual = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    jacobian = np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])
    return Linearization(float(residual @ residual), residual, jacobian)


def test_minimize_finds_the_bottom_of_rosenbrocks_valley():
    x, end = minimize(rosenbrock, np.array([-1.2, 1.0]), iterations=60)
    np.testing.assert_allclose(x, [1.0, 1.0], atol=1e-4)
    assert end.cost < 1e-8


def test_cost_never_rises():
    start = np.array([-1.2, 1.0])
    costs = [minimize(rosenbrock, start, n)[1].cost for n in range(8)]
    assert all(b <= a for a, b in itertools.pairwise(costs))


@pytest.mark.parametrize(("width", "tolerance"), [(2.0, 0.01), (np.inf, None)])
def test_a_line_through_points_with_an_outlier(width, tolerance):
    t = np.linspace(0, 1, 20)
    y = 2 * t + 1
    y[5] += 30

    def line(x):
        residual = (x[0] * t + x[1] - y)[:, None]
        return weighted_block(residual, np.stack([t, np.ones_like(t)], 1)[:, None], width)

    x, _ = minimize(line, np.array([1.9, 1.1]), 50)
    error = np.abs(x - [2, 1]).max()
    if tolerance is None:
        assert error > 0.5
    else:
        assert error < tolerance
