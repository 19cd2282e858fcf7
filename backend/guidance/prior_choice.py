"""The one place that loads a diffusion prior and builds the method that distils it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from backend.body.model import PosedBody
from backend.errors import HumanRefError
from backend.events import OnEvent, ignore_events
from backend.geometry.frames import FieldToWorld
from backend.guidance.body_views import BodyViews
from backend.guidance.denoiser import PhotoReference, ReferenceDenoiser
from backend.guidance.distillation import REFERENCE_BACKGROUND, LateRefinement, PriorGuidance
from backend.guidance.memory import GuidanceMemory, spend
from backend.guidance.perceptual import choose_perceptual
from backend.guidance.prior import DiffusionPrior, Prompt, Reference, View
from backend.guidance.ref_sds import NoiseResidual, Residual, ScoreDistillation, TimestepRange
from backend.guidance.reference_cache import ReferenceCache
from backend.guidance.refinement import UniPCRefinement, ViewBank
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.view_schedule import ViewSchedule
from backend.settings import GenerateSettings, PriorSettings

_TITLES: dict[str, str] = {
    "ref-sds": "Ref-SDS with region-aware attention",
    "ref-sds-global": "Ref-SDS without regions",
    "sds": "plain SDS: text only, the photo unseen",
    "vsd": "VSD: text only, the photo unseen, with a LoRA that learns the renders",
}


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


def load_prior(
    settings: PriorSettings, device: torch.device, on_event: OnEvent = ignore_events
) -> DiffusionPrior:
    """The prior that the settings name, on its device; never downloads.

    Raises:
        HumanRefError: ``prior_missing`` where none is named; see :meth:`StableDiffusionPrior.load`.
    """
    source = settings.folder or settings.repo
    if source is None:
        raise prior_missing()
    return StableDiffusionPrior.load(
        source, device=device, revision=settings.revision, on_event=on_event
    )


def prior_missing() -> HumanRefError:
    """No prior was named."""
    from backend.guidance.stable_diffusion_files import (
        DEFAULT_REPO,
        DEFAULT_REVISION,
        download_command,
    )

    return HumanRefError(
        "prior_missing",
        "This guidance needs a diffusion model, and none was named.",
        f"Fetch Stable Diffusion 1.5 once ({download_command(DEFAULT_REPO, DEFAULT_REVISION)}), then "
        f"add --prior {DEFAULT_REPO}, or --prior FOLDER.",
    )


def make_picture_guidance(
    run: GenerateSettings,
    prior: DiffusionPrior,
    person: GuidedPerson,
    device: torch.device,
    memory: GuidanceMemory | None = None,
) -> PriorGuidance:
    """The guidance ``ref-sds``, ``ref-sds-global``, ``sds`` or ``vsd`` that the settings name.

    Args:
        memory: where the reference cache may live; plain device memory when not given.

    Raises:
        HumanRefError: settings that make no sense, packages or weights that are missing.
    """
    name, settings, seed = run.guidance, run.prior, run.seed
    prompt = Prompt(person.caption)
    sees_photo = name in ("ref-sds", "ref-sds-global")
    photo = photo_reference(prior, person, device) if sees_photo else None
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
    )
    method: Residual
    watching: ReferenceDenoiser | None = None
    if name == "vsd":
        method = _vsd(prior, prompt, settings, seed)
    else:
        scale = settings.text_guidance_scale if name == "sds" else settings.guidance_scale
        watching = denoiser(scale)
        method = NoiseResidual(watching, _TITLES[name])

    def spare(allowed: GuidanceMemory) -> None:
        if isinstance(prior, StableDiffusionPrior):
            spend(prior.parts.vae, allowed)
        if watching is not None and photo is not None and settings.reference_noise == "cached":
            # The old one goes first: both would not fit.
            watching.cache = None
            watching.cache = _cache(prior, prompt, photo, settings, allowed, seed)

    spare(memory or GuidanceMemory())
    timesteps = TimestepRange(settings.t_min, settings.t_max, settings.t_max_end)
    distillation = ScoreDistillation(prior, method, timesteps)
    late, told = None, "no refinement"
    if settings.bank_views > 0 and settings.refine_from < 1.0:
        perceptual = choose_perceptual(settings.features, device)
        refinement = UniPCRefinement(
            denoiser(settings.guidance_scale), settings.refine_steps, settings.refine_last
        )
        bank = ViewBank(settings.bank_views, settings.bank_refresh)
        late = LateRefinement(refinement, bank, perceptual)
        told = f"refinement by UniPC, {perceptual.name} ({perceptual.why})"
    # A folder's place on this machine is nobody's business.
    model = Path(prior.name).name if settings.folder is not None else prior.name
    return PriorGuidance(
        name,
        f"{_TITLES[name]}; prior {model} (licence: {prior.licence}); {told}",
        schedule,
        BodyViews(
            person.body, person.field_to_world, person.regions, settings.target_regions, device
        ),
        torch.from_numpy(person.tightness).to(device),
        distillation,
        late,
        prior.resolution,
        spare,
    )


@torch.no_grad()
def photo_reference(
    prior: DiffusionPrior, person: GuidedPerson, device: torch.device
) -> PhotoReference:
    """The person of the photo on a plain grey, as the prior's latents, with regions and face."""
    share = person.mask[..., None]
    picture = person.rgb * share + REFERENCE_BACKGROUND * (1.0 - share)
    stacked = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)
    size = person.regions.shape
    # A pixel of the coarser map is face if any of it is: it is hidden whole.
    face = torch.nn.functional.adaptive_max_pool2d(
        torch.from_numpy(person.face)[None].float(), size
    )
    return PhotoReference(
        prior.encode(torch.from_numpy(stacked).to(device)),
        torch.from_numpy(person.regions).to(device),
        face[0].bool().to(device),
    )


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
        raise HumanRefError(
            "vsd_unsupported", f"VSD is not possible with {prior.name}.", "Use ref-sds or sds."
        )
    return VariationalResidual(
        prior,
        prompt,
        guidance_scale=settings.guidance_scale,
        rank=settings.lora_rank,
        learning_rate=settings.lora_learning_rate,
        seed=seed,
    )
