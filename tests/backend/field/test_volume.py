"""Trilinear sampling of the baked SDF: value, gradient, borders, and the kernel against its twin."""

import torch

from backend.field.volume import (
    sample_grid,
    sample_grid_fused,
    sample_grid_reference,
    sample_grid_with_gradient,
)

GRID = torch.randn(7, 9, 11, generator=torch.Generator().manual_seed(0))


def _points(n):
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_values_are_those_of_grid_sample():
    points = _points(500)
    expected = torch.nn.functional.grid_sample(
        GRID[None, None], points.view(1, 1, 1, -1, 3), align_corners=True, padding_mode="border"
    ).view(-1)
    for sample in (sample_grid, sample_grid_fused):
        torch.testing.assert_close(sample(GRID, points), expected, rtol=1e-5, atol=1e-5)


def test_kernel_agrees_with_its_twin():
    points = _points(2000)
    for fast, twin in zip(
        sample_grid_with_gradient(GRID, points), sample_grid_reference(GRID, points), strict=True
    ):
        torch.testing.assert_close(fast, twin, rtol=1e-4, atol=1e-4)


def test_gradient_is_the_derivative():
    points, grid = _points(500).double(), GRID.double()
    _, gradient = sample_grid_reference(grid, points)
    h = 1e-7
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = h
        high = sample_grid_reference(grid, points + step)[0]
        low = sample_grid_reference(grid, points - step)[0]
        torch.testing.assert_close((high - low) / (2 * h), gradient[:, axis], rtol=1e-5, atol=1e-5)


def test_a_linear_field_is_exact_and_its_gradient_constant():
    axis = [torch.linspace(-1, 1, n) for n in (5, 6, 8)]
    z, y, x = torch.meshgrid(*axis, indexing="ij")
    points = _points(200)
    value, gradient = sample_grid_with_gradient((2 * x - 3 * y + 0.5 * z).contiguous(), points)
    slope = torch.tensor([2.0, -3.0, 0.5])
    torch.testing.assert_close(value, points @ slope, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, slope.expand(200, 3), rtol=1e-4, atol=1e-4)


def test_beyond_the_cube_and_not_a_number_read_the_border():
    wild = torch.tensor([[5.0, 0.0, -7.0], [float("nan"), 0.0, float("inf")]])
    nearest = torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0]])
    for sample in (sample_grid, sample_grid_fused):
        torch.testing.assert_close(sample(GRID, wild), sample(GRID, nearest))
    torch.testing.assert_close(
        sample_grid_reference(GRID, wild)[0], sample_grid_reference(GRID, nearest)[0]
    )
