"""How long does a photo take on this computer, where does the time go, and is that the target?

    python benchmarks/cpu.py [--preset standard --preset draft] [--repeat 3] [--json FILE]
                             [--photo examples/photo.png] [--no-kernels]

Runs the whole command in fresh processes, after one run that is not counted and compiles the kernels
(a one-time cost), and reports medians: seconds from the command to its end, each stage, the wait for
the first preview mesh after the body fit, field evaluations a second, peak memory. A step of the fit is
compared with its floor on this computer (floor.py), measured before and after the runs. Then the
kernels' own benchmarks run (encoding.py, sampling.py, meshing.py). Exit code 1 when a target is
missed. Other programs on the same cores make every number worse; the load is reported.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from floor import MachineSpeed, measure_machine, step_floor
from rich.console import Console
from rich.table import Table

from backend.settings import FieldSettings, Preset, preset_settings

ROOT = Path(__file__).resolve().parents[1]
SECONDS_LIMIT = {"standard": 100.0, "draft": 25.0}
MEMORY_LIMIT_MB = {"standard": 3e9 / 2**20}
PREVIEW_LIMIT = 6.0
OUTSIDE = "start and exit"
_BAR = 32


@dataclass(frozen=True)
class Run:
    """One command, photo to GLB and pictures; seconds, MiB."""

    seconds: float
    """As a person with a stopwatch sees it: from the command to its end."""
    cpu_seconds: float
    """Of all cores together; 0 where the system does not tell."""
    peak_memory_mb: float
    first_preview_s: float | None
    """From the end of the body fit."""
    stages: Mapping[str, float]
    """In order; what no stage covers is "start and exit"."""
    steps: int
    points: int
    """Field evaluations by rendering, over all steps."""

    @property
    def step_s(self) -> float:
        """Mean of a step, with its share of previews and checkpoints."""
        return self.stages["optimization"] / self.steps


@dataclass(frozen=True)
class Target:
    """One line of what was asked for."""

    name: str
    value: float | None
    """None: not measured, which counts as missed."""
    limit: float
    unit: str
    at_most: bool = True

    @property
    def ok(self) -> bool:
        """Whether the limit is kept."""
        if self.value is None:
            return False
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def run_once(photo: Path, preset: str, folder: Path) -> Run:
    """Run the command in a fresh process. Raises SystemExit with its words when it fails."""
    command = [sys.executable, "-m", "backend.cli", "generate", str(photo.resolve())]
    command += ["-o", str(folder / "person.glb"), "--artifacts", str(folder), "--force"]
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [*command, "--preset", preset], cwd=ROOT, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    after = os.times()
    if done.returncode != 0:
        raise SystemExit(f"The {preset} run ended with code {done.returncode}:\n{done.stderr}")
    cpu = sum(getattr(after, n) - getattr(before, n) for n in ("children_user", "children_system"))
    return read_run(json.loads((folder / "run.json").read_text("utf-8")), seconds, cpu)


def read_run(report: Mapping[str, Any], seconds: float, cpu_seconds: float) -> Run:
    """A run.json, and what was measured around it."""
    stages = dict(report["stages"])
    stages[OUTSIDE] = seconds - sum(stages.values())
    return Run(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        peak_memory_mb=report["peak_memory_mb"],
        first_preview_s=report["first_preview_seconds"],
        stages=stages,
        steps=report["results"]["steps"],
        points=report["results"]["field_evaluations"],
    )


def median_run(runs: Sequence[Run]) -> Run:
    """Each number's own median; a preview that was missing once is missing."""
    previews = [run.first_preview_s for run in runs if run.first_preview_s is not None]
    return Run(
        seconds=statistics.median(run.seconds for run in runs),
        cpu_seconds=statistics.median(run.cpu_seconds for run in runs),
        peak_memory_mb=statistics.median(run.peak_memory_mb for run in runs),
        first_preview_s=statistics.median(previews) if len(previews) == len(runs) else None,
        stages={
            name: statistics.median(run.stages[name] for run in runs) for name in runs[0].stages
        },
        steps=runs[0].steps,
        points=round(statistics.median(run.points for run in runs)),
    )


def summary(runs: Sequence[Run], preset: Preset, machine: MachineSpeed) -> dict[str, Any]:
    """What the JSON says about one preset."""
    median = median_run(runs)
    floor = step_floor(preset_settings(preset).field, median.points / median.steps, machine)
    return {
        **dataclasses.asdict(median),
        "points_per_second": median.points / median.stages["optimization"],
        "step_s": median.step_s,
        "points_per_step": median.points / median.steps,
        "step_floor_s": {**dataclasses.asdict(floor), "total_s": floor.total_s},
        "step_over_floor": median.step_s / floor.total_s,
        "every_run_s": [run.seconds for run in runs],
    }


def run_script(name: str, folder: Path) -> Any:
    """A sibling benchmark in its own process; its JSON. It may miss its targets, but not fail."""
    answer = folder / f"{name}.json"
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--json", str(answer)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not answer.exists():
        raise SystemExit(f"{name}.py ended with code {done.returncode}:\n{done.stderr}")
    return json.loads(answer.read_text("utf-8"))


def kernel_targets(kernels: Mapping[str, Any]) -> list[Target]:
    """The kernels' lines, from the JSON of encoding.py, sampling.py and meshing.py."""
    size = next(
        row
        for row in kernels["encoding"]["sizes"]
        if (row["levels"], row["log2_table"]) == (12, 17)
    )
    faster = size["reference"]["both"] / size["numba"]["both"]
    # The density only gets sharper than it starts: softer ones are in the JSON for the curious.
    start = math.exp(10.0 * FieldSettings().alpha_init)
    views = [row for row in kernels["sampling"] if row["alpha"] >= start * (1 - 1e-9)]
    fewer = min(row["saving"] for row in views)
    gain = min(row["narrow_psnr"] - row["uniform_psnr"] for row in views)
    meshing = kernels["meshing"]
    return [
        Target("encoder L12 T17: numba over torch", faster, 10.0, "x", at_most=False),
        Target("narrow band: fewer points than 64 uniform", fewer, 10.0, "x", at_most=False),
        Target("narrow band: PSNR over 64 uniform", gain, 0.0, "dB", at_most=False),
        Target("meshing 256^3: sparse over dense", meshing["ratio"], 8.0, "x", at_most=False),
        Target("meshing 256^3: wrong signs", meshing["wrong_signs"], 0.0, "nodes"),
    ]


def preset_targets(presets: Mapping[str, Mapping[str, Any]]) -> list[Target]:
    """The lines asked for of each preset; ``presets``: :func:`summary` by name."""
    lines = []
    for preset, numbers in presets.items():
        if preset in SECONDS_LIMIT:
            seconds, preview = numbers["seconds"], numbers["first_preview_s"]
            name = f"{preset}: first preview after the body fit"
            lines.append(Target(f"{preset}: photo to GLB", seconds, SECONDS_LIMIT[preset], "s"))
            lines.append(Target(name, preview, PREVIEW_LIMIT, "s"))
        if preset in MEMORY_LIMIT_MB:
            peak, limit = numbers["peak_memory_mb"], MEMORY_LIMIT_MB[preset]
            lines.append(Target(f"{preset}: peak memory", peak, limit, "MiB"))
    return lines


def print_preset(console: Console, preset: str, numbers: Mapping[str, Any], repeat: int) -> None:
    """Stages as bars, and the numbers of the loop."""
    table = Table(
        "stage", "seconds", "", title=f"{preset}, median of {repeat}", title_justify="left"
    )
    longest = max(numbers["stages"].values())
    for name, seconds in numbers["stages"].items():
        bar = "#" * round(_BAR * max(0.0, seconds) / longest)
        table.add_row(name.replace("_", " "), f"{seconds:.2f}", bar)
    table.add_section()
    table.add_row("whole command", f"{numbers['seconds']:.2f}", "")
    console.print(table)
    floor = numbers["step_floor_s"]
    console.print(
        f"{numbers['peak_memory_mb']:,.0f} MiB peak; {numbers['cpu_seconds']:.1f} s of CPU time; "
        f"{numbers['points_per_second']:,.0f} points a second."
    )
    console.print(
        f"A step takes {1e3 * numbers['step_s']:.1f} ms for {numbers['points_per_step']:,.0f} points; "
        f"floor {1e3 * floor['total_s']:.1f} ms (encoder {1e3 * floor['encoder_s']:.1f}, networks "
        f"{1e3 * floor['networks_s']:.1f}, Adam {1e3 * floor['adam_s']:.1f}): "
        f"ratio {numbers['step_over_floor']:.2f}.\n"
    )


def print_targets(console: Console, lines: Sequence[Target]) -> None:
    """One line a target."""
    table = Table("target", "measured", "wanted", "", title="Targets", title_justify="left")
    for line in lines:
        value = "none" if line.value is None else f"{line.value:,.2f} {line.unit}"
        wanted = f"{'<=' if line.at_most else '>='} {line.limit:,.0f} {line.unit}"
        table.add_row(line.name, value, wanted, "ok" if line.ok else "[bold]missed[/bold]")
    console.print(table)


def _load() -> float | None:
    """Processes that wanted a core, mean of the last minute; None on Windows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _fastest(first: MachineSpeed, second: MachineSpeed) -> MachineSpeed:
    return MachineSpeed(
        first.threads,
        max(first.copy_gb_s, second.copy_gb_s),
        max(first.mlp_gflops, second.mlp_gflops),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", action="append", choices=get_args(Preset))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--photo", type=Path, default=ROOT / "examples" / "photo.png")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--kernels", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args(argv)
    console = Console()
    presets = args.preset or ["standard", "draft"]
    load, machine = _load(), measure_machine()
    measured: dict[str, dict[str, Any]] = {}
    kernels: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="humanref-bench-") as name:
        folder = Path(name)
        console.print("Compiling: one draft run that is not counted ...")
        run_once(args.photo, "draft", folder)
        runs: dict[str, list[Run]] = {}
        for preset in presets:
            for number in range(max(1, args.repeat)):
                console.print(f"{preset}: run {number + 1} of {args.repeat} ...")
                runs.setdefault(preset, []).append(run_once(args.photo, preset, folder))
        if args.kernels:
            for script in ("encoding", "sampling", "meshing"):
                console.print(f"{script}.py ...")
                kernels[script] = run_script(script, folder)
    machine = _fastest(machine, measure_machine())
    for preset in presets:
        measured[preset] = summary(runs[preset], preset, machine)
        print_preset(console, preset, measured[preset], len(runs[preset]))
    lines = preset_targets(measured) + (kernel_targets(kernels) if kernels else [])
    print_targets(console, lines)
    console.print(
        f"This computer: {machine.threads} threads, copy {machine.copy_gb_s:.1f} GB/s, "
        f"64-wide products {machine.mlp_gflops:.0f} GFLOP/s"
        + ("." if load is None else f"; load before the start {load:.1f}.")
    )
    if args.json:
        answer = {
            "machine": dataclasses.asdict(machine),
            "load": load,
            "presets": measured,
            "kernels": kernels,
            "targets": [{**dataclasses.asdict(line), "ok": line.ok} for line in lines],
        }
        args.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return int(not all(line.ok for line in lines))


if __name__ == "__main__":
    sys.exit(main())
