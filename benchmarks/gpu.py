"""How fast is a Ref-SDS step on this GPU, stage by stage, and what does a whole run take?

    python benchmarks/gpu.py [--toy] [--device auto] [--repeat 20] [--compile] [--json FILE]

Builds Stable Diffusion 1.5's architecture with random weights (nothing is downloaded; speed does not
depend on them) and a figure to fit, and reports in one run: medians of the stages of a step at 64 to
512, the reference exact and cached, the U-Net's rate over the ceiling of a matrix product measured here,
peak memory beside the estimate, the hash encodings, waits of the host, the whole fits of standard and
paper, and the naive way (a fresh pass of the reference, a float mask, body distances asked of the host,
a refinement in each step) for the ratio. ``--toy`` makes all of it small enough for a CPU in seconds.

Times are of the fit: perception, meshing, the perceptual network's own pass and the drawing of the
body's labels (5 ms of the host, beside the GPU's work) are not in them. The targets are those for one
H100: exit code 1 when a Hopper GPU misses one; elsewhere they decide nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from cpu import print_targets
from encoding import ray_points
from gpu_models import SD15, TOY, Architecture, build_prior, prior_sizes
from gpu_report import counts, show, targets, whole_runs
from gpu_step import GUIDANCE_SCALE, STAGES, Bench, Clock, NoClock, timed
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from backend.devices import choose_device
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.encodings.tinycudann_cuda import installed
from backend.guidance.prior import CachedReference, Condition, Reference
from backend.guidance.reference_cache import CachePlan
from backend.guidance.stable_diffusion import default_dtype
from backend.optimization.memory_tiers import TIERS, PriorUse, estimate_memory
from backend.process_memory import peak_memory_mb
from backend.settings import FieldSettings, GenerateSettings, RenderingSettings, preset_settings
from backend.threads import configure_threads, few_torch_threads

RESOLUTIONS = (64, 128, 256, 512)
# On a GPU the ray slots learn from the first sixteen steps.
WARM_UP = {"cuda": 20, "cpu": 1}


def matmul_ceiling(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """TFLOP/s of the best square product here: what the U-Net's rate is compared with."""
    best = 0.0
    for n in (side, 2 * side):
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        best = max(best, 2.0 * n**3 / (timed(lambda a=a, b=b: a @ b, device, 5) * 1e9))
    return best


def unet_flops(
    prior: Any, condition: Condition, beside: Reference | CachedReference | None, rows: int = 1
) -> int:
    """Operations of one guided noise estimate of ``rows`` pictures, two a multiply-add.

    Without regions: their extra columns are our own cost, no useful work.
    """
    place = prior.alphas_cumprod.device
    latents = torch.zeros(rows, *prior.latent_shape, device=place)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        t = torch.full((1,), 300, device=place)
        prior.predict_noise(latents, t, condition, guidance_scale=GUIDANCE_SCALE, reference=beside)
    return int(counter.get_total_flops())


def host_waits(bench: Bench, resolution: int, steps: int = 10) -> float | None:
    """Waits of the host for the device in one of our steps; None where there is no CUDA device."""
    if bench.device.type != "cuda":
        return None
    clock = NoClock(bench.device)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(steps):
                bench.step(resolution, clock)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in seen) / steps


def measure_step(bench: Bench, resolution: int, repeat: int) -> dict[str, Any]:
    """Everything about one resolution."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    cached, exact, naive = (Clock(bench.device) for _ in range(3))
    warm_up = WARM_UP[bench.device.type]
    for _ in range(warm_up + repeat):
        bench.step(resolution, cached)
    peak = torch.cuda.max_memory_allocated() if bench.device.type == "cuda" else None
    few = max(2, repeat // 3)
    for _ in range(1 + few):
        bench.step(resolution, exact, cached=False)
    bench.use_mask(True)
    for _ in range(1 + few):
        bench.naive_step(resolution, naive, refined=True)
    bench.use_mask(False)
    stages = cached.medians(warm_up)
    away = NoClock(bench.device)
    whole = timed(lambda: bench.step(resolution, away), bench.device, repeat)
    slow = naive.medians(1)
    plain = sum(stages[stage] for stage in ("render", "losses", "adam"))
    return {
        "resolution": resolution,
        "stages_ms": {stage: stages[stage] for stage in STAGES},
        "step_ms": whole,
        "plain_ms": plain + _field_backward(bench, resolution, few),
        "exact_unet_ms": exact.medians(1)["unet"],
        "cached_unet_ms": stages["unet"],
        "exact_step_ms": sum(exact.medians(1).values()),
        "naive_stages_ms": slow,
        "naive_step_ms": sum(ms for stage, ms in slow.items() if stage != "refine"),
        "naive_refine_ms": slow["refine"],
        "peak_bytes": peak,
    }


def _field_backward(bench: Bench, resolution: int, repeat: int) -> float:
    """Milliseconds of the backward without a prior."""
    clock = Clock(bench.device)
    for _ in range(1 + repeat):
        total = bench.losses(*bench.render(resolution))
        bench.optimizer.zero_grad()
        clock.start()
        total.backward()
        clock.lap("backward")
    return clock.medians(1)["backward"]


def measure_encodings(
    device: torch.device, points: int, repeat: int, sizes: Sequence[FieldSettings]
) -> list[dict[str, Any]]:
    """The encodings of this device, forward and with the backward, with the Jacobian that normals need."""
    names = ["reference", "numba"] if device.type == "cpu" else ["reference", "triton"]
    if device.type == "cuda" and installed():
        names.append("tinycudann")
    places = ray_points(points).to(device)
    rows = []
    for settings in sizes:
        layout = HashGridLayout.from_settings(settings)
        for name in names:
            encoding, _ = make_encoding(name, layout, str(device))  # type: ignore[arg-type]
            table = (torch.rand(layout.total, 2, device=device) - 0.5).requires_grad_()

            def both(
                encoding: Any = encoding, table: Any = table, k: int = settings.sdf_levels
            ) -> None:
                table.grad = None
                features, jacobian = encoding.with_jacobian(places, table, k)
                (features.sum() + jacobian.sum()).backward()

            def plain(encoding: Any = encoding, table: Any = table) -> None:
                with torch.no_grad():
                    encoding(places, table)

            rows.append(
                {
                    "encoding": name,
                    "levels": settings.levels,
                    "log2_table": settings.log2_table,
                    "forward_ms": timed(plain, device, repeat),
                    "jacobian_both_ms": timed(both, device, repeat),
                }
            )
    return rows


def benchmark(
    device: torch.device, shape: Architecture, repeat: int, *, compiled: bool = False
) -> dict[str, Any]:
    """See the module's docstring; what the JSON says."""
    toy = shape is not SD15
    dtype = default_dtype(device)
    prior = build_prior(shape, device, dtype)
    if compiled:
        prior.unet = dataclasses.replace(prior.unet, forward=torch.compile(prior.parts.unet))
    settings = toy_settings() if toy else preset_settings("standard")
    plan = CachePlan(200, 240, 20) if toy else CachePlan()
    fields = [settings.field] if toy else [preset_settings(p).field for p in ("standard", "paper")]
    bench = Bench(settings, shape, prior, device, plan)
    cache_s = bench.build_cache()
    flops = {
        kind: unet_flops(prior, bench.condition, bench.beside(cached=kind == "cached"))
        for kind in ("exact", "cached")
    }
    ceiling = matmul_ceiling(device, dtype, 256 if toy else 4096)
    sides = (16, 32) if toy else RESOLUTIONS
    rows = [measure_step(bench, side, repeat) for side in sides]
    latents = bench.reference.latents
    refine_ms = timed(lambda: bench.refine(latents, naive=False), device, max(2, repeat // 5))
    use = PriorUse(prior_sizes(shape, prior), dtype, prior.parts.vae.dtype, plan.t_min, plan.t_max)
    estimate = estimate_memory(
        settings,
        dataclasses.replace(TIERS[0], guidance=dataclasses.replace(TIERS[0].guidance, noises=1)),
        use,
    )
    for row in rows:
        row["unet_tflops"] = flops["cached"] / row["cached_unet_ms"] / 1e9
        row["unet_share"] = row["unet_tflops"] / ceiling
    return {
        "toy": toy,
        "device": _device_name(device),
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "compiled": compiled,
        "encoding": bench.field.encoding.name,
        "matmul_tflops": ceiling,
        "unet_tflop": {kind: n / 1e12 for kind, n in flops.items()},
        "cache_s": cache_s,
        "cache_bytes": bench.cache.bytes if bench.cache else 0,
        "refine_ms": refine_ms,
        "host_waits_per_step": host_waits(bench, sides[-1]),
        "steps": rows,
        "estimated_bytes": estimate.total,
        "process_peak_mb": peak_memory_mb(),
        "encodings": measure_encodings(
            device, 4096 if toy else 131_072, max(3, repeat // 3), fields
        ),
        "runs": whole_runs(rows, refine_ms, cache_s),
    }


def toy_settings() -> GenerateSettings:
    """A fit that a CPU steps through in milliseconds."""
    standard = preset_settings("standard")
    return dataclasses.replace(
        standard,
        field=FieldSettings(levels=4, log2_table=12, max_resolution=64, sdf_levels=3, body_grid=32),
        rendering=RenderingSettings(samples=6, grid_resolution=24),
        optimization=dataclasses.replace(standard.optimization, rays=256),
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    console = Console()
    configure_threads()
    device = choose_device(args.device).device
    if device.type == "cpu" and not args.toy:
        console.print("No GPU here: a step of the real size takes minutes on a CPU. Use --toy.")
        return 2
    started = time.perf_counter()
    # As the loop has it: one thread for torch's small operations, or they wait for each other.
    with few_torch_threads():
        result = benchmark(device, TOY if args.toy else SD15, args.repeat, compiled=args.compile)
    show(console, result)
    lines, decides = targets(result), counts(result)
    if lines:
        print_targets(console, lines)
    if not decides:
        console.print("The targets are for one H100 at the real size: they do not decide here.")
    if args.json:
        answer = {
            **result,
            "seconds": time.perf_counter() - started,
            "targets": [{**dataclasses.asdict(line), "ok": line.ok} for line in lines],
            "targets_decide": decides,
        }
        args.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return int(decides and not all(line.ok for line in lines))


if __name__ == "__main__":
    sys.exit(main())
