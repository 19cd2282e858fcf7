"""A worker loads the prior that ships once, and Stable Diffusion for every job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from backend.guidance.compact_prior import CompactPrior
from backend.guidance.prior_choice import named_prior
from backend.guidance.tiny_stable_diffusion import make_tiny_stable_diffusion
from backend.service.kept_prior import KeptPrior
from backend.settings import COMPACT_PRIOR

CPU = torch.device("cpu")


def test_the_compact_prior_is_loaded_once_and_others_every_time(tmp_path: Path) -> None:
    kept = KeptPrior()
    shipped = kept.load(COMPACT_PRIOR, CPU)
    assert isinstance(shipped, CompactPrior)
    # How it is distilled is each job's own business.
    assert kept.load(replace(COMPACT_PRIOR, guidance_scale=3.0), CPU) is shipped
    sd = named_prior(COMPACT_PRIOR, str(make_tiny_stable_diffusion(tmp_path / "sd")))
    assert kept.load(sd, CPU) is not kept.load(sd, CPU)
    assert kept.load(COMPACT_PRIOR, CPU) is shipped
