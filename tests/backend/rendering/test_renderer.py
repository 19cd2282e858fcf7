"""Rendered rays against a finely sampled truth, gradients, and whole pictures of a sphere."""

from dataclasses import replace

import pytest
import torch

from backend.field.density import density
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.networks import FieldSample, HumanField
from backend.geometry.cameras import OrthographicCamera, pixel_centers
from backend.rendering.renderer import render_image, render_rays, render_rays_in_chunks
from backend.rendering.sampling import NarrowBandSampler, UniformSampler
from backend.settings import FieldSettings, RenderingSettings

RADIUS = 0.5
FIELD = FieldSettings(levels=4, log2_table=10, max_resolution=32, sdf_levels=3, alpha_init=0.5)


class Sphere:
    """A sphere with a smooth colour, exact distance and gradient."""

    device = torch.device("cpu")

    def __init__(self, alpha):
        self.alpha = torch.tensor(alpha)

    def sdf(self, points):
        return points.norm(dim=1) - RADIUS

    def __call__(self, points):
        unit = torch.nn.functional.normalize(points, dim=1)
        return FieldSample(self.sdf(points), unit, 0.5 + 0.5 * torch.sin(25 * points))


def _field():
    torch.manual_seed(0)
    axis = torch.linspace(-1, 1, 65)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    encoding, _ = make_encoding("numba", HashGridLayout.from_settings(FIELD), "cpu")
    return HumanField(FIELD, (x * x + y * y + z * z).sqrt() - RADIUS, encoding)


def _rays(resolution, azimuth=0.0):
    origins, direction = OrthographicCamera(azimuth).pixel_rays(pixel_centers(resolution))
    return torch.from_numpy(origins), torch.from_numpy(direction)


def test_a_bundle_is_the_volume_rendering_integral():
    sphere = Sphere(40.0)
    origins, direction = _rays(12)
    background = torch.tensor([0.2, 0.4, 0.9])
    depths, _ = UniformSampler(RenderingSettings(samples=800)).sample(origins, direction, 40.0)
    rays = render_rays(sphere, origins, direction, depths, background)
    samples = sphere(rays.points)
    # The rectangle rule in float64, finely sampled.
    delta = float(depths[0, 1] - depths[0, 0])
    sigma = density(samples.sdf.double(), torch.tensor(40.0, dtype=torch.float64)).view(-1, 800)
    through = torch.exp(-torch.cumsum(sigma * delta, 1))
    weight = (torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], 1) - through).unsqueeze(
        -1
    )
    color = (weight * samples.color.view(-1, 800, 3)).sum(1) + through[:, -1:] * background
    torch.testing.assert_close(rays.color.double(), color, rtol=0, atol=5e-3)
    torch.testing.assert_close(rays.opacity.double(), 1 - through[:, -1], rtol=0, atol=5e-3)
    torch.testing.assert_close(rays.weights.sum(1), rays.opacity, rtol=0, atol=1e-5)
    normal = (weight * samples.gradient.view(-1, 800, 3)).sum(1)
    torch.testing.assert_close(rays.normal.double(), normal, rtol=0, atol=5e-3)


@pytest.mark.parametrize("alpha", [150.0, 400.0])
def test_few_samples_in_the_band_beat_many_uniform_ones(alpha):
    sphere = Sphere(alpha)
    origins, direction = _rays(40, 30.0)
    background = torch.ones(3)

    def picture(sampler):
        depths, hit = sampler.sample(origins, direction, alpha)
        color = background.repeat(len(origins), 1)
        color[hit] = render_rays(sphere, origins[hit], direction, depths[hit], background).color
        return color, int(hit.sum()) * depths.shape[1]

    truth, _ = picture(UniformSampler(RenderingSettings(samples=1024)))
    band = NarrowBandSampler(RenderingSettings(samples=12))
    band.refresh(sphere)
    narrow, narrow_points = picture(band)
    uniform, uniform_points = picture(UniformSampler(RenderingSettings(samples=64)))
    error = [float((p - truth).square().mean()) for p in (narrow, uniform)]
    assert narrow_points < uniform_points / 8
    assert error[0] < error[1]
    assert error[0] < 10**-4.5


def test_pictures_show_the_sphere():
    field, camera = _field(), OrthographicCamera(75.0, 10.0)
    with torch.no_grad():
        field.sharpness.fill_(0.6)
    sampler = NarrowBandSampler(RenderingSettings())
    sampler.refresh(field)
    picture = render_image(field, sampler, camera, 96, (0.0, 1.0, 0.0), chunk=1000)
    xy = torch.from_numpy(pixel_centers(96)).float().view(96, 96, 2)
    away = xy.norm(dim=2)
    assert float(picture.opacity[away < RADIUS - 0.03].min()) > 0.97
    assert float(picture.opacity[away > RADIUS + 0.03].max()) < 0.05
    assert torch.equal(picture.color[0, 0], torch.tensor([0.0, 1.0, 0.0]))
    core = away < 0.4
    expected_depth = 1.75 - (RADIUS**2 - away[core].square()).sqrt()
    torch.testing.assert_close(picture.depth[core], expected_depth, rtol=0, atol=0.01)
    axes = torch.from_numpy(camera.axes()).float()
    height = (RADIUS**2 - away[core].square()).sqrt()
    normal = (torch.cat([xy[core], height[:, None]], 1) @ axes) / RADIUS
    cosine = torch.nn.functional.cosine_similarity(picture.normal[core], normal, dim=1)
    assert float(cosine.mean()) > 0.999


def test_gradients_reach_every_parameter_and_pull_the_right_way():
    field = _field()
    with torch.no_grad():
        field.table.normal_(std=0.02)
        field.sdf_w3.normal_(std=0.01)
    sampler = NarrowBandSampler(RenderingSettings(grid_resolution=24))
    sampler.refresh(field)
    optimizer = torch.optim.Adam(field.parameters(), lr=4e-4)
    origins, direction = _rays(24)
    target = origins[:, :2].norm(dim=1) < 0.56
    losses = []
    for step in range(30):
        if step % 5 == 0:
            sampler.refresh(field)
        depths, hit = sampler.sample(
            origins, direction, field.alpha, torch.Generator().manual_seed(step)
        )
        rays = render_rays(field, origins[hit], direction, depths[hit], torch.ones(3))
        opacity = torch.zeros(len(origins)).masked_scatter(hit, rays.opacity)
        loss = (opacity - target.float()).square().mean()
        loss = loss + ((rays.color - 0.7).square().mean(1) * rays.opacity.detach()).mean()
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for name, parameter in field.named_parameters():
                assert parameter.grad is not None, name
                assert float(parameter.grad.abs().max()) > 0, name
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_an_empty_view_is_the_background():
    field = _field()
    sampler = NarrowBandSampler(RenderingSettings())
    sampler.refresh(field)
    camera = replace(OrthographicCamera(0.0), target=(5.0, 0.0, 0.0))
    picture = render_image(field, sampler, camera, 8, (0.1, 0.2, 0.3))
    assert float(picture.opacity.max()) == 0.0
    torch.testing.assert_close(picture.color[3, 3], torch.tensor([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("encoding", ["numba", "reference"])
def test_chunks_change_neither_picture_nor_gradient_and_keep_less(encoding: str) -> None:
    settings = FieldSettings(levels=4, log2_table=10, max_resolution=32, sdf_levels=3)
    axis = torch.linspace(-1, 1, 17)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    base = torch.stack([x, y, z], -1).norm(dim=-1) - 0.5
    dtype = torch.float32 if encoding == "numba" else torch.float64
    layout = HashGridLayout.from_settings(settings)
    torch.manual_seed(0)
    field = HumanField(settings, base, make_encoding(encoding, layout, "cpu")[0]).to(dtype)
    xy = torch.rand(70, 2, generator=torch.Generator().manual_seed(0), dtype=dtype) - 0.5
    origins = torch.cat([xy, torch.full_like(xy[:, :1], 1.75)], 1)
    directions = torch.tensor([0.0, 0.0, -1.0], dtype=dtype).expand(70, 3)
    depths = torch.linspace(1.0, 2.0, 6, dtype=dtype).expand(70, 6)
    found = []
    for chunk in (None, 16):
        kept: dict[int, torch.UntypedStorage] = {}

        def pack(tensor, kept=kept):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage
            return tensor

        field.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            white = torch.ones(3, dtype=dtype)
            bundle = render_rays_in_chunks(field, origins, directions, depths, white, chunk)
        held = sum(storage.nbytes() for storage in kept.values())
        shown = (bundle.color.sum() + bundle.normal.square().sum()) * bundle.opacity.mean()
        (shown + bundle.samples.gradient.square().mean() + bundle.depth.sum()).backward()
        gradients = {name: p.grad for name, p in field.named_parameters()}
        found.append((bundle, gradients, held))
    (whole, one, held), (parts, other, spared) = found
    for name in ("color", "opacity", "normal", "depth", "weights", "points", "depths"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    torch.testing.assert_close(parts.samples.sdf, whole.samples.sdf)
    torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)
    assert spared < 0.5 * held
