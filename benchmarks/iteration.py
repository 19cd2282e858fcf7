"""What does one training step of the field cost, part by part?

    python benchmarks/iteration.py [--resolution 64] [--steps 60] [--json FILE]

The standard field around the mean body, front view, all pixels of the square picture: refresh of the
sampler's grid (one step in ``grid_refresh``; its share is listed), sampling, rendering, the losses
(colour, opacity, normals, eikonal), backward, Adam. The step size is zero, so that every step meets
the same shape; medians in milliseconds, wall clock and processor time of all threads.
Floor: what the hash table's reads and writes and the networks' products need at the measured peak of
24 GB/s and 100 GFLOP/s a core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from meshing import make_field
from rich.console import Console
from rich.table import Table

from backend.field.networks import HumanField
from backend.geometry.cameras import OrthographicCamera, pixel_centers
from backend.rendering.renderer import render_rays
from backend.rendering.sampling import NarrowBandSampler
from backend.settings import preset_settings
from backend.threads import configure_threads

PARTS = ("refresh", "sample", "render", "losses", "backward", "adam")


class Stopwatch:
    """Wall and processor milliseconds of named parts."""

    def __init__(self) -> None:
        self.laps: dict[str, list[tuple[float, float]]] = {part: [] for part in PARTS}
        self._last = (0.0, 0.0)

    def start(self) -> None:
        """Begin a step."""
        self._last = (time.perf_counter(), time.process_time())

    def lap(self, part: str) -> None:
        """Everything since the last lap was ``part``."""
        now = (time.perf_counter(), time.process_time())
        self.laps[part].append((1e3 * (now[0] - self._last[0]), 1e3 * (now[1] - self._last[1])))
        self._last = now


def floor_ms(field: HumanField, points: int, threads: int) -> float:
    """Milliseconds a step of so many points that no implementation can go below."""
    corners = 8 * 8 * field.encoding.layout.levels * points
    # Forward once; the backward reads and writes each corner.
    memory = 3.0 * corners / 24e9
    products = sum(p.numel() for name, p in field.named_parameters() if "_w" in name)
    chain = field.sdf_w1.numel() + field.sdf_w2.numel()
    # Forward, and two products of the same size backward; the chain of the slope likewise.
    flops = 2.0 * 3.0 * points * (products + chain)
    return 1e3 * (memory + flops / (100e9 * threads))


def benchmark(resolution: int, steps: int) -> dict[str, object]:
    """See the module's docstring."""
    threads = configure_threads()
    settings = preset_settings("standard")
    field, _ = make_field()
    sampler = NarrowBandSampler(settings.rendering)
    sampler.refresh(field)
    groups = [{**group, "lr": 0.0} for group in field.parameter_groups(settings.optimization)]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)
    starts, forward = OrthographicCamera(0.0).pixel_rays(pixel_centers(resolution))
    origins, direction = torch.from_numpy(starts), torch.from_numpy(forward)
    generator = torch.Generator().manual_seed(0)
    watch, points = Stopwatch(), 0
    for _ in range(steps + 2):
        watch.start()
        sampler.refresh(field)
        watch.lap("refresh")
        depths, hit = sampler.sample(origins, direction, field.alpha, generator)
        chosen = torch.nonzero(hit)[:, 0]
        watch.lap("sample")
        rays = render_rays(field, origins[chosen], direction, depths[chosen], torch.ones(3))
        watch.lap("render")
        eikonal = (torch.linalg.vector_norm(rays.samples.gradient, dim=1) - 1.0).square().mean()
        loss = (rays.color - 0.3).square().mean() + rays.opacity.mean() + eikonal
        loss = loss + (rays.normal - 0.5).square().mean()
        watch.lap("losses")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        watch.lap("backward")
        optimizer.step()
        watch.lap("adam")
        points = rays.points.shape[0]
    medians = {
        part: tuple(statistics.median(values) for values in zip(*laps[2:], strict=True))
        for part, laps in watch.laps.items()
    }
    every = settings.rendering.grid_refresh
    medians["refresh"] = tuple(value / every for value in medians["refresh"])
    wall = sum(value[0] for value in medians.values())
    return {
        "resolution": resolution,
        "threads": threads,
        "points": points,
        "parts": medians,
        "wall_ms": wall,
        "processor_ms": sum(value[1] for value in medians.values()),
        "points_per_second": 1e3 * points / wall,
        "floor_ms": floor_ms(field, points, threads),
    }


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = benchmark(options.resolution, options.steps)
    title = f"One step at {options.resolution}^2: {result['points']} points, {result['threads']} threads"
    table = Table("part", "wall ms", "processor ms", title=title)
    for part, (wall, processor) in result["parts"].items():  # type: ignore[attr-defined]
        table.add_row(part, f"{wall:.1f}", f"{processor:.1f}")
    table.add_row("all", f"{result['wall_ms']:.1f}", f"{result['processor_ms']:.1f}")
    Console().print(table)
    print(f"floor {result['floor_ms']:.1f} ms; {result['points_per_second']:.0f} points/s")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
