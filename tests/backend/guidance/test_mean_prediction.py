"""Kept Ref-SDS: its mean is the mean of the residuals, and it leaves alone what it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import pytest
import torch
from torch import Tensor

from backend.guidance.denoiser import ReferenceDenoiser, SeenView
from backend.guidance.mean_prediction import KeptDistillation, MeanPrediction, objection
from backend.guidance.mirror import MirrorAnchor, MirrorGuidance
from backend.guidance.objections import Objections
from backend.guidance.prior import PredictionType, add_noise, noise_from_prediction
from backend.guidance.protocol import Draws, GuidedPicture, PictureView
from backend.guidance.ref_sds import TimestepRange
from backend.guidance.refinement import ViewBank

N = 16


class _Painter(ReferenceDenoiser):
    """A prior whose clean picture is known: a constant plus a tenth of the noise that was added."""

    def __init__(self, tone: float) -> None:
        self.tone, self.asked = tone, 0
        self.noises: list[Tensor] = []
        self.alphas_cumprod = torch.linspace(0.999, 0.01, 1000)
        self.prior: Any = self

    def encode(self, images: Tensor) -> Tensor:
        return images * 2.0 - 1.0

    def decode(self, latents: Tensor) -> Tensor:
        return (latents * 0.5 + 0.5).clamp(0.0, 1.0)

    def noise(self, noisy: Tensor, t: int, view: Any, noise: Tensor, generator: Any) -> Tensor:
        self.asked += 1
        self.noises.append(noise)
        clean = torch.full_like(noisy, self.tone) + 0.1 * noise
        alpha_bar = self.alphas_cumprod[t : t + 1]
        return noise_from_prediction(clean, noisy, alpha_bar, PredictionType.X0)


def _draws(seed: int = 0) -> Draws:
    generator = torch.Generator().manual_seed(seed)
    return Draws(generator, generator)


def _view() -> SeenView:
    return SeenView(180.0, 0.0, torch.ones(1, N, N, dtype=torch.long))


def _picture(index: int | None, tone: float = 0.3) -> GuidedPicture:
    opacity = torch.zeros(N, N)
    opacity[4:12, 4:12] = 1.0
    background = torch.tensor([0.9, 0.1, 0.2])
    color = tone * opacity + background[None, :, None, None] * (1 - opacity)
    points, normal = torch.zeros(N, N, 3), torch.zeros(N, N, 3)
    view = PictureView(180.0, 0.0, N, index)
    return GuidedPicture(view, color.requires_grad_(), opacity, normal, points, background)


def _prediction(painter: _Painter, noises: int) -> MeanPrediction:
    return MeanPrediction(painter, TimestepRange(400, 600, 500), noises)


def test_the_picture_is_the_mean_of_the_one_step_predictions() -> None:
    painter = _Painter(0.2)
    found = _prediction(painter, 5).refine(torch.full((1, 3, N, N), 0.5), _view(), _draws())
    assert painter.asked == 5
    mean = torch.full((1, 3, N, N), 0.2) + 0.1 * torch.stack(painter.noises).mean(0)
    assert torch.allclose(found, mean * 0.5 + 0.5, atol=1e-4)


def test_predictions_do_not_depend_on_what_runs_beside_them() -> None:
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            picture = torch.full((1, 3, N, N), 0.5)
            found.append(_prediction(_Painter(0.2), 5).refine(picture, _view(), _draws()))
    finally:
        numba.set_num_threads(before)
    assert torch.equal(*found)


def test_the_pull_is_the_mean_residual_of_ref_sds() -> None:
    """w(t)(eps_hat - eps) = w(t) sqrt(a / (1 - a)) (z - z0_hat): the same direction, noise by noise."""
    painter = _Painter(-0.4)
    clean, t = torch.rand(1, 3, N, N) * 2 - 1, 500
    noise = torch.randn(1, 3, N, N)
    a = painter.alphas_cumprod[t : t + 1]
    eps = painter.noise(add_noise(clean, noise, a), t, None, noise, None)
    guess = torch.full_like(clean, -0.4) + 0.1 * noise
    assert torch.allclose(eps - noise, (a / (1 - a)).sqrt() * (clean - guess), atol=1e-4)


def test_small_differences_stay_and_large_ones_are_followed() -> None:
    own, person = torch.full((1, 3, N, N), 0.5), torch.ones(N, N)
    for size, low, high in ((0.01, 0.0, 0.05), (0.45, 0.9, 1.0)):
        assert low <= float(objection(own, own + size, person, 0.2).mean()) <= high
    # The formula itself, where the difference is the same everywhere.
    square = 3 * 0.1**2
    found = objection(own, own + 0.1, person, 0.2)
    assert float(found[0, 0, 8, 8]) == pytest.approx(square / (square + 0.2**2), rel=1e-4)
    assert torch.equal(objection(own, own + 0.1, person, 0.0), person[None, None])


def test_details_that_a_prediction_lacks_are_an_objection() -> None:
    n = 128
    seam = torch.full((1, 3, n, n), 0.5)
    # Light beside dark: the means over a patch are those of plain cloth.
    seam[..., 60:64], seam[..., 64:68] = 0.8, 0.2
    plain, person = torch.full((1, 3, n, n), 0.5), torch.ones(n, n)
    share = objection(seam, plain, person, 0.2)[0, 0]
    assert float(share[64, 64]) > 0.8
    assert float(share[64, 20]) < 0.05
    # One that is paler, or a little aside, is still believed in.
    assert float(objection(seam, 0.5 + 0.8 * (seam - 0.5), person, 0.2)[0, 0, 64, 64]) < 0.3
    assert float(objection(seam, seam.roll(2, -1), person, 0.2)[0, 0, 64, 64]) < 0.3
    # Nothing is objected to where neither has any.
    assert float(objection(plain, plain + 0.001, person, 0.2).max()) < 0.01


def test_a_pattern_in_other_places_is_no_objection_and_another_colour_is() -> None:
    n = 128
    stripes = ((torch.arange(n) // 2) % 2).float().expand(1, 3, n, n)
    person = torch.ones(n, n)
    shifted = objection(stripes, stripes.roll(2, -1), person, 0.1)[0, 0, 20:-20, 20:-20]
    assert float(shifted.max()) < 0.35
    # Every pixel differs by all there is, yet means agree; a plain patch of half the tone is wrong.
    plain = objection(stripes, torch.full_like(stripes, 0.2), person, 0.1)[0, 0, 20:-20, 20:-20]
    assert float(plain.min()) > 0.8
    # What lies around the person counts for nothing.
    inside = torch.zeros(n, n)
    inside[:, 40:80] = 1.0
    beside = stripes * inside + (1.0 - inside) * 0.9
    assert float(objection(stripes * inside, beside, inside, 0.1).max()) < 1e-3


def _mirror(tone: float) -> MirrorGuidance:
    known = torch.ones(N, N, dtype=torch.bool).numpy()
    rgb = torch.full((N, N, 3), tone).numpy()
    nothing = ~known
    mask = known.astype("float32")
    return MirrorGuidance(rgb, mask, nothing, nothing, known, torch.device("cpu"))


def test_the_anchor_hears_of_objections_and_a_checkpoint_keeps_them() -> None:
    def method(tone: float) -> tuple[KeptDistillation, Objections]:
        objections = Objections(torch.device("cpu"))
        anchor = MirrorAnchor(_mirror(tone), 0, 1.0, objections)
        made = KeptDistillation(
            _prediction(_Painter(0.2), 3), ViewBank(4, 10), 1.0, 0.5, 0.2, anchor
        )
        return made, objections

    point, back = torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]])
    said = {}
    # The prior paints 0.6: the photo's texture agrees, or is black.
    for tone in (0.6, 0.0):
        distillation, objections = method(tone)
        picture = _picture(0)
        away = torch.zeros_like(picture.normal)
        away[..., 2] = -1.0
        picture = replace(picture, normal=away)
        assert float(objections.at(point, back)) == 0.0
        first = distillation.loss(3, picture, _view(), 0.0, _draws())
        said[tone] = float(objections.at(point, back))
        again, remembered = method(tone)
        again.load_state_dict(distillation.state_dict(), torch.device("cpu"))
        assert torch.equal(again.loss(4, picture, _view(), 0.0, _draws(7)), first)
        assert float(remembered.at(point, back)) == said[tone]
    assert said[0.6] < 0.1
    assert said[0.0] > 0.8


def test_a_kept_picture_is_made_once_and_pulls_on_the_person_alone() -> None:
    painter = _Painter(0.2)
    method = KeptDistillation(_prediction(painter, 3), ViewBank(4, 10), 2.0, 0.5)
    picture = _picture(1)
    loss = method.loss(100, picture, _view(), 0.0, _draws())
    assert painter.asked == 3
    (gradient,) = torch.autograd.grad(loss, picture.color)
    assert gradient[:, :, 4:12, 4:12].abs().min() > 0
    outside = gradient.clone()
    outside[:, :, 4:12, 4:12] = 0
    assert float(outside.abs().max()) == 0.0
    # The person is darker than the prior has it: descending makes it lighter.
    assert float(gradient[:, :, 4:12, 4:12].mean()) < 0
    method.loss(105, _picture(1), _view(), 0.0, _draws(1))
    assert painter.asked == 3
    method.loss(110, _picture(1), _view(), 0.0, _draws(1))
    method.loss(110, _picture(2), _view(), 0.0, _draws(1))
    assert painter.asked == 9
    with pytest.raises(ValueError, match="ring"):
        method.loss(110, _picture(None), _view(), 0.0, _draws())


class _Halver(_Painter):
    """A prior that believes half of what it sees: clean pictures are halfway to black."""

    def noise(self, noisy: Tensor, t: int, view: Any, noise: Tensor, generator: Any) -> Tensor:
        self.asked += 1
        a = self.alphas_cumprod[t : t + 1]
        seen = (noisy - (1 - a).sqrt() * noise) / a.sqrt()
        clean = (seen - 1.0) / 2.0
        return noise_from_prediction(clean, noisy, a, PredictionType.X0)


def test_a_second_pass_starts_from_what_the_first_corrected() -> None:
    for passes, expected in ((1, 0.4), (2, 0.2), (3, 0.1)):
        halver = _Halver(0.0)
        bank = ViewBank(4, 10)
        method = KeptDistillation(_prediction(halver, 2), bank, 1.0, 0.5, passes=passes)
        method.loss(3, _picture(1, tone=0.8), _view(), 0.0, _draws())
        assert halver.asked == 2 * passes
        painted = method.painted(1, 90.0)
        assert painted is not None
        assert painted.rgb[8, 8] == pytest.approx(expected, abs=0.01)


def test_the_newest_picture_of_a_view_is_told_however_old() -> None:
    method = KeptDistillation(_prediction(_Painter(0.2), 2), ViewBank(4, 10), 1.0, 0.5)
    assert method.painted(1, 90.0) is None
    method.loss(3, _picture(1), _view(), 0.0, _draws())
    painted = method.painted(1, 90.0)
    assert painted is not None
    assert painted.azimuth == 90.0
    assert painted.rgb.shape == (N, N, 3)
    # The painter paints 0.2 in [-1, 1], and some noise; it is followed on the person alone.
    assert painted.rgb.mean() == pytest.approx(0.6, abs=0.01)
    assert painted.share[8, 8] == 1.0
    assert painted.share[0, 0] == 0.0
    assert method.painted(2, 90.0) is None


def test_what_is_kept_survives_a_checkpoint() -> None:
    painter = _Painter(0.2)
    first = KeptDistillation(_prediction(painter, 2), ViewBank(4, 10), 1.0, 0.5)
    loss = first.loss(3, _picture(0), _view(), 0.0, _draws())
    again = KeptDistillation(_prediction(painter, 2), ViewBank(4, 10), 1.0, 0.5)
    again.load_state_dict(first.state_dict(), torch.device("cpu"))
    assert torch.equal(again.loss(4, _picture(0), _view(), 0.0, _draws(5)), loss)
    assert painter.asked == 2
