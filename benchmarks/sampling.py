"""How many points does the narrow band save, and what does it cost in the picture?

    python benchmarks/sampling.py [--resolution 96] [--samples 12] [--json FILE]

Renders the mean body with striped colours (25 stripes over its height) at several sharpnesses of the
density from the front and the side, through the same integrator, with 64 uniform samples a ray and in
the narrow band, at pixel centres without jitter; PSNR against 1024 uniform samples a ray. Exit code 1
when the narrow band asks for more than a tenth of the points, or is worse, at the sharpness that a fit
starts from or a higher one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch
from meshing import make_field
from rich.console import Console
from rich.table import Table
from torch import Tensor

from backend.field.networks import FieldSample, HumanField
from backend.geometry.cameras import OrthographicCamera, pixel_centers
from backend.rendering.renderer import RaySampler, render_rays
from backend.rendering.sampling import NarrowBandSampler, UniformSampler
from backend.settings import FieldSettings, RenderingSettings
from backend.threads import configure_threads

UNIFORM = 64
TRUTH = 1024
WANTED_SAVING = 10.0
STRIPES = 25.0
START = math.exp(10.0 * FieldSettings().alpha_init)
SHARPNESSES = (50.0, 100.0, START, 300.0, 500.0)
AZIMUTHS = (0.0, 60.0)


class StripedBody:
    """A field's SDF at a chosen sharpness, with colours that punish a misplaced sample."""

    def __init__(self, field: HumanField, alpha: float) -> None:
        self._field = field
        self.alpha = torch.tensor(alpha)
        self.device = field.device

    def sdf(self, points: Tensor) -> Tensor:
        """The field's own."""
        return self._field.sdf(points)

    def __call__(self, points: Tensor) -> FieldSample:
        """SDF, a constant gradient (not looked at), stripes over a gradient of colours."""
        stripe = 0.55 + 0.45 * torch.sign(torch.sin(points[:, 1:2] * math.pi * STRIPES))
        return FieldSample(self.sdf(points), torch.ones_like(points), (points * 0.5 + 0.5) * stripe)


def render(
    field: StripedBody, sampler: RaySampler, azimuth: float, resolution: int
) -> tuple[Tensor, int, float]:
    """Colours of all pixels on white, points asked for, seconds that the sampler took."""
    starts, forward = OrthographicCamera(azimuth).pixel_rays(pixel_centers(resolution))
    origins, direction = torch.from_numpy(starts), torch.from_numpy(forward)
    white = torch.ones(3)
    color = white.repeat(len(origins), 1)
    begin = time.perf_counter()
    depths, hit = sampler.sample(origins, direction, field.alpha)
    seconds = time.perf_counter() - begin
    chosen = torch.nonzero(hit)[:, 0]
    for part in torch.split(chosen, 256):
        color[part] = render_rays(field, origins[part], direction, depths[part], white).color
    return color, len(chosen) * depths.shape[1], seconds


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB."""
    return -10.0 * math.log10(max(float((picture - truth).square().mean()), 1e-20))


@torch.no_grad()
def benchmark(resolution: int, samples: int) -> list[dict[str, float]]:
    """One row a sharpness and view; see the module's docstring."""
    field, _ = make_field()
    rows = []
    for alpha in SHARPNESSES:
        body = StripedBody(field, alpha)
        band = NarrowBandSampler(RenderingSettings(samples=samples))
        band.refresh(body)
        for azimuth in AZIMUTHS:
            truth, _, _ = render(
                body, UniformSampler(RenderingSettings(samples=TRUTH)), azimuth, resolution
            )
            uniform, many, _ = render(
                body, UniformSampler(RenderingSettings(samples=UNIFORM)), azimuth, resolution
            )
            narrow, few, seconds = render(body, band, azimuth, resolution)
            rows.append(
                {
                    "alpha": alpha,
                    "azimuth": azimuth,
                    "uniform_points": many,
                    "narrow_points": few,
                    "saving": many / few,
                    "uniform_psnr": psnr(uniform, truth),
                    "narrow_psnr": psnr(narrow, truth),
                    "sampler_ms": 1e3 * seconds,
                }
            )
    return rows


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--samples", type=int, default=RenderingSettings().samples)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    configure_threads()
    rows = benchmark(options.resolution, options.samples)
    table = Table(title=f"{options.samples} samples in the band against {UNIFORM} uniform ones")
    for column in ("alpha", "azimuth", "points", "fewer", "PSNR", "uniform", "sampler ms"):
        table.add_column(column, justify="right")
    failed = False
    for row in rows:
        table.add_row(
            f"{row['alpha']:.0f}",
            f"{row['azimuth']:.0f}",
            f"{row['narrow_points']:.0f}",
            f"{row['saving']:.1f}x",
            f"{row['narrow_psnr']:.1f}",
            f"{row['uniform_psnr']:.1f}",
            f"{row['sampler_ms']:.1f}",
        )
        failed |= row["alpha"] >= START and (
            row["saving"] < WANTED_SAVING or row["narrow_psnr"] < row["uniform_psnr"]
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
