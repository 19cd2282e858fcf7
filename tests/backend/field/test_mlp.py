"""The hand-written backward of the networks against autograd's double backward, in float64."""

import pytest
import torch

from backend.field import mlp
from backend.field.mlp import (
    ROUND,
    FieldNetworks,
    networks_reference,
    rounded_relu,
)

F64 = torch.float64


def _inputs(n, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def make(*shape):
        return torch.randn(*shape, generator=generator, dtype=F64)

    features = make(n, 12).requires_grad_()
    jacobian = make(n, 3, 8).requires_grad_()
    shapes = ((16, 11), (16, 16), (16,), (16, 12), (16, 16), (3, 16))
    weights = [make(*shape).requires_grad_() for shape in shapes]
    into = (make(n), make(n, 3), make(n, 3))
    return features, jacobian, make(n, 3), weights, into


@pytest.mark.parametrize("n", [1, 37, 133])
def test_values_and_gradients_agree_with_the_twin(n, monkeypatch):
    monkeypatch.setattr(mlp, "CHUNK", 64)
    features, jacobian, x, weights, into = _inputs(n)
    fast = FieldNetworks.apply(features, jacobian, x, 0.5, *weights)
    twin = networks_reference(features, jacobian, x, 0.5, tuple(weights[:3]), tuple(weights[3:]))
    for a, b in zip(fast, twin, strict=True):
        torch.testing.assert_close(a, b)
    wanted = [features, jacobian, *weights]
    for a, b in zip(
        torch.autograd.grad(fast, wanted, into),
        torch.autograd.grad(twin, wanted, into),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_slope_is_the_derivative_of_the_value():
    _, _, x, weights, _ = _inputs(60)
    mix = torch.randn(3, 8, dtype=F64)

    def sdf(points):
        features = torch.cat([(points * 0.5) @ mix, points.new_zeros(len(points), 4)], 1)
        jacobian = mix.expand(len(points), 3, 8)
        return FieldNetworks.apply(features, jacobian, points, 0.5, *weights)

    slope = sdf(x)[1]
    h = 1e-6
    for axis in range(3):
        step = torch.zeros(3, dtype=F64)
        step[axis] = h
        difference = (sdf(x + step)[0] - sdf(x - step)[0]) / (2 * h)
        torch.testing.assert_close(difference, slope[:, axis], rtol=1e-5, atol=1e-5)


def test_rounded_relu_is_relu_but_for_a_smooth_corner():
    h = torch.linspace(-4 * ROUND, 4 * ROUND, 801, dtype=F64, requires_grad=True)
    r = rounded_relu(h)
    away = h.abs() >= ROUND
    torch.testing.assert_close(r[away], torch.relu(h[away]))
    (slope,) = torch.autograd.grad(r.sum(), h)
    step = (h[1] - h[0]).item()
    # Continuous: no jump of the slope larger than the parabola's curvature allows.
    assert slope.diff().abs().max().item() <= step / (2 * ROUND) * 1.01


def test_gradients_are_given_once():
    features, jacobian, x, weights, _ = _inputs(5)
    s, _, _ = FieldNetworks.apply(features, jacobian, x, 0.5, *weights)
    (first,) = torch.autograd.grad(s.square().sum(), features, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
