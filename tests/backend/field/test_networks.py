"""The field: starts as the body, analytic gradients, safe anywhere, differentiable where it should be."""

import math
from dataclasses import replace

import pytest
import torch

from backend.errors import HumanRefError
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.networks import HumanField
from backend.field.volume import sample_grid_with_gradient
from backend.settings import FieldSettings, OptimizationSettings

SETTINGS = FieldSettings(levels=6, log2_table=12, max_resolution=64, hidden=32, sdf_levels=4)


def sphere_grid(n=33, radius=0.5):
    axis = torch.linspace(-1, 1, n)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return (x * x + y * y + z * z).sqrt() - radius


def make_field(encoding="numba", trained=True):
    torch.manual_seed(0)
    made, _ = make_encoding(encoding, HashGridLayout.from_settings(SETTINGS), "cpu")
    field = HumanField(SETTINGS, sphere_grid(), made)
    if trained:
        with torch.no_grad():
            field.table.copy_(torch.randn_like(field.table) * 0.05)
            field.sdf_w3.copy_(torch.randn_like(field.sdf_w3) * 0.1)
    return field


def _points(n=400, extent=1.0):
    return (torch.rand(n, 3, generator=torch.Generator().manual_seed(2)) * 2 - 1) * extent


def test_step_zero_is_exactly_the_body():
    field = make_field(trained=False)
    points = _points()
    sample = field(points)
    base, gradient = sample_grid_with_gradient(field.base_sdf, points)
    assert torch.equal(sample.sdf, base)
    assert torch.equal(sample.gradient, gradient)
    assert field.alpha.item() == pytest.approx(math.exp(10 * SETTINGS.alpha_init), rel=1e-5)


def test_query_methods_agree_with_the_full_sample():
    field = make_field()
    points = _points(extent=1.3)
    sample = field(points)
    torch.testing.assert_close(field.sdf(points), sample.sdf)
    torch.testing.assert_close(field.color(points), sample.color)
    assert 0 < sample.color.min().item() < sample.color.max().item() < 1
    with torch.no_grad():
        many = _points(40_000)
        torch.testing.assert_close(field.sdf(many)[-100:], field.sdf(many[-100:]))


def test_gradient_is_the_derivative_of_the_sdf():
    field = make_field("reference").double()
    points = _points(300, extent=1.2).double()
    gradient = field(points).gradient
    h = 1e-7
    with torch.no_grad():
        for axis in range(3):
            step = torch.zeros(3, dtype=torch.float64)
            step[axis] = h
            slope = (field.sdf(points + step) - field.sdf(points - step)) / (2 * h)
            error = (slope - gradient[:, axis]).abs()
            assert float(error.quantile(0.99)) < 1e-5


def test_encodings_give_the_same_field_and_gradients():
    points = _points()
    grads = []
    for name in ("reference", "numba"):
        field = make_field(name)
        sample = field(points)
        loss = sample.sdf.square().sum() + sample.gradient.pow(3).sum() + sample.color.sum()
        loss.backward()
        assert field.table.grad is not None
        assert field.sdf_w1.grad is not None
        grads.append([field.table.grad, field.sdf_w1.grad, field.color_w2.grad])
    for twin, fast in zip(*grads, strict=True):
        assert float((twin - fast).norm() / twin.norm()) < 1e-3


def test_outside_the_cube_it_is_far_and_finite():
    field = make_field()
    wild = torch.tensor(
        [[3.0, 0, 0], [float("nan"), 0, 0], [0, float("inf"), 0], [0, 0, -float("inf")], [1e30] * 3]
    )
    sample = field(wild)
    assert bool((sample.sdf > 1.0).all())
    for values in (sample.sdf, sample.gradient, sample.color):
        assert bool(torch.isfinite(values).all())
    assert sample.gradient[0, 0].item() == 1.0


def test_every_parameter_has_one_group_and_learns():
    field = make_field()
    options = replace(
        OptimizationSettings(),
        learning_rate=1e-3,
        table_learning_rate=1e-2,
        alpha_learning_rate=2e-3,
    )
    groups = field.parameter_groups(options)
    assert {g["name"]: g["lr"] for g in groups} == {
        "table": 1e-2,
        "networks": 1e-3,
        "alpha": 2e-3,
    }
    listed = [id(p) for g in groups for p in g["params"]]
    assert sorted(listed) == sorted(id(p) for p in field.parameters())
    sample = field(_points())
    (sample.sdf.sum() * field.alpha + sample.color.sum() + sample.gradient.sum()).backward()
    for name, parameter in field.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_a_checkpoint_holds_the_parameters_and_not_the_body():
    state = make_field().state_dict()
    assert "base_sdf" not in state
    fresh = make_field(trained=False)
    fresh.load_state_dict(state)
    torch.testing.assert_close(fresh(_points()).sdf, make_field()(_points()).sdf)


def test_sizes_that_disagree_are_refused():
    encoding, _ = make_encoding("reference", HashGridLayout.from_settings(SETTINGS), "cpu")
    for settings, grid in (
        (replace(SETTINGS, levels=5), sphere_grid()),
        (SETTINGS, torch.full((4, 4, 4), float("nan"))),
    ):
        with pytest.raises(HumanRefError) as error:
            HumanField(settings, grid, encoding)
        assert error.value.code == "field_settings_invalid"
