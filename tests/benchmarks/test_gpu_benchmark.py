"""benchmarks/gpu.py: its operation counts, its estimate of whole runs, its verdicts, and that it runs."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from backend.guidance.prior import CachedReference
from backend.guidance.reference_cache import CachePlan
from backend.settings import preset_settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("cpu", "floor", "encoding", "gpu", "gpu_models", "gpu_report", "gpu_step")


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    """The scripts, imported as they import their neighbours."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def toy(scripts: SimpleNamespace):
    shape, device = scripts.gpu_models.TOY, torch.device("cpu")
    prior = scripts.gpu_models.build_prior(shape, device, torch.float32)
    settings = scripts.gpu.toy_settings()
    bench = scripts.gpu_step.Bench(settings, shape, prior, device, CachePlan(200, 240, 20))
    bench.build_cache()
    return bench


def test_operations_of_version_15_are_those_of_the_design(scripts: SimpleNamespace) -> None:
    models, meta = scripts.gpu_models, torch.device("meta")
    prior = models.build_prior(models.SD15, meta, torch.bfloat16)
    condition = models.random_condition(models.SD15, meta, torch.bfloat16)
    reference = models.random_reference(models.SD15, prior, condition)
    count = scripts.gpu.unet_flops
    stock = count(prior, condition, None)
    exact = count(prior, condition, reference)
    t = torch.full((1,), 300, device=meta)
    with torch.no_grad():
        states = prior.unet.record(reference, t, 2)
    cached = count(prior, condition, CachedReference(states, rows=1))
    # TFLOP a sample at 64 x 64 latents: 0.803 alone, 0.951 with the reference's keys; two branches.
    assert stock / 2e12 == pytest.approx(0.803, rel=0.01)
    assert cached / 2e12 == pytest.approx(0.951, rel=0.01)
    # Beside the reference its keys and values are made once for both.
    assert cached < exact < stock + cached
    assert 0.5 < cached / exact < 0.6
    assert models.prior_sizes(models.SD15, prior).unet == sum(
        p.numel() for p in prior.parts.unet.parameters()
    )


def test_the_naive_mask_and_the_cache_change_no_number(toy) -> None:
    found = {}
    for name, mask, beside in (
        ("exact", False, lambda: replace(toy.reference, noise=toy.cache.noise[1, 0][None])),
        ("cached", False, lambda: toy.beside(cached=True)),
        ("naive", True, lambda: replace(toy.reference, noise=toy.cache.noise[1, 0][None])),
    ):
        toy.use_mask(mask)
        toy.draws.manual_seed(3)
        found[name], _ = toy.noise(toy.reference.latents, beside())
    toy.use_mask(False)
    assert toy.plan.centers[1] == toy.host_t
    torch.testing.assert_close(found["cached"], found["exact"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["naive"], found["exact"], rtol=1e-4, atol=1e-5)


def test_every_stage_of_a_step_is_timed_and_moves_the_field(scripts, toy) -> None:
    ours, naive = (scripts.gpu_step.Clock(toy.device) for _ in range(2))
    toy.field.zero_grad()
    toy.step(16, ours)
    assert tuple(ours.laps) == scripts.gpu_step.STAGES
    assert float(toy.field.table.grad.abs().max()) > 0
    toy.naive_step(16, naive, refined=True)
    assert set(naive.laps) == {*scripts.gpu_step.STAGES, "refine"}
    assert scripts.gpu.host_waits(toy, 16) is None


def test_a_whole_run_is_the_sum_of_its_steps(scripts: SimpleNamespace) -> None:
    settings = preset_settings("standard")
    options = replace(
        settings.optimization, steps=1000, resolutions=(64, 512), resolution_until=0.5
    )
    settings = replace(settings, optimization=options)
    distilled, plain = {64: 10.0, 512: 100.0}, {64: 1.0, 512: 50.0}
    seconds = scripts.gpu_report.run_seconds
    # 50 plain steps at 64, 450 distilled there, 500 at 512.
    steps = (50 * 1.0 + 450 * 10.0 + 500 * 100.0) / 1e3
    assert seconds(settings, distilled, plain, 0.0, bank=True, start_s=2.0) == pytest.approx(
        steps + 2.0
    )
    # 200 late steps: one bank of 24 pictures, or 200 pictures.
    with_bank = seconds(settings, distilled, plain, 300.0, bank=True, start_s=0.0)
    each = seconds(settings, distilled, plain, 300.0, bank=False, start_s=0.0)
    assert with_bank == pytest.approx(steps + 24 * 0.3)
    assert each == pytest.approx(steps + 200 * 0.3)


@pytest.mark.parametrize(
    ("device", "toy_size", "factor", "code"),
    [("NVIDIA H100", False, 1.0, 0), ("NVIDIA H100", False, 1.1, 1), ("CPU", True, 9.0, 0)],
)
def test_targets_decide_on_the_gpu_they_are_for(
    scripts: SimpleNamespace, device: str, toy_size: bool, factor: float, code: int
) -> None:
    step = {
        "resolution": 512,
        "unet_share": 0.35 / factor,
        "stages_ms": {"render": 40.0 * factor, "losses": 20.0 * factor},
    }
    runs = {
        "standard": {"ours_s": 150.0 * factor, "ratio": 8.0 / factor},
        "paper": {"ours_s": 360.0 * factor, "ratio": 9.0},
    }
    waits = 0.0 if factor == 1.0 else 1.0
    result = {"device": device, "toy": toy_size, "steps": [step], "runs": runs}
    result["host_waits_per_step"] = waits
    lines = scripts.gpu_report.targets(result)
    assert len(lines) == (0 if toy_size else 6)
    missed = [line for line in lines if not line.ok]
    assert len(missed) == 6 * code
    assert scripts.gpu_report.counts(result) is not toy_size


def test_the_command_runs_at_toy_size(scripts: SimpleNamespace, tmp_path: Path, capsys) -> None:
    gpu: ModuleType = scripts.gpu
    answer = tmp_path / "gpu.json"
    assert gpu.main(["--toy", "--device", "cpu", "--repeat", "1", "--json", str(answer)]) == 0
    result = json.loads(answer.read_text())
    assert result["toy"] is True
    assert result["targets"] == []
    assert [row["resolution"] for row in result["steps"]] == [16, 32]
    for row in result["steps"]:
        assert all(ms > 0 for ms in row["stages_ms"].values())
        assert row["naive_refine_ms"] > 0
    assert {row["encoding"] for row in result["encodings"]} == {"reference", "numba"}
    assert result["runs"]["paper"]["ratio"] > 0
    assert "do not decide here" in capsys.readouterr().out
    if not torch.cuda.is_available():
        assert gpu.main(["--device", "cpu"]) == 2
