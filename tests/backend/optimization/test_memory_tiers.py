"""Tiers: chosen before the start by formula, refused when nothing fits."""

from pathlib import Path

import pytest
import torch

from backend.errors import HumanRefError
from backend.guidance.memory import STABLE_DIFFUSION_15
from backend.optimization.memory_tiers import (
    GIB,
    TIERS,
    PriorUse,
    choose_tier,
    estimate_memory,
    lower_tier,
)
from backend.settings import Preset, preset_settings

HALF = PriorUse(STABLE_DIFFUSION_15, torch.bfloat16, torch.bfloat16, 200, 600)
OLD_GPU = PriorUse(STABLE_DIFFUSION_15, torch.float16, torch.float32, 200, 600)


@pytest.mark.parametrize("preset", ["standard", "paper"])
@pytest.mark.parametrize("prior", [HALF, OLD_GPU])
def test_every_tier_fits_the_gpu_it_is_named_after(preset: Preset, prior: PriorUse) -> None:
    totals = []
    for tier in TIERS:
        total = estimate_memory(preset_settings(preset), tier, prior).total
        assert total < 0.9 * float(tier.name.split()[0]) * 1e9
        totals.append(total)
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == len(totals) or preset == "standard"


def test_the_parts_of_an_estimate_follow_their_definitions() -> None:
    settings = preset_settings("paper")
    estimate = estimate_memory(settings, TIERS[0], HALF)
    sizes = STABLE_DIFFUSION_15
    assert estimate.weights == 2 * (sizes.unet + sizes.vae + sizes.text_encoder)
    # 41 buckets, 4 noises, both branches.
    assert estimate.cache == 2 * 41 * 4 * 2 * sizes.cache_entry
    spared = estimate_memory(settings, TIERS[-1], HALF)
    assert spared.cache == 2 * 2 * 2 * sizes.cache_entry
    alone = estimate_memory(settings, TIERS[0], None)
    assert (alone.weights, alone.cache, alone.encoding, alone.denoising) == (0, 0, 0, 0)
    assert alone.total == alone.field + alone.rendering + alone.context
    # Table, gradient and two moments of 2^19 entries of 16 levels at most, beside two grids.
    assert 4 * 4 * 2 * 2**19 * 10 < alone.field < 4 * (4 * 2 * 2**19 * 16 + 192**3 + 64**3 + 10**5)


def test_the_largest_tier_that_fits_is_taken() -> None:
    settings = preset_settings("standard")
    for tier in TIERS:
        total = estimate_memory(settings, tier, HALF).total
        choice = choose_tier(settings, HALF, int(total / 0.92) + 1)
        assert choice.estimate.total == total
        assert choice.tier.name in str(choice)
    assert choose_tier(settings, HALF, 80 * GIB).tier is TIERS[0]


def test_a_gpu_too_small_is_refused_before_the_start() -> None:
    with pytest.raises(HumanRefError, match=r"2\.0 GB free") as error:
        choose_tier(preset_settings("standard"), HALF, 2 * GIB)
    assert error.value.code == "gpu_too_small"
    assert "--device cpu" in error.value.hint


def test_tiers_go_down_one_by_one() -> None:
    tier, names = TIERS[0], []
    while tier is not None:
        names.append(tier.name)
        tier = lower_tier(tier)
    assert names == ["40 GB", "24 GB", "16 GB", "12 GB", "8 GB"]


def test_the_documented_table_is_the_formula() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gpu.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if " GB | " in line]
    assert len(rows) == len(TIERS)
    for tier, (name, rays, cache, encoder, *figures) in zip(TIERS, rows, strict=True):
        spend = tier.guidance
        buckets = len(spend.plan(200, 600, 2).centers)
        assert (name, rays) == (tier.name, str(tier.ray_chunk or "all"))
        assert cache == f"{spend.noises} x {buckets}, {spend.place}"
        assert encoder == ("recomputed" if spend.checkpoint_encoder else "kept")
        for preset, figure in zip(("standard", "paper"), figures, strict=True):
            total = estimate_memory(preset_settings(preset), tier, HALF).total
            assert figure == f"{total / GIB:.1f}"
