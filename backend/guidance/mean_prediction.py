"""What Ref-SDS pulls a view towards, without its noise: the mean of the prior's clean pictures.

The residual of 3.3.1 is w(t) sqrt(alpha_bar / (1 - alpha_bar)) (z - z0_hat): a pull towards the prior's
one-step clean picture z0_hat, different for each noise. Its mean over several noises is the same pull with
less variance; kept for a while, it costs nothing in the steps between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

from backend.guidance.denoiser import ReferenceDenoiser, SeenView
from backend.guidance.mirror import MirrorAnchor
from backend.guidance.prior import add_noise, clean_from_noise
from backend.guidance.protocol import Draws, GuidedPicture, PaintedView
from backend.guidance.ref_sds import TimestepRange
from backend.guidance.refinement import ViewBank
from backend.threads import side_by_side

# Share of the picture's side over which colours are compared: wider than folds and most patterns.
_PATCH = 9 / 128
# Details lie between these widths; so much of them, as root mean squares, a prediction keeps of what it
# believes; those much weaker do not count. Chosen on validation people.
_DETAIL = (3 / 128, 11 / 128)
_KEPT_DETAIL, _LEAST_DETAIL = 0.8, 0.05
# A pattern is everywhere; what stands out from its surroundings (this wide), by so many times their energy,
# is none.
_SURROUNDINGS = 41 / 128
_STANDS_OUT = (0.8, 1.8)


@dataclass(frozen=True)
class _Drawn:
    """The chance of one prediction, drawn beforehand: the same whatever runs beside it."""

    t: int
    noise: Float[Tensor, "1 c h w"]
    generator: Generator


class MeanPrediction:
    """A better picture of a view, see the module's text.

    Args:
        denoiser: with the reference; its prior encodes and decodes.
        timesteps: what t is drawn from, anew for each noise.
        noises: how many predictions are averaged.
    """

    def __init__(self, denoiser: ReferenceDenoiser, timesteps: TimestepRange, noises: int) -> None:
        self._denoiser, self._timesteps, self._noises = denoiser, timesteps, noises

    @torch.no_grad()
    def refine(
        self, picture: Float[Tensor, "1 3 n n"], view: SeenView, draws: Draws, progress: float = 0.0
    ) -> Float[Tensor, "1 3 m m"]:
        """The picture to pull towards, at the prior's own resolution, sRGB in [0, 1].

        Args:
            picture: the render over plain grey.
            progress: share of the run that is done.
        """
        prior = self._denoiser.prior
        clean = prior.encode(picture)
        drawn = [self._draw(clean, draws, progress) for _ in range(self._noises)]

        @torch.no_grad()  # Threads have modes of their own.
        def predicted(one: _Drawn) -> Tensor:
            alpha_bar = prior.alphas_cumprod[one.t : one.t + 1]
            noisy = add_noise(clean, one.noise, alpha_bar)
            eps = self._denoiser.noise(noisy, one.t, view, one.noise, one.generator)
            return clean_from_noise(eps, noisy, alpha_bar)

        if clean.device.type == "cpu":
            pictures = side_by_side(predicted, drawn)
        else:
            pictures = [predicted(one) for one in drawn]
        found = prior.decode(torch.stack(pictures).mean(0))
        size = (found.shape[-2], found.shape[-1])
        return torch.where(torch.isfinite(found), found, resized(picture, size))

    def _draw(self, clean: Tensor, draws: Draws, progress: float) -> _Drawn:
        t = self._timesteps.draw(progress, draws.host)
        noise = torch.randn(clean.shape, generator=draws.device, device=clean.device)
        seed = int(torch.randint(2**62, (), generator=draws.host))
        return _Drawn(t, noise, Generator().manual_seed(seed))


def resized(picture: Float[Tensor, "1 c n n"], size: tuple[int, int]) -> Float[Tensor, "1 c m m"]:
    """A picture at another size."""
    if picture.shape[-2:] == size:
        return picture
    shrinks = picture.shape[-1] > size[1]
    return functional.interpolate(picture, size, mode="bilinear", antialias=shrinks)


def objection(
    carried: Float[Tensor, "1 3 n n"],
    found: Float[Tensor, "1 3 n n"],
    opacity: Float[Tensor, "n n"],
    tolerance: float,
) -> Float[Tensor, "1 1 n n"]:
    """How far a prediction is to be followed, 0 to 1, on the person: where tones differ or details are gone.

    A small prior is right where it finds a face on the back of a head or no opening on a jacket's, and
    cannot know where the dots of a fabric lie; following it there would wipe the pattern away. So means
    over a patch are compared, d^2 / (d^2 + tolerance^2), and coarse details where those of the photo's
    texture stand out from what is around them: a pattern is everywhere, and only comes back paler. A
    tolerance of 0 follows the prediction everywhere.
    """
    person = opacity[None, None]
    if tolerance == 0.0:
        return person
    side = carried.shape[-1]
    difference = _box((found - carried) * person, _PATCH * side)
    difference = functional.avg_pool2d(difference, 3, 1, 1)
    cover = functional.avg_pool2d(_box(person, _PATCH * side), 3, 1, 1)
    square = (difference / cover.clamp_min(0.2)).square().sum(1, keepdim=True)
    other_tone = square / (square + tolerance**2)
    return (1.0 - (1.0 - other_tone) * (1.0 - _gone(carried, found, person))) * person


def _gone(
    carried: Float[Tensor, "1 3 n n"],
    found: Float[Tensor, "1 3 n n"],
    person: Float[Tensor, "1 1 n n"],
) -> Float[Tensor, "1 1 n n"]:
    """Where details of the carried picture stand out and a prediction, there or near, has none, 0 to 1."""
    side = carried.shape[-1]

    def mean(values: Float[Tensor, "1 c n n"], share: float) -> Float[Tensor, "1 c n n"]:
        inside = _box(values * person, share * side)
        return inside / _box(person, share * side).clamp_min(0.05)

    def energy(picture: Float[Tensor, "1 3 n n"]) -> Float[Tensor, "1 1 n n"]:
        fine, coarse = (mean(picture, width) for width in _DETAIL)
        return (fine - coarse).square().sum(1, keepdim=True)

    own = energy(carried)
    strength = mean(own, _PATCH)
    left = (mean(energy(found), _PATCH) / strength.clamp_min(1e-6)).sqrt()
    times = strength / mean(own, _SURROUNDINGS).clamp_min(1e-6)
    low, high = _STANDS_OUT
    stands_out = ((times - low) / (high - low)).clamp(0.0, 1.0)
    strong = strength / (strength + _LEAST_DETAIL**2)
    return (1.0 - left / _KEPT_DETAIL).clamp(0.0, 1.0) * strong * stands_out


def _box(picture: Float[Tensor, "1 c n n"], width: float) -> Float[Tensor, "1 c n n"]:
    """Means over a square, an odd number of pixels wide; zero beyond the picture."""
    odd = max(1, round(width) // 2 * 2 + 1)
    rows = functional.avg_pool2d(picture, (odd, 1), 1, (odd // 2, 0))
    return functional.avg_pool2d(rows, (1, odd), 1, (0, odd // 2))


class KeptDistillation:
    """Ref-SDS towards kept mean predictions of a ring of views, where they object to the photo's texture.

    Args:
        prediction: makes a view's picture.
        bank: keeps them, each for some steps.
        strength: multiplies the loss.
        background: plain grey that stands behind the person.
        tolerance: see :func:`objection`.
        anchor: the photo's texture carried round the body, which is told of objections; without it
            predictions are compared with the render itself.
        passes: how often a picture is predicted, each time from the one that the objections so far have
            corrected: shown a print on the back once more, paler, a prior takes more of it away.
    """

    def __init__(
        self,
        prediction: MeanPrediction,
        bank: ViewBank,
        strength: float,
        background: float,
        tolerance: float = 0.0,
        anchor: MirrorAnchor | None = None,
        passes: int = 1,
    ) -> None:
        self._prediction, self._bank = prediction, bank
        self._strength, self._background = strength, background
        self._tolerance, self._anchor, self._passes = tolerance, anchor, passes

    def loss(
        self, step: int, picture: GuidedPicture, view: SeenView, progress: float, draws: Draws
    ) -> Float[Tensor, ""]:
        """Mean squared distance of the person's colours to the view's kept picture, times the strength.

        Every pixel counts as far as the kept picture objects to what is there. It is made when none is
        there or it is too old; ``picture.view`` must name a view of the ring.
        """
        index = picture.view.bank
        if index is None:
            raise ValueError("a kept prediction belongs to a view of the ring")
        render = picture.over(torch.full_like(picture.background, self._background))
        kept = self._bank.get(index, step)
        if kept is None:
            self._bank.put(index, step, self._made(picture, render.detach(), view, progress, draws))
            kept = self._bank.get(index, step)
            assert kept is not None
        side = render.shape[-1]
        kept = resized(kept, (side, side))
        # What the prior painted around the person is nobody's.
        person = picture.opacity.detach()
        error = (render - kept[:, :3]).square().mean(1)[0] * kept[0, 3]
        return self._strength * (error * person).sum() / person.sum().clamp_min(1.0)

    @torch.no_grad()
    def _made(
        self,
        picture: GuidedPicture,
        render: Float[Tensor, "1 3 n n"],
        view: SeenView,
        progress: float,
        draws: Draws,
    ) -> Float[Tensor, "1 4 n n"]:
        """The prediction, and how far it is to be followed."""
        side = render.shape[-1]
        person = picture.opacity.detach()
        points = picture.points.reshape(-1, 3)
        normal = functional.normalize(picture.normal.detach().reshape(-1, 3), dim=-1)
        carried = render
        if self._anchor is not None:
            texture = self._anchor.mirror.target(points, normal).T.reshape(1, 3, side, side)
            carried = texture * person + self._background * (1.0 - person)
        found = start = render
        share = torch.zeros_like(render[:, :1])
        for _ in range(self._passes):
            found = resized(self._prediction.refine(start, view, draws, progress), (side, side))
            share = objection(carried, found, person, self._tolerance)
            start = start + (found - start) * share
        if self._anchor is not None:
            self._anchor.objections.add(points, normal, share.flatten(), person.flatten())
        return torch.cat([found, share], 1)

    def painted(self, index: int, azimuth: float) -> PaintedView | None:
        """The newest kept picture of a level view of the ring, which is seen from ``azimuth`` degrees."""
        kept = self._bank.newest(index)
        if kept is None:
            return None
        rgb, share = kept[0, :3].permute(1, 2, 0).cpu().numpy(), kept[0, 3].cpu().numpy()
        return PaintedView(azimuth, rgb, share)

    def state_dict(self) -> dict[str, Any]:
        """The kept pictures, and what the anchor was told."""
        state = self._bank.state_dict()
        if self._anchor is not None:
            state["objections"] = self._anchor.objections.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue from :meth:`state_dict`."""
        self._bank.load_state_dict(state, device)
        if self._anchor is not None:
            self._anchor.objections.load_state_dict(state["objections"], device)
