"""VolSDF density and the closed form of a segment, against numeric quadrature and their limits."""

import pytest
import torch

from backend.field.density import density, segment_optical_depth, segment_weights

F64 = torch.float64


def test_density_is_alpha_inside_half_on_the_surface_and_nothing_outside():
    alpha = torch.tensor(50.0, dtype=F64)
    s = torch.tensor([-1.0, 0.0, 1.0], dtype=F64)
    torch.testing.assert_close(density(s, alpha), torch.tensor([50.0, 25.0, 0.0], dtype=F64))
    # The printed Eq. 2 would give the same on both sides; the corrected one mirrors about alpha / 2.
    s = torch.linspace(-0.1, 0.1, 21, dtype=F64)
    torch.testing.assert_close(density(s, alpha) + density(-s, alpha), alpha.expand(21))
    expected = alpha * (0.5 + 0.5 * torch.sign(s) * torch.expm1(-alpha * s.abs()))
    torch.testing.assert_close(density(s, alpha), expected)


def _quadrature(s0, s1, delta, alpha, n=20_001):
    t = torch.linspace(0.0, 1.0, n, dtype=F64)
    sigma = density(s0[:, None] + (s1 - s0)[:, None] * t, alpha)
    return torch.trapezoid(sigma, t, dim=1) * delta


@pytest.mark.parametrize("sharpness", [5.0, 20.0, 100.0])
def test_closed_form_against_quadrature(sharpness):
    generator = torch.Generator().manual_seed(0)
    s = (torch.rand(2, 400, generator=generator, dtype=F64) - 0.5) * 0.6
    s[1, :100] = s[0, :100] + torch.logspace(-9, -1, 100, dtype=F64)
    s[:, 100:120] = 0.0
    delta = torch.rand(400, generator=generator, dtype=F64)
    alpha = torch.tensor(sharpness, dtype=F64)
    closed = segment_optical_depth(s[0], s[1], delta, alpha)
    torch.testing.assert_close(closed, _quadrature(s[0], s[1], delta, alpha), rtol=1e-6, atol=1e-7)


def test_single_precision_stays_close_where_the_quotient_is_dangerous():
    s0 = torch.linspace(-0.3, 0.3, 200)
    alpha, delta = torch.tensor(300.0), torch.full((200,), 0.02)
    for gap in (1e-8, 1e-6, 9e-5, 1.1e-4, 1e-3):
        single = segment_optical_depth(s0, s0 + gap, delta, alpha)
        double = segment_optical_depth(
            s0.double(), (s0 + gap).double(), delta.double(), alpha.double()
        )
        torch.testing.assert_close(single.double(), double, rtol=3e-4, atol=1e-6)
        assert bool((single >= 0).all())


def test_gradients_by_finite_differences_on_both_sides_of_the_switch():
    s0 = torch.tensor([0.02, -0.03, 0.01, -0.01, 0.05], dtype=F64, requires_grad=True)
    s1 = torch.tensor([-0.04, 0.03, 0.0101, -0.0099, 0.0], dtype=F64, requires_grad=True)
    delta = torch.full((5,), 0.05, dtype=F64)
    alpha = torch.tensor(40.0, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b, c: segment_optical_depth(a, b, delta, c), (s0, s1, alpha), atol=1e-4
    )


def test_beats_the_rectangle_rule_at_a_crossing():
    alpha = torch.tensor(100.0, dtype=F64)
    t = torch.linspace(-0.1, 0.1, 9, dtype=F64)
    s = -0.7 * (t - 0.003)
    exact = _quadrature(s[:1], s[-1:], torch.tensor([0.2], dtype=F64), alpha)
    closed = segment_optical_depth(s[:-1], s[1:], t.diff(), alpha).sum()
    rectangle = (density(s[:-1], alpha) * t.diff()).sum()
    assert abs(closed - exact) < 1e-6 * exact
    assert abs(rectangle - exact) > 1e-2 * exact


def test_weights_and_what_remains_sum_to_one():
    tau = torch.rand(50, 7, dtype=F64) * 3
    weights, through = segment_weights(tau)
    torch.testing.assert_close(weights.sum(1) + through, torch.ones(50, dtype=F64))
    before = torch.exp(-torch.cumsum(tau, 1) + tau)
    torch.testing.assert_close(weights, before * (1 - torch.exp(-tau)))
    assert bool((weights >= 0).all())
