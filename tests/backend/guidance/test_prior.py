"""Conversions between what networks predict."""

from __future__ import annotations

import pytest
import torch

from backend.guidance.prior import (
    PredictionType,
    add_noise,
    classifier_free_guidance,
    clean_from_noise,
    noise_from_prediction,
)


@pytest.mark.parametrize("kind", list(PredictionType))
def test_every_prediction_type_gives_the_same_noise(kind: PredictionType) -> None:
    clean, noise = torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)
    alpha_bar = torch.tensor([0.9, 0.5, 0.05], dtype=torch.float64)
    noisy = add_noise(clean, noise, alpha_bar)
    signal, sigma = (x[:, None, None, None].sqrt() for x in (alpha_bar, 1 - alpha_bar))
    truth = {
        PredictionType.EPSILON: noise,
        PredictionType.X0: clean,
        PredictionType.V: signal * noise - sigma * clean,
    }[kind]
    eps = noise_from_prediction(truth, noisy, alpha_bar, kind)
    torch.testing.assert_close(eps, noise, rtol=0, atol=1e-12)
    torch.testing.assert_close(clean_from_noise(eps, noisy, alpha_bar), clean, rtol=0, atol=1e-12)


def test_schedule_and_conversions_agree_with_diffusers(tiny_prior: object) -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
    )
    alphas = tiny_prior.alphas_cumprod  # type: ignore[attr-defined]
    assert torch.equal(alphas, scheduler.alphas_cumprod)
    clean, noise = torch.randn(2, 2, 4, 5, 5)
    t = torch.tensor([20, 900])
    torch.testing.assert_close(
        add_noise(clean, noise, alphas[t]), scheduler.add_noise(clean, noise, t), rtol=0, atol=1e-6
    )
    v = scheduler.get_velocity(clean, noise, t)
    noisy = scheduler.add_noise(clean, noise, t)
    eps = noise_from_prediction(v, noisy, alphas[t], PredictionType.V)
    torch.testing.assert_close(eps, noise, rtol=0, atol=1e-5)


def test_guidance_formula() -> None:
    negative, positive = torch.randn(2, 1, 4, 2, 2)
    guided = classifier_free_guidance(negative, positive, 7.5)
    torch.testing.assert_close(guided, 7.5 * positive - 6.5 * negative)
