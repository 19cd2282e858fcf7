"""benchmarks/cpu.py and floor.py: their numbers against definitions, their verdicts against limits."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from backend.events import Preview, StageFinished, StageStarted
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.mlp import networks_reference
from backend.run_report import RunRecorder
from backend.settings import FieldSettings, preset_settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    """cpu.py and floor.py, imported as the script imports its neighbour."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("cpu"), importlib.import_module("floor")
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in ("cpu", "floor"):
            sys.modules.pop(name, None)


def report(scale: float = 1.0, preview: bool = True) -> dict:
    """A run.json as the command writes it, on a clock that is moved by hand."""
    now = [0.0]
    recorder = RunRecorder(clock=lambda: now[0])
    for stage, seconds in (("fitting", 4.0), ("optimization", 40.0)):
        recorder(StageStarted(stage))
        if stage == "optimization" and preview:
            now[0] += 2.0 * scale
            empty = np.zeros((0, 3), np.float32)
            recorder(Preview(10, empty, empty.astype(np.int32), empty))
        recorder(StageFinished(stage, seconds * scale))
    results = {"steps": 200, "field_evaluations": 8_000_000}
    made = recorder.report(preset_settings("standard"), "none", "cpu", results)
    return json.loads(json.dumps(made.to_json()))


def test_a_run_is_read_from_the_report_the_command_writes(scripts) -> None:
    cpu, floor = scripts
    runs = [cpu.read_run(report(k), 50.0 * k, 60.0 * k) for k in (1.0, 3.0, 2.0)]
    median = cpu.median_run(runs)
    assert median.seconds == 100.0
    assert median.cpu_seconds == 120.0
    assert median.stages == {"fitting": 8.0, "optimization": 80.0, cpu.OUTSIDE: 12.0}
    assert median.first_preview_s == 4.0
    assert median.step_s == 0.4
    assert (
        cpu.median_run([*runs, cpu.read_run(report(preview=False), 50, 60)]).first_preview_s is None
    )
    machine = floor.MachineSpeed(2, 10.0, 100.0)
    numbers = cpu.summary(runs, "standard", machine)
    assert numbers["points_per_second"] == 100_000
    expected = floor.step_floor(preset_settings("standard").field, 40_000, machine)
    assert numbers["step_over_floor"] == pytest.approx(0.4 / expected.total_s)


@pytest.mark.parametrize(
    ("seconds", "memory", "preview", "verdicts"),
    [
        (100.0, 2861.0, 6.0, [True, True, True]),
        (100.1, 2862.0, 6.1, [False, False, False]),
        (20.0, 1200.0, None, [True, False, True]),
    ],
)
def test_targets_of_a_preset(scripts, seconds, memory, preview, verdicts) -> None:
    cpu, _ = scripts
    numbers = {"seconds": seconds, "peak_memory_mb": memory, "first_preview_s": preview}
    lines = cpu.preset_targets({"standard": numbers, "paper": numbers})
    assert [line.ok for line in lines] == verdicts
    text = io.StringIO()
    cpu.print_targets(Console(file=text, width=120), lines)
    assert text.getvalue().count("missed") == verdicts.count(False)


def test_targets_of_the_kernels_take_the_worst_that_counts(scripts) -> None:
    cpu, _ = scripts
    start = float(np.exp(10.0 * FieldSettings().alpha_init))
    rows = [
        {"alpha": 0.3 * start, "saving": 3.0, "narrow_psnr": 1.0, "uniform_psnr": 9.0},
        {"alpha": start, "saving": 14.0, "narrow_psnr": 50.0, "uniform_psnr": 49.5},
        {"alpha": 2 * start, "saving": 12.0, "narrow_psnr": 55.0, "uniform_psnr": 49.0},
    ]
    sizes = [
        {"levels": 8, "log2_table": 15, "reference": {"both": 90}, "numba": {"both": 10}},
        {"levels": 12, "log2_table": 17, "reference": {"both": 240}, "numba": {"both": 20}},
    ]
    kernels = {
        "encoding": {"sizes": sizes},
        "sampling": rows,
        "meshing": {"ratio": 7.9, "wrong_signs": 0},
    }
    lines = cpu.kernel_targets(kernels)
    assert [line.value for line in lines] == [12.0, 12.0, 0.5, 7.9, 0]
    assert [line.ok for line in lines] == [True, True, True, False, True]


def test_operations_of_the_networks_are_those_that_torch_counts(scripts) -> None:
    _, floor = scripts
    settings, n, h = FieldSettings(), 500, 64

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(*shape).requires_grad_()

    inputs = (leaf(n, 24), leaf(n, 3, 16), torch.rand(n, 3), 0.5)
    weights = ((leaf(h, 19), leaf(h, h), leaf(h)), (leaf(h, 24), leaf(h, h), leaf(3, h)))
    with FlopCounterMode(display=False) as counter:
        value, slope, color = networks_reference(*inputs, *weights)
        ((value * torch.randn(n)).sum() + slope.pow(2).sum() + color.pow(2).sum()).backward()
    # Torch does not count matrix times vector: the SDF network's last layer, 0.4 %.
    assert floor.network_operations(settings, n) == pytest.approx(
        counter.get_total_flops(), rel=0.01
    )


def test_bytes_of_encoder_and_adam_follow_the_layout(scripts) -> None:
    _, floor = scripts
    settings = FieldSettings()
    # 12 levels x 8 corners x 2 float32: read forward, read and written backward.
    assert floor.encoder_bytes(settings, 1) == 12 * 8 * 8 * 3
    layout = HashGridLayout.from_settings(settings)
    assert make_encoding("reference", layout, "cpu")[0].layout.total * 2 * 4 * 7 == (
        floor.adam_bytes(settings)
    )
    machine = floor.MachineSpeed(2, 24.0, 90.0)
    cost = floor.step_floor(settings, 131_072, machine)
    assert 1e3 * cost.encoder_s == pytest.approx(12.6, abs=0.1)


def test_the_machine_is_measured(scripts) -> None:
    _, floor = scripts
    machine = floor.measure_machine(repeat=1)
    assert 0.1 < machine.copy_gb_s < 2000
    assert 0.1 < machine.mlp_gflops < 50_000
