"""The narrow-band sampler: kernel against twin, where samples go, what counts as background."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from backend.errors import HumanRefError
from backend.geometry.cameras import OrthographicCamera, pixel_centers
from backend.rendering import kernels
from backend.rendering.sampling import (
    NarrowBandSampler,
    UniformSampler,
    cube_interval,
    narrow_band_reference,
)
from backend.settings import RenderingSettings

SETTINGS = RenderingSettings(samples=10, grid_resolution=48)


@dataclass
class Balls:
    """Two spheres, one in front of the other: an exact distance."""

    device = torch.device("cpu")

    def sdf(self, points):
        small = (points - torch.tensor([0.1, 0.2, 0.5])).norm(dim=1) - 0.15
        return torch.minimum(points.norm(dim=1) - 0.4, small)


def _rays(resolution=48, azimuth=0.0, elevation=0.0):
    origins, direction = OrthographicCamera(azimuth, elevation).pixel_rays(
        pixel_centers(resolution)
    )
    return torch.from_numpy(origins), torch.from_numpy(direction)


def _sampler(settings=SETTINGS):
    sampler = NarrowBandSampler(settings)
    sampler.refresh(Balls())
    return sampler


@pytest.mark.parametrize("alpha", [10.0, 60.0])
@pytest.mark.parametrize("view", [(0.0, 0.0), (37.0, 20.0)])
def test_kernel_agrees_with_its_twin(alpha, view):
    grid = _sampler().grid
    origins, direction = _rays(48, *view)
    random = torch.rand(len(origins), 10, generator=torch.Generator().manual_seed(0))
    quantiles = (torch.arange(10) + 1.0 - random) / 10
    depths, hit = torch.empty(len(origins), 10), torch.empty(len(origins), dtype=torch.bool)
    kernels.narrow_band(
        grid.numpy(),
        origins.numpy(),
        direction.view(1, 3).numpy(),
        96,
        1.0,
        alpha,
        0.1,
        quantiles.numpy(),
        depths.numpy(),
        hit.numpy(),
    )
    twin, twin_hit = narrow_band_reference(
        grid, origins, direction.view(1, 3), 96, alpha, 0.1, quantiles
    )
    assert torch.equal(hit, twin_hit)
    assert 0.1 < hit.float().mean() < 0.6
    torch.testing.assert_close(depths[hit], twin[hit], rtol=0, atol=1e-3)


def test_one_direction_for_all_or_one_a_ray():
    origins, direction = _rays(azimuth=120.0)
    sampler = _sampler()
    together = sampler.sample(origins, direction, 80.0)
    each = sampler.sample(origins, direction.expand_as(origins), 80.0)
    assert torch.equal(together[0], each[0])
    assert torch.equal(together[1], each[1])


def test_samples_lie_around_the_first_surface():
    origins, direction = _rays()
    depths, hit = _sampler().sample(origins, direction, 200.0)
    assert bool((depths.diff(dim=1) >= 0).all())
    middle = origins[:, :2].norm(dim=1) < 0.25
    behind_small = (origins[:, :2] - torch.tensor([0.1, 0.2])).norm(dim=1) < 0.08
    for rays, center, radius in (
        (middle & ~(origins[:, :2] - torch.tensor([0.1, 0.2])).norm(dim=1).lt(0.2), (0, 0, 0), 0.4),
        (behind_small, (0.1, 0.2, 0.5), 0.15),
    ):
        assert bool(hit[rays].all())
        c = torch.tensor(center, dtype=torch.float32)
        height = (radius**2 - (origins[rays, :2] - c[:2]).square().sum(1)).sqrt() + c[2]
        surface = origins[rays, 2] - height
        assert bool((depths[rays, 0] < surface).all())
        assert bool((depths[rays, -1] > surface).all())
        assert bool(((depths[rays] - surface[:, None]).abs() < 0.25).all())


def test_background_begins_beyond_the_band_and_shrinks_as_the_density_sharpens():
    origins, direction = _rays(64)
    sampler = _sampler()
    # Distance between the ray and the union of the balls, in the picture plane.
    near = torch.minimum(
        origins[:, :2].norm(dim=1) - 0.4,
        (origins[:, :2] - torch.tensor([0.1, 0.2])).norm(dim=1) - 0.15,
    )
    counts = []
    for alpha in (20.0, 60.0, 300.0):
        _, hit = sampler.sample(origins, direction, alpha)
        reach = sampler.reach(alpha)
        cell = 2 / 47
        assert bool(hit[near < reach - 0.5 * cell].all())
        assert not bool(hit[near > reach + 0.5 * cell].any())
        # Silhouettes can grow: rays just outside the surface are rendered.
        assert bool(hit[near < 0.02].all())
        counts.append(int(hit.sum()))
    assert counts[0] > counts[1] > counts[2]


def test_a_field_steeper_than_a_distance_is_not_leapt_over():
    class Steep(Balls):
        def sdf(self, points):
            return 4.0 * super().sdf(points)

    origins, direction = _rays(48, 20.0, 10.0)
    sampler = NarrowBandSampler(SETTINGS)
    sampler.refresh(Steep())
    _, hit = sampler.sample(origins, direction, 200.0)
    grid = sampler.grid
    quantiles = torch.full((len(origins), 10), 0.5)
    _, twin = narrow_band_reference(
        grid, origins, direction.view(1, 3), 96, 50.0, sampler.reach(200.0), quantiles
    )
    assert torch.equal(hit, twin)


def test_refreshing_follows_a_surface_that_moves():
    @dataclass
    class Growing:
        radius: float = 0.3
        asked: int = 0
        device = torch.device("cpu")

        def sdf(self, points):
            self.asked += len(points)
            return points.norm(dim=1) - self.radius

    ball, sampler, fresh = Growing(), NarrowBandSampler(SETTINGS), NarrowBandSampler(SETTINGS)
    sampler.refresh(ball)
    everything = ball.asked
    assert everything == 48**3
    for growth in (0.01, 0.03, 0.03, 0.03, 0.07, 0.15):
        ball.radius += growth
        sampler.refresh(ball)
        fresh = NarrowBandSampler(SETTINGS)
        fresh.refresh(Growing(ball.radius))
        near = fresh.grid.abs() < 0.1
        assert torch.equal(sampler.grid[near], fresh.grid[near])
    assert torch.equal(sampler.grid, fresh.grid)
    ball.asked = 0
    sampler.refresh(ball)
    assert 0 < ball.asked < 0.4 * everything


def test_jitter_is_the_generators_and_fills_the_strata():
    origins, direction = _rays(32)
    sampler = _sampler()
    one = sampler.sample(origins, direction, 80.0, torch.Generator().manual_seed(5))[0]
    two = sampler.sample(origins, direction, 80.0, torch.Generator().manual_seed(5))[0]
    three = sampler.sample(origins, direction, 80.0, torch.Generator().manual_seed(6))[0]
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert bool((one.diff(dim=1) >= 0).all())


def test_rays_that_miss_the_cube_or_start_inside_it():
    origins = torch.tensor([[2.0, 0.0, 1.75], [0.0, 0.0, 0.0], [0.0, 0.0, 1.75]])
    direction = torch.tensor([0.0, 0.0, -1.0])
    near, far = cube_interval(origins, direction[None])
    np.testing.assert_allclose(near[1:], [0.0, 0.75], atol=1e-6)
    np.testing.assert_allclose(far[1:], [1.0, 2.75], atol=1e-6)
    assert float(far[0]) < float(near[0])
    depths, hit = _sampler().sample(origins, direction, 100.0)
    assert hit.tolist() == [False, True, True]
    assert bool(torch.isfinite(depths).all())
    assert bool((depths[1] >= 0).all())


def test_a_grid_that_is_not_a_number_gives_no_hits():
    sampler = _sampler()
    sampler.grid.fill_(float("nan"))
    depths, hit = sampler.sample(*_rays(8), 100.0)
    assert not bool(hit.any())
    assert bool(torch.isfinite(depths).all())


def test_uniform_sampler_covers_the_cube():
    origins, direction = _rays(8)
    depths, hit = UniformSampler(replace(SETTINGS, samples=4)).sample(origins, direction, 1.0)
    assert bool(hit.all())
    expected = 0.75 + torch.tensor([0.25, 0.75, 1.25, 1.75])
    torch.testing.assert_close(depths, expected.expand(64, 4))


def test_sampling_before_the_first_refresh_is_refused():
    with pytest.raises(HumanRefError) as error:
        NarrowBandSampler(SETTINGS).sample(*_rays(2), 50.0)
    assert error.value.code == "sampler_not_refreshed"
