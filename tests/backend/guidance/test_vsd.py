"""VSD: a LoRA that begins as the prior, learns the renders, and leaves the prior as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator

from backend.errors import HumanRefError
from backend.guidance.denoiser import ReferenceDenoiser, SeenView
from backend.guidance.prior import Prompt, View
from backend.guidance.protocol import Draws
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.vsd import VariationalResidual
from backend.perception import hub

PROMPT = Prompt("a person")
VIEW = SeenView(120.0, 10.0, torch.zeros(1, 16, 16, dtype=torch.uint8))


@pytest.fixture(scope="module")
def tiny_prior(tiny_folder: Path) -> StableDiffusionPrior:
    """One of our own: a LoRA changes the U-Net's modules."""
    return StableDiffusionPrior.load(tiny_folder)


def _draws(seed: int = 0) -> Draws:
    generator = Generator().manual_seed(seed)
    return Draws(generator, generator)


def _make(prior: StableDiffusionPrior, rate: float = 1e-3) -> VariationalResidual:
    return VariationalResidual(
        prior, PROMPT, guidance_scale=7.5, rank=4, learning_rate=rate, seed=0
    )


def test_it_begins_as_the_difference_that_guidance_makes(
    tiny_prior: StableDiffusionPrior,
) -> None:
    """An untrained LoRA is the prior without guidance: eps(scale 7.5) - eps(scale 1)."""
    before = {name: p.clone() for name, p in tiny_prior.parts.unet.named_parameters()}
    method = _make(tiny_prior)
    noisy, noise = torch.randn(2, 1, 4, 16, 16, generator=Generator().manual_seed(1))
    found = method.residual(noisy, noise, 300, VIEW, _draws())
    scales = [
        ReferenceDenoiser(tiny_prior, PROMPT, scale, None).noise(
            noisy, 300, VIEW, noise, Generator()
        )
        for scale in (7.5, 1.0)
    ]
    torch.testing.assert_close(found, scales[0] - scales[1], rtol=1e-4, atol=1e-5)
    after = {
        name.replace(".base_layer", ""): p
        for name, p in tiny_prior.parts.unet.named_parameters()
        if "lora" not in name
    }
    assert set(before) >= set(after)
    assert all(torch.equal(before[name], after[name]) for name in after)


def test_it_learns_what_the_renders_are_and_the_prior_does_not(
    tiny_prior: StableDiffusionPrior,
) -> None:
    render = torch.full((1, 4, 16, 16), 0.7)
    method, draws = _make(tiny_prior, 1e-2), _draws()
    condition = tiny_prior.condition(PROMPT, [View(120.0)])
    noise = torch.randn(render.shape, generator=Generator().manual_seed(1))
    when = torch.tensor([300])

    def prior_estimate() -> torch.Tensor:
        with torch.no_grad():
            return tiny_prior.predict_noise(noise, when, condition, guidance_scale=1.0)

    untouched = prior_estimate()

    def error() -> float:
        total = 0.0
        for t in (100, 300, 500, 800):
            alpha_bar = tiny_prior.alphas_cumprod[t]
            noisy = alpha_bar.sqrt() * render + (1 - alpha_bar).sqrt() * noise
            with torch.no_grad():
                total += float((method._of_renders(noisy, t, VIEW) - noise).square().mean())
        return total

    # Noise that carries nothing can at best be answered with nothing.
    floor = 4 * float(noise.square().mean())
    before = error() - floor
    for _ in range(25):
        method.learn(render, VIEW, draws)
    assert error() - floor < 0.85 * before
    assert torch.equal(prior_estimate(), untouched)
    # The camera is among what it learned.
    noisy = torch.randn(render.shape, generator=Generator().manual_seed(2))
    with torch.no_grad():
        other = method._of_renders(noisy, 300, SeenView(125.0, -20.0, VIEW.labels))
        assert float((method._of_renders(noisy, 300, VIEW) - other).abs().max()) > 0.0


def test_it_continues_from_its_state(tiny_prior: StableDiffusionPrior) -> None:
    render = torch.full((1, 4, 16, 16), 0.7)
    method, draws = _make(tiny_prior), _draws()
    for _ in range(2):
        method.learn(render, VIEW, draws)
    kept = torch.utils._pytree.tree_map(
        lambda x: x.clone() if isinstance(x, torch.Tensor) else x, method.state_dict()
    )
    states = []
    for again in (method, _make(tiny_prior)):
        if again is not method:
            again.load_state_dict(kept)
        again.learn(render, VIEW, _draws(9))
        states.append({name: p.detach().clone() for name, p in again._lora.items()})
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_without_peft_one_sentence_says_so(
    tiny_prior: StableDiffusionPrior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "installed", lambda *names: False)
    with pytest.raises(HumanRefError) as error:
        _make(tiny_prior)
    assert error.value.code == "missing_package"
    assert "humanref[vsd]" in error.value.hint
