"""What gpu.py says: whole runs from medians of steps, targets, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cpu import Target
from gpu_step import STAGES
from rich.console import Console
from rich.table import Table

from backend.optimization.schedule import Schedule
from backend.settings import GenerateSettings, preset_settings

# Pictures of the view bank, and the steps after which all of them are made anew (method.md); the shares
# of a run before distillation and before refinement.
DISTIL_FROM, REFINE_FROM, BANK_VIEWS, BANK_REFRESH = 0.05, 0.8, 24, 200
LIMITS = {"standard": 150.0, "paper": 360.0}


def run_seconds(
    settings: GenerateSettings,
    distilled_ms: Mapping[int, float],
    plain_ms: Mapping[int, float],
    refine_ms: float,
    *,
    bank: bool,
    start_s: float,
) -> float:
    """A whole fit from its steps.

    Args:
        settings: steps and the schedule of resolutions.
        distilled_ms: a step with distillation, by resolution of its picture.
        plain_ms: one without (the first twentieth of the run).
        refine_ms: one refined picture.
        bank: refine each picture of the view bank once in :data:`BANK_REFRESH` steps; else every step.
        start_s: what happens once (the reference cache).
    """
    plan, steps = Schedule(settings.optimization), settings.optimization.steps
    first, refining = round(DISTIL_FROM * steps), round(REFINE_FROM * steps)
    known = sorted(distilled_ms)

    def side(step: int) -> int:
        return min((r for r in known if r >= plan.resolution(step)), default=known[-1])

    total = sum((plain_ms if s < first else distilled_ms)[side(s)] for s in range(steps))
    late = steps - refining
    pictures = min(late, -(-late // BANK_REFRESH) * BANK_VIEWS) if bank else late
    return start_s + (total + pictures * refine_ms) / 1e3


def whole_runs(
    rows: Sequence[Mapping[str, Any]], refine_ms: float, cache_s: float
) -> dict[str, dict[str, float]]:
    """Estimated fits of both presets, ours and the naive way, from the medians of this run."""

    def by_side(key: str) -> dict[int, float]:
        return {row["resolution"]: row[key] for row in rows}

    runs = {}
    for preset in ("standard", "paper"):
        settings = preset_settings(preset)  # type: ignore[arg-type]
        ours = run_seconds(
            settings, by_side("step_ms"), by_side("plain_ms"), refine_ms, bank=True, start_s=cache_s
        )
        naive = run_seconds(
            settings,
            by_side("naive_step_ms"),
            by_side("naive_step_ms"),
            rows[-1]["naive_refine_ms"],
            bank=False,
            start_s=0.0,
        )
        runs[preset] = {"ours_s": ours, "naive_s": naive, "ratio": naive / ours}
    return runs


def targets(result: Mapping[str, Any]) -> list[Target]:
    """What was asked for on one H100, with what was measured; nothing at toy size."""
    if result["toy"]:
        return []
    last = result["steps"][-1]
    lines = [
        Target(f"{preset}: whole fit", result["runs"][preset]["ours_s"], limit, "s")
        for preset, limit in LIMITS.items()
    ]
    ratio = min(run["ratio"] for run in result["runs"].values())
    shown = last["stages_ms"]["render"] + last["stages_ms"]["losses"]
    return [
        *lines,
        Target("naive way over ours", ratio, 8.0, "x", at_most=False),
        Target("U-Net over matmul ceiling", 100.0 * last["unet_share"], 35.0, "%", at_most=False),
        Target(f"render + losses at {last['resolution']}", shown, 60.0, "ms"),
        Target("waits of the host a step", result["host_waits_per_step"], 0.0, ""),
    ]


def counts(result: Mapping[str, Any]) -> bool:
    """Whether the targets decide: they are for one H100 and the real size."""
    return not result["toy"] and any(name in result["device"] for name in ("H100", "H200"))


def show(console: Console, result: Mapping[str, Any]) -> None:
    """The tables."""
    steps = result["steps"]
    title = f"One step, ms (median), {result['device']}, {result['dtype']}"
    table = Table("stage", *(f"{row['resolution']}^2" for row in steps), title=title)
    for stage in STAGES:
        table.add_row(stage, *(f"{row['stages_ms'][stage]:.1f}" for row in steps))
    table.add_section()
    for name, key in (
        ("whole step, not timed inside", "step_ms"),
        ("whole step, reference exact", "exact_step_ms"),
        ("U-Net, reference exact", "exact_unet_ms"),
        ("naive step", "naive_step_ms"),
        ("naive refinement", "naive_refine_ms"),
    ):
        table.add_row(name, *(f"{row[key]:.1f}" for row in steps))
    table.add_row("U-Net TFLOP/s", *(f"{row['unet_tflops']:.3g}" for row in steps))
    if steps[0]["peak_bytes"]:
        table.add_row("peak GB", *(f"{row['peak_bytes'] / 2**30:.1f}" for row in steps))
    console.print(table)
    encodings = Table("encoding", "size", "forward", "Jacobian, both ways", title="Encodings, ms")
    for row in result["encodings"]:
        size = f"L{row['levels']} T{row['log2_table']}"
        times = (f"{row[key]:.2f}" for key in ("forward_ms", "jacobian_both_ms"))
        encodings.add_row(row["encoding"], size, *times)
    console.print(encodings)
    for preset, run in result["runs"].items():
        console.print(
            f"{preset}, as many steps of this size: fit {run['ours_s']:,.0f} s, naive "
            f"{run['naive_s']:,.0f} s: {run['ratio']:.1f}x"
        )
    console.print(
        f"matrix product {result['matmul_tflops']:.3g} TFLOP/s; cache {result['cache_bytes'] / 1e9:.2f} GB "
        f"in {result['cache_s']:.1f} s; refined picture {result['refine_ms']:.0f} ms; memory estimated "
        f"{result['estimated_bytes'] / 2**30:.1f} GB"
    )
