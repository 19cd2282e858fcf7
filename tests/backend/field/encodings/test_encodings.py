"""Every hash encoding against the definition, and the fast one against its readable twin."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from backend.errors import HumanRefError
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout

LAYOUT = HashGridLayout(levels=6, log2_table=11, base_resolution=5, growth=1.7)


def _table(dtype=torch.float32):
    return torch.randn(LAYOUT.total, 2, generator=torch.Generator().manual_seed(1)).to(dtype)


def _points(n=3000):
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(0))


def _entry(level, x, y, z):
    """Index of one grid point, spelled out."""
    if LAYOUT.dense[level]:
        r = LAYOUT.resolutions[level]
        index = x + y * r + z * r * r
    else:
        index = (x ^ (y * 2654435761) ^ (z * 805459861)) & 0xFFFFFFFF
    return LAYOUT.offsets[level] + index % LAYOUT.sizes[level]


@pytest.mark.parametrize("name", ["reference", "numba"])
def test_features_are_trilinear_in_the_documented_table(name):
    encoding, _ = make_encoding(name, LAYOUT, "cpu")
    table, points = _table(), _points(20)
    features = encoding(points, table).double().numpy()
    values = table.double().numpy()
    for n, point in enumerate(points.double().numpy()):
        for level in range(LAYOUT.levels):
            position = point * LAYOUT.scales[level] + 0.5
            cell = np.floor(position).astype(int)
            f = position - cell
            expected = np.zeros(2)
            for corner in np.ndindex(2, 2, 2):
                weight = np.prod(np.where(corner, f, 1 - f))
                expected += weight * values[_entry(level, *(int(c) for c in cell + corner))]
            np.testing.assert_allclose(features[n, 2 * level : 2 * level + 2], expected, atol=2e-5)


def test_numba_agrees_with_its_twin_in_values_jacobian_and_gradients():
    points = _points()
    into_features = torch.randn(len(points), 12)
    into_jacobian = torch.randn(len(points), 3, 8) * 0.05
    results = []
    for name in ("reference", "numba"):
        encoding, _ = make_encoding(name, LAYOUT, "cpu")
        table = _table().requires_grad_()
        features, jacobian = encoding.with_jacobian(points, table, 4)
        torch.autograd.backward((features, jacobian), (into_features, into_jacobian))
        assert table.grad is not None
        results.append((features.detach(), jacobian.detach(), table.grad))
    for twin, fast in zip(*results, strict=True):
        scale = float(twin.abs().max())
        assert scale > 0
        # A point on a cell's face may be rounded into either cell: the Jacobian jumps there.
        off = ((twin - fast).abs() > 1e-4 * scale).double().mean()
        assert off < 1e-4


def test_jacobian_is_the_derivative_of_the_features():
    encoding, _ = make_encoding("reference", LAYOUT, "cpu")
    table, points = _table(torch.float64), _points(2000).double()
    _, jacobian = encoding.with_jacobian(points, table)
    h = 1e-7
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = h
        slope = (encoding(points + step, table) - encoding(points - step, table)) / (2 * h)
        # The difference straddles a face for a few points in a million.
        error = (slope - jacobian[:, axis]).abs().quantile(0.99)
        assert error < 1e-5 * jacobian.abs().max()


def test_reference_gradients_by_finite_differences():
    layout = HashGridLayout(levels=2, log2_table=4, base_resolution=2, growth=2.0)
    encoding, _ = make_encoding("reference", layout, "cpu")
    points = _points(5).double()
    table = torch.randn(layout.total, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: encoding.with_jacobian(points, t), (table,))


@pytest.mark.parametrize("name", ["reference", "numba"])
def test_fewer_levels_are_the_coarsest_ones(name):
    encoding, _ = make_encoding(name, LAYOUT, "cpu")
    full, jacobian = encoding.with_jacobian(_points(50), _table())
    assert torch.equal(encoding(_points(50), _table(), 2), full[:, :4])
    assert torch.equal(encoding.with_jacobian(_points(50), _table(), 2)[1], jacobian[..., :4])


@pytest.mark.parametrize("name", ["reference", "numba"])
def test_points_that_are_not_in_the_cube_read_its_border(name):
    encoding, _ = make_encoding(name, LAYOUT, "cpu")
    wild = torch.tensor(
        [[-3.0, 0.5, 2.0], [float("nan"), 0.5, 1.0], [float("inf"), -float("inf"), 1e30]]
    )
    nearest = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [1.0, 0.0, 1.0]])
    torch.testing.assert_close(encoding(wild, _table()), encoding(nearest, _table()))


def test_no_points_at_all():
    encoding, _ = make_encoding("numba", LAYOUT, "cpu")
    table = _table().requires_grad_()
    features, jacobian = encoding.with_jacobian(torch.empty(0, 3), table)
    assert features.shape == (0, 12)
    (features.sum() + jacobian.sum()).backward()
    assert table.grad is not None
    assert float(table.grad.abs().max()) == 0.0


def test_the_choice_is_made_once_and_told():
    assert make_encoding("auto", LAYOUT, "cpu")[0].name == "numba"
    encoding, why = make_encoding("auto", LAYOUT, "cuda:0")
    expected = "triton" if find_spec("triton") else "reference"
    assert encoding.name == expected
    assert "tiny-cuda-nn" in why
    for name, device in (("numba", "cuda"), ("tinycudann", "cpu"), ("x", "cpu")):
        with pytest.raises(HumanRefError) as error:
            make_encoding(name, LAYOUT, device)
        assert error.value.code == "encoding_unavailable"


def test_numba_refuses_other_number_types():
    encoding, _ = make_encoding("numba", LAYOUT, "cpu")
    with pytest.raises(HumanRefError) as error:
        encoding(_points(4).double(), _table())
    assert error.value.code == "encoding_device"
