import numpy as np
import pytest
import torch

from backend.errors import HumanRefError
from backend.meshing.clean import topology
from backend.meshing.extract import evaluate_sparse, marching_cubes


def capsule(points):
    """Signed distance to a capsule along y, with an arm along x."""

    def segment(a, b, radius):
        a, b = torch.tensor(a), torch.tensor(b)
        t = (((points - a) @ (b - a)) / (b - a).dot(b - a)).clamp(0, 1)
        return (points - a - t[:, None] * (b - a)).norm(dim=1) - radius

    trunk = segment([0.0, -0.6, 0.0], [0.0, 0.6, 0.0], 0.2)
    return torch.minimum(trunk, segment([0.0, 0.3, 0.0], [0.7, 0.3, 0.1], 0.03))


def dense(sdf, resolution):
    t = np.arange(resolution) * (2.0 / (resolution - 1)) - 1.0
    points = np.stack(np.meshgrid(t, t, t, indexing="ij"), -1).reshape(-1, 3)
    values = sdf(torch.as_tensor(points, dtype=torch.float32)).numpy()
    return values.reshape((resolution,) * 3)


@pytest.mark.parametrize("resolution", [61, 96])
def test_signs_are_those_of_the_dense_grid_everywhere(resolution):
    volume = evaluate_sparse(capsule, resolution)
    whole = dense(capsule, resolution)
    box = tuple(slice(o, o + n) for o, n in zip(volume.origin, volume.values.shape, strict=True))
    np.testing.assert_array_equal(volume.values < 0, whole[box] < 0)
    assert (whole < 0).sum() == (volume.values < 0).sum()
    assert volume.evaluated < 0.4 * resolution**3
    for axis in range(3):
        # Both ends of every crossing hold the field's own values, so positions are exact too.
        inside, own = volume.values < 0, whole[box]
        cross = np.diff(inside, axis=axis)
        for side in (slice(1, None), slice(None, -1)):
            at = tuple(side if k == axis else slice(None) for k in range(3))
            np.testing.assert_array_equal(volume.values[at][cross], own[at][cross])


def test_a_field_far_from_a_distance_is_followed_from_block_to_block():
    def steep(points):
        return 12.0 * capsule(points)

    volume = evaluate_sparse(steep, 96)
    assert (volume.values < 0).sum() == (dense(steep, 96) < 0).sum()


def test_surface_is_closed_outward_and_of_the_right_volume():
    mesh = marching_cubes(evaluate_sparse(lambda p: p.norm(dim=1) - 0.6, 80))
    found = topology(mesh.faces)
    assert found.closed_manifold
    assert (found.components, found.handles) == (1, 0)
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    volume = (a * np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=5e-3)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.6, atol=2e-3)
    assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 1e-8


def test_a_surface_that_leaves_the_cube_is_closed_there():
    mesh = marching_cubes(evaluate_sparse(lambda p: p[:, 1] - 0.3, 40))
    assert topology(mesh.faces).closed_manifold
    assert mesh.vertices[:, 1].max() == pytest.approx(0.3, abs=1e-2)


def test_noise_gives_a_manifold():
    torch.manual_seed(0)
    grid = torch.randn(1, 1, 14, 14, 14)

    def noisy(points):
        value = torch.nn.functional.grid_sample(
            grid, points.view(1, -1, 1, 1, 3), align_corners=True
        )
        return 0.3 * value.view(-1) + points.norm(dim=1) - 0.5

    assert topology(marching_cubes(evaluate_sparse(noisy, 48)).faces).closed_manifold


def test_fields_without_a_surface_are_refused():
    with pytest.raises(HumanRefError) as empty:
        evaluate_sparse(lambda p: p.norm(dim=1) + 0.1, 32)
    assert empty.value.code == "empty_field"
    with pytest.raises(HumanRefError) as broken:
        evaluate_sparse(lambda p: p[:, 0] * float("nan"), 32)
    assert broken.value.code == "field_not_finite"
