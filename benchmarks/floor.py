"""How fast could one step of the fit be on this computer?

    python benchmarks/floor.py [--preset standard] [--points 40000] [--json FILE]

The floor of a step is the time that its memory traffic and its products must take at the speeds this
computer reaches on nothing else: every corner of every level read once forward, read and written
backward, at the bandwidth of a copy; the products of the two networks, their slope and the backward of
both, at the rate of a 64-wide product; Adam's pass over its state. Everything else (sampling, volume
rendering, losses, Python) counts as avoidable.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from rich.console import Console
from rich.table import Table

from backend.field.encodings.grid import FEATURES, HashGridLayout
from backend.settings import FieldSettings, Preset, preset_settings
from backend.threads import configure_threads

_WIDTH = 64
_ROWS = 2**17
_CORNERS, _FLOAT = 8, 4


@dataclass(frozen=True)
class MachineSpeed:
    """What this computer does at its best."""

    threads: int
    copy_gb_s: float
    """10^9 bytes a second read plus written by a copy between arrays too large for the caches."""
    mlp_gflops: float
    """10^9 operations a second of (n, 64) x (64, 64) products, two operations a multiply-add."""


@dataclass(frozen=True)
class StepFloor:
    """Seconds that one step cannot do without."""

    encoder_s: float
    networks_s: float
    adam_s: float

    @property
    def total_s(self) -> float:
        """All of it, one after the other."""
        return self.encoder_s + self.networks_s + self.adam_s


def measure_machine(repeat: int = 10) -> MachineSpeed:
    """The best of ``repeat`` tries: a floor is what the computer can do, not what it usually does."""
    threads = configure_threads()
    source = torch.ones(2**25)
    target = torch.empty_like(source)
    copy_s = _best_seconds(lambda: target.copy_(source), repeat)
    rows, weights = torch.rand(_ROWS, _WIDTH), torch.rand(_WIDTH, _WIDTH)
    out = torch.empty_like(rows)

    def products(chunk: int) -> None:
        for start in range(0, _ROWS, chunk):
            torch.mm(rows[start : start + chunk], weights, out=out[start : start + chunk])

    product_s = min(_best_seconds(partial(products, n), repeat) for n in (2048, 16384, _ROWS))
    return MachineSpeed(
        threads=threads,
        copy_gb_s=2 * source.numel() * _FLOAT / copy_s / 1e9,
        mlp_gflops=2 * _ROWS * _WIDTH**2 / product_s / 1e9,
    )


def encoder_bytes(settings: FieldSettings, points: float) -> float:
    """Bytes of table that ``points`` read forward, and read and write backward."""
    corners = points * settings.levels * _CORNERS
    return 3 * corners * FEATURES * _FLOAT


def network_operations(settings: FieldSettings, points: float) -> float:
    """Operations of both networks and the slope at ``points``, forward and backward.

    Every product of the forward has two of its size in the backward: one for what went in, one for the
    weights. The slope ds/dx goes once more through the SDF network's two wide layers.
    """
    h = settings.hidden
    into_sdf = FEATURES * min(settings.sdf_levels, settings.levels) + 3
    into_color = FEATURES * settings.levels
    value = into_sdf * h + h * h + h
    slope = h * h + h * into_sdf
    color = into_color * h + h * h + h * 3
    return 3 * 2 * points * (value + slope + color)


def adam_bytes(settings: FieldSettings) -> float:
    """Bytes of one Adam step on the table: value and two moments read and written, gradient read."""
    return 7 * HashGridLayout.from_settings(settings).total * FEATURES * _FLOAT


def step_floor(settings: FieldSettings, points: float, machine: MachineSpeed) -> StepFloor:
    """The floor of a step that evaluates the field at ``points`` points, on ``machine``."""
    return StepFloor(
        encoder_s=encoder_bytes(settings, points) / (machine.copy_gb_s * 1e9),
        networks_s=network_operations(settings, points) / (machine.mlp_gflops * 1e9),
        adam_s=adam_bytes(settings) / (machine.copy_gb_s * 1e9),
    )


def _best_seconds(work: Callable[[], object], repeat: int) -> float:
    work()
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> int:
    """Measure, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", choices=get_args(Preset), default="standard")
    parser.add_argument("--points", type=int, default=40_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    machine = measure_machine()
    floor = step_floor(preset_settings(args.preset).field, args.points, machine)
    result = {"preset": args.preset, "points": args.points, **dataclasses.asdict(machine)}
    result |= {**dataclasses.asdict(floor), "total_s": floor.total_s}
    table = Table("what", "value", title="Floor of one step of the fit")
    for key, value in result.items():
        table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
