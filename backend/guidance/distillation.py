"""The guidance of a diffusion prior as the loop sees it: distillation, refinement, side normals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

from backend.guidance.body_views import BodyView, BodyViews
from backend.guidance.denoiser import SeenView
from backend.guidance.mean_prediction import KeptDistillation
from backend.guidance.memory import GuidanceMemory
from backend.guidance.perceptual import PerceptualLoss
from backend.guidance.protocol import Draws, GuidedPicture, PaintedView, PictureView
from backend.guidance.ref_sds import ScoreDistillation
from backend.guidance.refinement import UniPCRefinement, ViewBank
from backend.guidance.target_regions import with_background
from backend.guidance.view_maps import PhotoOnBody
from backend.guidance.view_schedule import ViewSchedule

REFERENCE_BACKGROUND = 0.5
# Cosines towards the photo's camera: from the first on a prior has a say, from the second on none is left.
_FACING, _TURNED = 0.45, 0.15


@dataclass(frozen=True)
class LateRefinement:
    """What the end of a run adds: refined pictures and the distance to them."""

    denoising: UniPCRefinement
    bank: ViewBank
    perceptual: PerceptualLoss


class PriorGuidance:
    """See :class:`backend.guidance.protocol.PictureGuidance`.

    Args:
        name: the method, as chosen.
        description: for people.
        schedule: which view when.
        body: draws the posed body in those views.
        tightness: how far the body may be trusted, by field x, y (row 0 on top).
        distillation: SDS, Ref-SDS or VSD, anew in each step or kept for some.
        late: refinement; None = never.
        resolution: side of the prior's pictures.
        spare: makes prior and cache spend no more than it is told.
        carrier: makes the maps that the prior asks of every view; None where it asks for none.
        photo_rules: colours that face the photo's camera are the photo's alone.
    """

    terms: tuple[str, ...] = ("sds", "perceptual", "side_normal")

    def __init__(
        self,
        name: str,
        description: str,
        schedule: ViewSchedule,
        body: BodyViews,
        tightness: Float[Tensor, "m m"],
        distillation: ScoreDistillation | KeptDistillation,
        late: LateRefinement | None,
        resolution: int,
        spare: Callable[[GuidanceMemory], None],
        carrier: PhotoOnBody | None = None,
        photo_rules: bool = False,
    ) -> None:
        self._photo_rules = photo_rules
        self._carrier = carrier
        self._spare = spare
        self.name, self.description = name, description
        self._schedule, self._body, self._tightness = schedule, body, tightness
        self._distillation, self._late, self._resolution = distillation, late, resolution

    def view(self, step: int, generator: Generator) -> PictureView | None:
        """The step's view; None before distillation starts."""
        drawn = self._schedule.draw(step, generator)
        if drawn is None:
            return None
        return PictureView(drawn[0], drawn[1], self._resolution, drawn[2])

    def losses(self, step: int, picture: GuidedPicture, draws: Draws) -> dict[str, Tensor]:
        """``sds`` and ``side_normal``, late in the run also ``perceptual``."""
        view, body = picture.view, self._body.at(picture.view.azimuth, picture.view.elevation)
        labels = with_background(body.labels, _at_labels(picture.opacity, body))
        maps: Mapping[str, Tensor] = {}
        if self._carrier is not None and body.picture is not None:
            maps = self._carrier.maps(body.picture, view.azimuth)
        seen = SeenView(view.azimuth, view.elevation, labels, maps)
        if self._photo_rules:
            picture = replace(picture, color=_unseen(picture))
        found = {
            "sds": self._distilled(step, picture, seen, draws),
            "side_normal": side_normal_loss(picture, body, self._tightness),
        }
        if view.bank is not None and self._late is not None:
            found["perceptual"] = self._perceptual(
                self._late, view.bank, step, picture, seen, draws
            )
        return found

    def painted(self, azimuth: float, within: float = 0.0) -> PaintedView | None:
        """The kept mean prediction of the ring's nearest level view."""
        index = self._schedule.level_view(azimuth, within)
        if index is None or not isinstance(self._distillation, KeptDistillation):
            return None
        return self._distillation.painted(index, self._schedule.bank_view(index)[0])

    def _distilled(self, step: int, picture: GuidedPicture, seen: SeenView, draws: Draws) -> Tensor:
        progress, method = self._schedule.progress(step), self._distillation
        if isinstance(method, KeptDistillation):
            return method.loss(step, picture, seen, progress, draws)
        return method.loss(picture.color, seen, progress, draws)

    def _perceptual(
        self,
        late: LateRefinement,
        index: int,
        step: int,
        picture: GuidedPicture,
        seen: SeenView,
        draws: Draws,
    ) -> Tensor:
        """Distance to the view's refined picture, on the person alone."""
        plain = torch.full_like(picture.background, REFERENCE_BACKGROUND)
        render = picture.over(plain)
        refined = late.bank.get(index, step)
        if refined is None:
            late.bank.put(index, step, late.denoising.refine(render.detach(), seen, draws))
            refined = late.bank.get(index, step)
            assert refined is not None
        side = render.shape[-1]
        if refined.shape[-1] != side:
            refined = functional.interpolate(
                refined, (side, side), mode="bilinear", antialias=refined.shape[-1] > side
            )
        # What the prior painted around the person is nobody's.
        share = picture.opacity.detach()
        wanted = refined * share + (1.0 - share) * REFERENCE_BACKGROUND
        return late.perceptual.distance(render, wanted)

    def spare(self, memory: GuidanceMemory) -> None:
        """See :class:`backend.guidance.memory.SparesMemory`."""
        self._spare(memory)

    def state_dict(self) -> dict[str, Any]:
        """The view bank and what the method learned."""
        bank = {} if self._late is None else self._late.bank.state_dict()
        if isinstance(self._distillation, KeptDistillation):
            return {"bank": bank, "kept": self._distillation.state_dict()}
        return {"bank": bank, "method": self._distillation.method.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        if self._late is not None:
            self._late.bank.load_state_dict(state["bank"], self._tightness.device)
        if isinstance(self._distillation, KeptDistillation):
            self._distillation.load_state_dict(state["kept"], self._tightness.device)
        else:
            self._distillation.method.load_state_dict(state["method"])


def _unseen(picture: GuidedPicture) -> Float[Tensor, "1 3 n n"]:
    """The picture's colours, with gradients only where the surface turns away from the photo's camera."""
    facing = functional.normalize(picture.normal.detach(), dim=-1)[..., 2]
    seen = ((facing - _TURNED) / (_FACING - _TURNED)).clamp(0.0, 1.0)
    return picture.color * (1.0 - seen) + picture.color.detach() * seen


def side_normal_loss(
    picture: GuidedPicture, body: BodyView, tightness: Float[Tensor, "m m"]
) -> Float[Tensor, ""]:
    """L2 to the body's normals, most in profile: the paper constrains front and back alone (Fig. 10).

    Weighted by sin^2(azimuth), by where the body is and the render is solid, and by how tightly the
    clothing sits there.
    """
    side = picture.opacity.shape[-1]
    wanted = functional.interpolate(
        body.normal.permute(2, 0, 1)[None], (side, side), mode="bilinear", antialias=True
    )[0].permute(1, 2, 0)
    length = wanted.norm(dim=-1)
    grid = torch.stack([picture.points[..., 0], -picture.points[..., 1]], -1)[None]
    trust = functional.grid_sample(
        tightness[None, None], grid, align_corners=False, padding_mode="border"
    )[0, 0]
    solid = (picture.opacity.detach() > 0.5) & (length > 0.5)
    weight = solid * trust
    profile = math.sin(math.radians(picture.view.azimuth)) ** 2
    unit = wanted / length.clamp_min(1e-6)[..., None]
    error = (picture.normal - unit).square().sum(-1)
    return profile * (error * weight).sum() / weight.sum().clamp_min(1.0)


def _at_labels(opacity: Float[Tensor, "n n"], body: BodyView) -> Float[Tensor, "1 m m"]:
    size = (body.labels.shape[-2], body.labels.shape[-1])
    shrinks = opacity.shape[-1] > size[1]
    return functional.interpolate(
        opacity.detach()[None, None], size, mode="bilinear", antialias=shrinks
    )[0]
