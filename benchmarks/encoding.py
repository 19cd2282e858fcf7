"""How much faster is the compiled hash encoding than its readable twin, and does it agree?

    python benchmarks/encoding.py [--points 131072] [--repeat 7] [--json FILE]

Times every encoding of this machine's CPU forward, and forward plus backward, without and with the
Jacobian of the SDF's levels, at three sizes; medians of the repeats in milliseconds, all in this run.
Exit code 1 when numba is less than 10x faster than the reference forward plus backward at 12 levels
of 2^17 entries, or when their results differ by more than rounding.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.encodings.protocol import HashEncoding
from backend.settings import FieldSettings
from backend.threads import configure_threads

WANTED_RATIO = 10.0
WANTED_SIZE = (12, 17)
SIZES = ((8, 15), (12, 17), (16, 19))
LARGEST_ERROR = 1e-3


def ray_points(count: int) -> Tensor:
    """Points in the order a renderer asks for them: along neighbouring rays, 32 on each."""
    rays = max(1, count // 32)
    side = max(1, int(rays**0.5))
    generator = torch.Generator().manual_seed(0)
    cells = torch.arange(rays)
    xy = torch.stack([cells % side, cells // side], 1).float() / side
    z = (torch.arange(32) + 0.5) / 32
    points = torch.cat([xy[:, None].expand(-1, 32, -1), z.expand(rays, 32)[..., None]], 2)
    jitter = torch.rand(rays, 32, 3, generator=generator) / side
    return (points + jitter).clamp(0.0, 1.0).view(-1, 3)[:count].contiguous()


def median_ms(function: Callable[[], object], repeat: int) -> float:
    """Median wall time of ``function``, after one call that is not counted."""
    function()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def measure(name: str, settings: FieldSettings, points: Tensor, repeat: int) -> dict[str, float]:
    """Milliseconds of one encoding: ``forward``, ``both`` and the same with Jacobian."""
    layout = HashGridLayout.from_settings(settings)
    encoding, _ = make_encoding("numba" if name == "numba" else "reference", layout, "cpu")
    table = (torch.rand(layout.total, 2) - 0.5).requires_grad_()
    into = torch.randn(len(points), layout.width)
    into_slope = torch.randn(len(points), 3, 2 * settings.sdf_levels)

    def plain(*, backward: bool) -> None:
        table.grad = None
        features = encoding(points, table)
        if backward:
            features.backward(into)

    def slopes(*, backward: bool) -> None:
        table.grad = None
        outputs = encoding.with_jacobian(points, table, settings.sdf_levels)
        if backward:
            torch.autograd.backward(outputs, (into, into_slope))

    return {
        "forward": median_ms(lambda: plain(backward=False), repeat),
        "both": median_ms(lambda: plain(backward=True), repeat),
        "jacobian_forward": median_ms(lambda: slopes(backward=False), repeat),
        "jacobian_both": median_ms(lambda: slopes(backward=True), repeat),
    }


def disagreement(settings: FieldSettings, points: Tensor) -> float:
    """Largest relative difference (L2) of features, Jacobian and table gradient of the two."""
    layout = HashGridLayout.from_settings(settings)
    start = torch.rand(layout.total, 2) - 0.5
    into = torch.randn(len(points), layout.width)
    into_slope = torch.randn(len(points), 3, 2 * settings.sdf_levels) / 100

    def outputs(encoding: HashEncoding) -> list[Tensor]:
        table = start.clone().requires_grad_()
        pair = encoding.with_jacobian(points, table, settings.sdf_levels)
        torch.autograd.backward(pair, (into, into_slope))
        assert table.grad is not None
        return [pair[0].detach(), pair[1].detach(), table.grad]

    twin = outputs(make_encoding("reference", layout, "cpu")[0])
    fast = outputs(make_encoding("numba", layout, "cpu")[0])
    return max(float((a - b).norm() / a.norm()) for a, b in zip(twin, fast, strict=True))


def benchmark(points: int, repeat: int) -> dict[str, object]:
    """All sizes; see the module's docstring."""
    places = ray_points(points)
    rows = []
    for levels, log2_table in SIZES:
        settings = FieldSettings(levels=levels, log2_table=log2_table)
        rows.append(
            {
                "levels": levels,
                "log2_table": log2_table,
                "reference": measure("reference", settings, places, max(3, repeat // 2)),
                "numba": measure("numba", settings, places, repeat),
                "difference": disagreement(settings, places[:20_000]),
            }
        )
    return {"points": points, "threads": torch.get_num_threads(), "sizes": rows}


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=131_072)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    configure_threads()
    result = benchmark(options.points, options.repeat)
    table = Table(title=f"Hash encoding, {options.points} points, ms (median)")
    for column in ("size", "encoding", "forward", "+ backward", "with Jacobian", "+ backward", "x"):
        table.add_column(column, justify="right")
    failed = False
    for row in result["sizes"]:  # type: ignore[attr-defined]
        size = (row["levels"], row["log2_table"])
        ratio = row["reference"]["both"] / row["numba"]["both"]
        for name in ("reference", "numba"):
            times = [f"{value:.1f}" for value in row[name].values()]
            faster = f"{ratio:.1f}" if name == "numba" else ""
            table.add_row(f"L{size[0]} T{size[1]}", name, *times, faster)
        failed |= row["difference"] > LARGEST_ERROR or (
            size == WANTED_SIZE and ratio < WANTED_RATIO
        )
    Console().print(table)
    worst = max(row["difference"] for row in result["sizes"])  # type: ignore[attr-defined]
    print(f"largest relative difference {worst:.1e}; threads {result['threads']}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
