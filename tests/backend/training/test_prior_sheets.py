"""What is measured of a prior in training, on a network that knows the answer."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
import torch
from ellipsoid_people import SIDE, TINY, tiny_network
from PIL import Image
from torch import Tensor

from backend.guidance.compact_network import CompactNetwork, noise_schedule
from backend.guidance.prior import add_noise
from backend.training.prior_batches import exact_batch
from backend.training.prior_sheets import Validation, predict, psnr, sample
from backend.training.prior_store import PeopleSplit


class Oracle(CompactNetwork):
    """Answers with the truth of one batch, and keeps what it was asked."""

    def __init__(self, truth: Tensor) -> None:
        super().__init__(TINY, noise_schedule())
        self.truth = truth
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(
        self,
        noisy: Tensor,
        t: Tensor,
        maps: Tensor,
        tokens: Tensor,
        call: object,
        *,
        seamless: bool = True,
    ) -> Tensor:
        self.asked.append((noisy, t))
        return torch.cat([noisy[:1], self.truth])


def test_psnr_counts_the_shown_pixels_alone() -> None:
    truth = torch.zeros(2, 3, 4, 4)
    picture = truth.clone()
    shown = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    shown[:, :, :2] = True
    picture[0, :, :2] = 0.2
    picture[:, :, 2:] = 1.0
    found = psnr(picture, truth, shown)
    assert found.tolist() == pytest.approx([-20 * math.log10(0.1), 60.0], rel=1e-5)


def test_sampling_ends_at_the_truth_and_keeps_its_noise(packed: PeopleSplit) -> None:
    batch = exact_batch(packed.train[0], [4, 8], width=64)
    oracle = Oracle(batch.clean)
    noise = torch.randn_like(batch.clean)
    found = sample(oracle, batch, noise, steps=5, guidance_scale=1.0)
    torch.testing.assert_close(found, batch.clean)
    assert len(oracle.asked) == 5
    assert oracle.asked[0][1].tolist() == [0, 999, 999]
    for noisy, t in oracle.asked:
        assert torch.equal(noisy[:1], batch.photo)
        expected = add_noise(batch.clean, noise, oracle.alphas_cumprod[t[1:]])
        torch.testing.assert_close(noisy[1:], expected, rtol=0, atol=0.01)


def test_without_reference_there_is_one_branch_that_ignores_the_photo(packed: PeopleSplit) -> None:
    network = tiny_network()
    batch = exact_batch(packed.train[0], [4, 8], width=64)
    other = exact_batch(packed.train[1], [4, 8], width=64)
    mixed = type(batch)(**{**vars(batch), "photo": other.photo, "photo_maps": other.photo_maps})
    noisy = torch.full_like(batch.clean, 0.1)
    with torch.no_grad():
        blind = [predict(network, each, noisy, 400, reference=False) for each in (batch, mixed)]
        seeing = [predict(network, each, noisy, 400) for each in (batch, mixed)]
        guided = predict(network, batch, noisy, 400, guidance_scale=1.7)
    torch.testing.assert_close(blind[0], blind[1], rtol=0, atol=1e-6)
    assert (seeing[0] - seeing[1]).abs().max() > 1e-4
    expected = blind[0] + 1.7 * (seeing[0] - blind[0])
    torch.testing.assert_close(guided, expected, rtol=0, atol=1e-5)


def test_validation_measures_and_draws(packed: PeopleSplit, tmp_path: Path) -> None:
    validation = Validation(packed.validation, tmp_path)
    truth = exact_batch(packed.validation[0], (4, 6, 8, 12)).clean
    metrics = validation.measure(Oracle(truth))
    keys = {f"denoise_{t}" for t in (250, 500, 750)} | {"sample", "carried"}
    assert metrics.keys() == keys | {f"{key}_back" for key in keys} | {"mirror_back"}
    for key in keys - {"carried"}:
        assert metrics[key] == metrics[f"{key}_back"] == 60.0
    assert 5.0 < metrics["mirror_back"] < 50.0
    assert 5.0 < metrics["carried"] < 50.0
    assert validation.measure(tiny_network())["sample"] < 25.0

    validation.draw(Oracle(truth), "sheet_7.png")
    picture = Image.open(io.BytesIO((tmp_path / "sheet_7.png").read_bytes()))
    assert picture.size == (SIDE * (1 + 4 * 4), SIDE)
    ours = picture.crop((2 * SIDE, 0, 3 * SIDE, SIDE))
    assert ours.tobytes() == picture.crop((4 * SIDE, 0, 5 * SIDE, SIDE)).tobytes()
    assert len(list(tmp_path.iterdir())) == 1
