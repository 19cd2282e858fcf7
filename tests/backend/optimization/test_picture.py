"""Whole pictures in a batch of rays are the pictures that a camera sees."""

import torch
from test_loop import _field, _settings

from backend.geometry.cameras import OrthographicCamera
from backend.guidance.protocol import PictureView
from backend.optimization.picture import picture_of, picture_rays
from backend.optimization.rays import render_batch, view_rays
from backend.rendering.renderer import render_image
from backend.rendering.sampling import NarrowBandSampler
from backend.rendering.slots import SlotBudget

CPU = torch.device("cpu")
SIDE = 32


def test_a_picture_beside_other_rays_is_the_renderers_own() -> None:
    settings = _settings()
    field, sampler = _field(settings), NarrowBandSampler(settings.rendering)
    sampler.refresh(field)
    view = PictureView(130.0, 15.0, SIDE)
    generator = torch.Generator().manual_seed(0)
    rays = picture_rays(view, SIDE, generator, CPU)
    others = view_rays(0.0, torch.rand(10, 2) - 0.5)
    background = torch.tensor([0.1, 0.5, 0.9])
    batch = render_batch(field, sampler, SlotBudget(CPU), (others, rays), background, generator)
    picture = picture_of(batch, 10, view, SIDE)
    wanted = render_image(field, sampler, OrthographicCamera(130.0, 15.0), SIDE, (0.1, 0.5, 0.9))
    # Shifted by less than a pixel, and sampled at other depths.
    inside = wanted.opacity > 0.99
    assert float((picture.opacity - wanted.opacity).abs().mean()) < 0.02
    error = (picture.color[0].permute(1, 2, 0) - wanted.color)[inside].abs()
    assert float(error.mean()) < 0.02
    assert float((picture.normal - wanted.normal)[inside].abs().mean()) < 0.03
    radius = picture.points[inside].norm(dim=-1)
    assert float((radius - 0.5).abs().max()) < 0.03
    assert picture.color.requires_grad
    assert not picture.points.requires_grad


def test_pixels_lie_row_by_row_from_the_top_left() -> None:
    generator = torch.Generator().manual_seed(0)
    rays = picture_rays(PictureView(0.0, 0.0, 4), 4, generator, CPU).xy.view(4, 4, 2)
    steps = rays[:, 1:, 0] - rays[:, :-1, 0]
    torch.testing.assert_close(steps, torch.full_like(steps, 0.5))
    drops = rays[1:, :, 1] - rays[:-1, :, 1]
    torch.testing.assert_close(drops, torch.full_like(drops, -0.5))
    assert float((rays[0, 0] - torch.tensor([-0.75, 0.75])).abs().max()) <= 0.25
