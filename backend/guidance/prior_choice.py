"""The one place that loads a diffusion prior and builds the method that distils it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from backend.body.model import PosedBody
from backend.errors import HumanRefError
from backend.events import OnEvent, ignore_events
from backend.geometry.frames import FieldToWorld
from backend.guidance.body_views import BodyViews
from backend.guidance.compact_files import SHIPPED, is_compact
from backend.guidance.compact_prior import CompactPrior
from backend.guidance.denoiser import PhotoReference, ReferenceDenoiser
from backend.guidance.distillation import REFERENCE_BACKGROUND, LateRefinement, PriorGuidance
from backend.guidance.mean_prediction import KeptDistillation, MeanPrediction
from backend.guidance.memory import GuidanceMemory, spend
from backend.guidance.mirror import MirrorAnchor
from backend.guidance.perceptual import choose_perceptual
from backend.guidance.prior import DiffusionPrior, Prompt, Reference, View
from backend.guidance.ref_sds import NoiseResidual, Residual, ScoreDistillation, TimestepRange
from backend.guidance.reference_cache import ReferenceCache
from backend.guidance.refinement import UniPCRefinement, ViewBank
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.view_maps import PhotoOnBody
from backend.guidance.view_schedule import ViewSchedule
from backend.settings import COMPACT_PRIOR, GenerateSettings, PriorSettings

# Coverage from which on a pixel of the photo surely shows the person.
_SOLID = 0.8
TITLES: dict[str, str] = {
    "ref-sds": "Ref-SDS with region-aware attention",
    "ref-sds-global": "Ref-SDS without regions",
    "sds": "plain SDS: the photo unseen",
    "vsd": "VSD: the photo unseen, with a LoRA that learns the renders",
}
"""What each guidance that distils a prior is called in reports."""


@dataclass(frozen=True)
class GuidedPerson:
    """The person as a prior is told of them; maps on the square crop, row 0 on top."""

    rgb: Float[np.ndarray, "n n 3"]
    mask: Float[np.ndarray, "n n"]
    regions: UInt8[np.ndarray, "m m"]
    face: Bool[np.ndarray, "n n"]
    caption: str
    body: PosedBody
    field_to_world: FieldToWorld
    tightness: Float[np.ndarray, "k k"]
    canonical: Float[np.ndarray, "v 3"] | None = None
    """Places of the body's vertices (:func:`backend.body.canonical.canonical_places`), for priors that ask
    for maps."""


def load_prior(
    settings: PriorSettings, device: torch.device, on_event: OnEvent = ignore_events
) -> DiffusionPrior:
    """The prior that the settings name, or the compact one that ships; never downloads.

    Raises:
        HumanRefError: ``prior_missing``; see :meth:`CompactPrior.load` and
            :meth:`StableDiffusionPrior.load`.
    """
    check_named(settings)
    if uses_compact_prior(settings):
        return CompactPrior.load(device, settings.folder or SHIPPED)
    return StableDiffusionPrior.load(
        settings.folder or settings.repo or "",
        device=device,
        revision=settings.revision,
        on_event=on_event,
    )


def named_prior(preset: PriorSettings, source: str) -> PriorSettings:
    """The preset with the prior at ``source``: a folder, or a hub id, with or without ``@commit``.

    What was chosen for the compact prior is kept for another one of its kind alone.
    """
    folder = Path(source).expanduser()
    if is_compact(folder):
        return replace(COMPACT_PRIOR, folder=folder.absolute())
    if preset == COMPACT_PRIOR:
        preset = PriorSettings()
    if folder.exists() or source.count("/") != 1 or source.startswith((".", "/", "~")):
        return replace(preset, folder=folder.absolute())
    repo, _, revision = source.partition("@")
    return replace(preset, repo=repo, revision=revision or None)


def uses_compact_prior(settings: PriorSettings) -> bool:
    """Whether the settings name the compact prior, shipped or trained by the user."""
    folder = settings.folder
    return settings.repo is None and (folder is None or is_compact(folder))


def check_named(settings: PriorSettings) -> None:
    """Refuse settings made for Stable Diffusion, as the paper preset's are, that name none.

    Raises:
        HumanRefError: ``prior_missing``.
    """
    # The prior that ships was trained beside clean photos and reads them in no other way.
    if settings.folder is None and settings.repo is None and settings.reference_noise != "clean":
        raise prior_missing()


def prior_missing() -> HumanRefError:
    """The method of the paper was asked for with its own numbers, but not its diffusion model."""
    from backend.guidance.stable_diffusion_files import (
        DEFAULT_REPO,
        DEFAULT_REVISION,
        download_command,
    )

    return HumanRefError(
        "prior_missing",
        "The paper preset distils Stable Diffusion, and none was named.",
        f"Fetch Stable Diffusion 1.5 once ({download_command(DEFAULT_REPO, DEFAULT_REVISION)}), then "
        f"add --prior {DEFAULT_REPO}, or --prior FOLDER.",
    )


def make_picture_guidance(
    run: GenerateSettings,
    prior: DiffusionPrior,
    person: GuidedPerson,
    device: torch.device,
    memory: GuidanceMemory | None = None,
    anchor: MirrorAnchor | None = None,
) -> PriorGuidance:
    """The guidance ``ref-sds``, ``ref-sds-global``, ``sds`` or ``vsd`` that the settings name.

    Args:
        memory: where the reference cache may live; plain device memory when not given.
        anchor: keeps the photo's texture where the prior does not object.

    Raises:
        HumanRefError: settings that make no sense, packages or weights that are missing.
    """
    name, settings, seed = run.guidance, run.prior, run.seed
    prompt = Prompt(person.caption)
    needs_maps = bool(prior.required_maps)
    body = BodyViews(
        *(person.body, person.field_to_world, person.regions, settings.target_regions, device),
        person.canonical if needs_maps else None,
    )
    carrier = carry_photo(person, body) if needs_maps else None
    sees_photo = name in ("ref-sds", "ref-sds-global")
    photo = photo_reference(prior, person, device, body, carrier) if sees_photo else None
    gamma = settings.gamma if name == "ref-sds" else 1.0

    def denoiser(scale: float) -> ReferenceDenoiser:
        return ReferenceDenoiser(
            prior,
            prompt,
            scale,
            photo,
            gamma=gamma,
            background_is_region=settings.background_is_region,
            hide_face=settings.hide_face,
            clean_reference=settings.reference_noise == "clean",
        )

    schedule = ViewSchedule(
        steps=run.optimization.steps,
        start=settings.start,
        refine_from=settings.refine_from,
        back_share=settings.back_share,
        elevation=settings.elevation,
        bank=settings.bank_views,
        every=settings.every,
        seed=seed,
    )
    method: Residual
    watching: ReferenceDenoiser | None = None
    if name == "vsd":
        method = _vsd(prior, prompt, settings, seed)
    else:
        scale = settings.text_guidance_scale if name == "sds" else settings.guidance_scale
        watching = denoiser(scale)
        method = NoiseResidual(watching, TITLES[name])

    def spare(allowed: GuidanceMemory) -> None:
        if isinstance(prior, StableDiffusionPrior):
            spend(prior.parts.vae, allowed)
        if watching is not None and photo is not None and settings.reference_noise == "cached":
            # The old one goes first: both would not fit.
            watching.cache = None
            watching.cache = _cache(prior, prompt, photo, settings, allowed, seed)

    spare(memory or GuidanceMemory())
    timesteps = TimestepRange(settings.t_min, settings.t_max, settings.t_max_end)
    distillation: ScoreDistillation | KeptDistillation
    late, told = None, "no refinement"
    if settings.kept_noises > 0 and watching is not None:
        distillation = KeptDistillation(
            MeanPrediction(watching, timesteps, settings.kept_noises),
            ViewBank(settings.bank_views, settings.bank_refresh),
            settings.strength,
            REFERENCE_BACKGROUND,
            settings.tolerance,
            anchor,
            settings.kept_passes,
        )
        told = f"mean of {settings.kept_noises} predictions a view, "
        told += f"{settings.kept_passes} times, kept for a while"
    else:
        distillation = ScoreDistillation(prior, method, timesteps, settings.strength)
    if settings.kept_noises == 0 and settings.bank_views > 0 and settings.refine_from < 1.0:
        perceptual = choose_perceptual(settings.features, device)
        refinement = UniPCRefinement(
            denoiser(settings.guidance_scale), settings.refine_steps, settings.refine_last
        )
        bank = ViewBank(settings.bank_views, settings.bank_refresh)
        late = LateRefinement(refinement, bank, perceptual)
        told = f"refinement by UniPC, {perceptual.name} ({perceptual.why})"
    # A folder's place on this machine is nobody's business.
    model = Path(prior.name).name if settings.folder is not None else prior.name
    model = model.removesuffix(" prior")
    return PriorGuidance(
        name,
        f"{TITLES[name]}; prior {model} (licence: {prior.licence}); {told}",
        schedule,
        body,
        torch.from_numpy(person.tightness).to(device),
        distillation,
        late,
        prior.resolution,
        spare,
        carrier,
        settings.photo_rules,
    )


@torch.no_grad()
def photo_reference(
    prior: DiffusionPrior,
    person: GuidedPerson,
    device: torch.device,
    body: BodyViews | None = None,
    carrier: PhotoOnBody | None = None,
) -> PhotoReference:
    """The person of the photo on a plain grey, as the prior's latents, with regions and face.

    ``body`` and ``carrier`` make the maps of its own view, for priors that ask for them.
    """
    picture = over_grey(person)
    stacked = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)
    maps: Mapping[str, Tensor] = {}
    if body is not None and carrier is not None:
        front = body.at(0.0, 0.0).picture
        assert front is not None
        maps = carrier.maps(front, 0.0)
    size = person.regions.shape
    # A pixel of the coarser map is face if any of it is: it is hidden whole.
    face = torch.nn.functional.adaptive_max_pool2d(
        torch.from_numpy(person.face)[None].float(), size
    )
    return PhotoReference(
        prior.encode(torch.from_numpy(stacked).to(device)),
        torch.from_numpy(person.regions).to(device),
        face[0].bool().to(device),
        maps,
    )


def over_grey(person: GuidedPerson) -> Float[np.ndarray, "n n 3"]:
    """The person on the plain grey that stands behind every reference."""
    share = person.mask[..., None]
    return np.asarray(person.rgb * share + REFERENCE_BACKGROUND * (1.0 - share))


def carry_photo(person: GuidedPerson, body: BodyViews) -> PhotoOnBody:
    """What carries the photo's colours to other views of the body."""
    front = body.at(0.0, 0.0).picture
    assert front is not None
    size = (front.region.shape[1], front.region.shape[0])
    small = cv2.resize(over_grey(person).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(person.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return PhotoOnBody(small, mask > _SOLID, front)


def _cache(
    prior: DiffusionPrior,
    prompt: Prompt,
    photo: PhotoReference,
    settings: PriorSettings,
    memory: GuidanceMemory,
    seed: int,
) -> ReferenceCache:
    if not isinstance(prior, StableDiffusionPrior):
        raise HumanRefError(
            "cache_unsupported",
            f"{prior.name} has no reference cache.",
            "Use the reference noise 'shared'.",
        )
    branches = 1 if settings.guidance_scale == 1.0 else 2
    plan = memory.plan(settings.t_min, settings.t_max, branches)
    reference = Reference(photo.latents, prior.condition(prompt, [View(0.0)]))
    return ReferenceCache.build(prior.unet, reference, plan, place=memory.place, seed=seed)


def _vsd(prior: DiffusionPrior, prompt: Prompt, settings: PriorSettings, seed: int) -> Residual:
    from backend.guidance.vsd import VariationalResidual

    if not isinstance(prior, StableDiffusionPrior):
        raise vsd_unsupported(prior.name)
    return VariationalResidual(
        prior,
        prompt,
        guidance_scale=settings.guidance_scale,
        rank=settings.lora_rank,
        learning_rate=settings.lora_learning_rate,
        seed=seed,
    )


def vsd_unsupported(prior: str) -> HumanRefError:
    """VSD learns a LoRA of Stable Diffusion's network."""
    return HumanRefError(
        "vsd_unsupported",
        f"VSD is not possible with {prior}.",
        "Use ref-sds or sds, or name Stable Diffusion with --prior.",
    )
