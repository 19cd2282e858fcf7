"""Whole pictures inside a batch of rays, for guidance that must see more than single rays."""

from __future__ import annotations

import torch
from torch import Generator

from backend.guidance.protocol import GuidedPicture, PictureView
from backend.optimization.rays import Rays, RenderedRays, random_numbers, view_rays


def picture_rays(
    view: PictureView, resolution: int, generator: Generator, device: torch.device
) -> Rays:
    """One ray a pixel of a square picture, row by row from the top.

    All are shifted by the same random part of a pixel: a field seen from pixel centres alone looks
    right from there alone.
    """
    steps = (torch.arange(resolution, device=device) + 0.5) * (2.0 / resolution) - 1.0
    shift = (random_numbers(2, generator=generator, device=device) - 0.5) * (2.0 / resolution)
    y, x = torch.meshgrid(shift[1] - steps, shift[0] + steps, indexing="ij")
    return view_rays(view.azimuth, torch.stack([x, y], -1).view(-1, 2), view.elevation)


def picture_of(rendered: RenderedRays, first: int, view: PictureView, side: int) -> GuidedPicture:
    """The picture whose rays begin at row ``first`` of a batch."""
    rows = slice(first, first + side * side)
    depth = rendered.depth[rows, None].detach()
    points = rendered.origins[rows] + depth * rendered.directions[rows]
    return GuidedPicture(
        view=view,
        color=rendered.color[rows].T.reshape(1, 3, side, side),
        opacity=rendered.opacity[rows].view(side, side),
        normal=rendered.normal[rows].view(side, side, 3),
        points=points.view(side, side, 3),
        background=rendered.background,
    )
