"""The compiled networks against their readable twin, in values and gradients, and how they are chosen."""

import numba
import pytest
import torch

from backend.field import network_kernels
from backend.field.compiled_networks import CompiledNetworks, evaluate_networks, evaluate_sdf
from backend.field.mlp import networks_reference, sdf_network


def _inputs(n, hidden=64, features=24, jacobian=16):
    generator = torch.Generator().manual_seed(n)

    def make(*shape):
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    shapes = (
        (hidden, jacobian + 3),
        (hidden, hidden),
        (hidden,),
        (hidden, features),
        (hidden, hidden),
        (3, hidden),
    )
    weights = [make(*shape).requires_grad_() for shape in shapes]
    inputs = [make(n, features).requires_grad_(), make(n, 3, jacobian).requires_grad_()]
    into = (make(n, 1)[:, 0], make(n, 3), make(n, 3))
    return inputs, make(n, 3), weights, into


@pytest.mark.parametrize(("n", "hidden"), [(1, 64), (64, 64), (1500, 64), (333, 20)])
def test_values_and_gradients_agree_with_the_twin(n, hidden):
    inputs, x, weights, into = _inputs(n, hidden)
    double = [t.detach().double().requires_grad_() for t in (*inputs, *weights)]
    fast = CompiledNetworks.apply(*inputs, x, 0.5, *weights)
    twin = networks_reference(
        double[0], double[1], x.double(), 0.5, tuple(double[2:5]), tuple(double[5:])
    )
    fast_grads = torch.autograd.grad(fast, [*inputs, *weights], into)
    twin_grads = torch.autograd.grad(twin, double, [t.double() for t in into])
    for a, b in zip((*fast, *fast_grads), (*twin, *twin_grads), strict=True):
        assert a.shape == b.shape
        assert float((a.detach().double() - b.detach()).norm()) < 2e-5 * float(b.detach().norm())


def test_sdf_alone_agrees_and_is_chosen_only_without_gradients():
    inputs, x, weights, _ = _inputs(1000)
    features = inputs[0].detach()[:, :16].contiguous()
    expected = sdf_network(torch.cat([features, x], 1), *weights[:3])
    assert evaluate_sdf(features, x, *weights).requires_grad
    with torch.no_grad():
        torch.testing.assert_close(
            evaluate_sdf(features, x, *weights), expected.detach(), rtol=1e-4, atol=1e-5
        )


def test_other_number_types_take_the_torch_networks():
    inputs, x, weights, _ = _inputs(10)
    double = [t.detach().double() for t in (*inputs, x)]
    result = evaluate_networks(*double, 0.5, *(w.detach().double() for w in weights))
    assert result[0].dtype == torch.float64
    single = evaluate_networks(*inputs, x, 0.5, *weights)
    torch.testing.assert_close(single[0].double(), result[0], rtol=1e-4, atol=1e-5)


def test_sums_do_not_depend_on_the_number_of_threads():
    inputs, x, weights, into = _inputs(3000)
    threads = numba.get_num_threads()
    results = []
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            out = CompiledNetworks.apply(*inputs, x, 0.5, *weights)
            results.append(torch.autograd.grad(out, weights, into))
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(results[0], results[-1], strict=True):
        assert torch.equal(a, b)


def test_tiles_are_small_enough_for_blas_to_stay_on_its_thread():
    for widths in ((64, 24, 19), (128, 24), (256, 32), (600, 600), (8, 8)):
        tile = network_kernels.tile_size(*widths)
        widest = sorted(widths)[-2:]
        assert 1 <= tile <= 64
        assert tile == 1 or tile * widest[0] * widest[1] <= 262_144


def test_no_points_at_all():
    inputs, x, weights, into = _inputs(0)
    out = CompiledNetworks.apply(*inputs, x, 0.5, *weights)
    assert [t.shape[0] for t in out] == [0, 0, 0]
    for gradient in torch.autograd.grad(out, weights, into):
        assert float(gradient.abs().max()) == 0.0


def test_a_network_that_diverged_says_so():
    inputs, x, weights, _ = _inputs(4)
    with torch.no_grad():
        weights[2][0] = float("nan")
        weights[5][0, 0] = float("nan")
    s, slope, color = CompiledNetworks.apply(*inputs, x, 0.5, *weights)
    assert bool(s.isnan().all())
    assert bool(slope.isnan().any())
    assert bool(color[:, 0].isnan().all())
