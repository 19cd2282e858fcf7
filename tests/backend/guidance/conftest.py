"""One tiny Stable Diffusion folder with random weights for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.tiny_stable_diffusion import make_tiny_stable_diffusion


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture(scope="session")
def tiny_prior(tiny_folder: Path) -> StableDiffusionPrior:
    return StableDiffusionPrior.load(tiny_folder)
