"""A photo's way to a character: Figure 3 of the paper as two functions.

``estimate`` looks at the photo and proposes a body; a person may correct it; ``generate`` fits the field
and makes the rigged character. Neither knows a socket or a terminal: both report through events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from backend.body import load_body
from backend.body.canonical import canonical_places
from backend.body.model import BodyModel, PosedBody
from backend.body.posing import check_pose
from backend.devices import choose_device
from backend.errors import HumanRefError
from backend.events import OnEvent, Preview, StageFinished, StageStarted, Warned, ignore_events
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.encodings.protocol import HashEncoding
from backend.field.networks import HumanField
from backend.fitting.fit import FitResult, adopt_pose, check_locks, fit_body, refine_pose
from backend.fitting.pose_file import check_photo_size, read_pose
from backend.fitting.pose_schema import PoseFile
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.guidance.memory import PriorSizes
from backend.guidance.prior import DiffusionPrior
from backend.guidance.prior_choice import load_prior, uses_compact_prior
from backend.guidance.protocol import CarriedPhoto, PaintedView
from backend.guidance.stable_diffusion import default_dtype
from backend.guidance.stable_diffusion_files import check_folder, find_folder
from backend.meshing.color_fit import FacePicture
from backend.meshing.flanks import NEAR, SIDES, paint_flanks
from backend.meshing.limbs import LimbMaps
from backend.meshing.mending import mend
from backend.meshing.mesh import extract_mesh, preview_mesh
from backend.meshing.photo_view import PhotoView
from backend.meshing.side_colors import settle_sides
from backend.meshing.side_picture import SidePicture
from backend.meshing.texture import bake_texture
from backend.optimization.loop import FieldOptimizer, FitSummary
from backend.optimization.memory_tiers import PriorUse, plan_memory
from backend.optimization.problem import FitStart, build_problem, frame_person, photo_trust
from backend.optimization.targets import CropMaps
from backend.perception.overrides import Overrides, read_caption
from backend.perception.perceive import perceive
from backend.perception.photo import load_photo
from backend.perception.providers import PerceptionChoices, make_normal_estimator
from backend.perception.subject import Photo, Subject
from backend.rendering.level import RenderedSurface
from backend.rigging.character import Character, rig, scale_to_height
from backend.settings import PRIOR_GUIDANCE, GenerateSettings, PriorSettings
from backend.threads import configure_threads

LoadPrior = Callable[[PriorSettings, torch.device, OnEvent], DiffusionPrior]


@dataclass(frozen=True)
class EstimateRequest:
    """A photo and everything a person brought with it."""

    photo: Path
    pose: Path | None = None
    """A corrected pose.json, or SMPL-X parameters."""
    initial: PoseFile | None = None
    """The same from memory; only one of the two may be given."""
    refit: bool = False
    """Fit again from the given pose instead of taking it as the last word."""
    locked_joints: frozenset[str] = frozenset()
    """With ``refit``: joints whose rotation stays as in the given pose (SMPL-X names)."""
    overrides: Overrides = field(default_factory=Overrides)
    person: int | None = None
    body: Literal["anny", "smplx"] = "anny"
    smplx_path: Path | None = None
    height_cm: float = 175.0
    providers: PerceptionChoices = field(default_factory=PerceptionChoices)


@dataclass(frozen=True)
class Estimate:
    """What is known of the person before any field is fitted."""

    subject: Subject
    fit: FitResult
    body: PosedBody
    model: BodyModel


@dataclass(frozen=True)
class GenerateResult:
    """The character, and what is needed to judge it against the photo."""

    character: Character
    camera: PhotoCamera
    """The photo's camera in the character's own world (metres, feet on the floor)."""
    crop: CropFrame
    summary: FitSummary
    providers: dict[str, str]


@contextmanager
def stage(name: str, on_event: OnEvent, provider: str = "") -> Iterator[None]:
    """Report the beginning and end of a stage."""
    on_event(StageStarted(name, provider))
    start = time.perf_counter()
    yield
    on_event(StageFinished(name, time.perf_counter() - start))


def estimate(
    request: EstimateRequest, on_event: OnEvent = ignore_events, *, subject: Subject | None = None
) -> Estimate:
    """Look at a photo and propose the person's pose and shape (3.1).

    Args:
        subject: what an earlier estimate saw in the same photo with the same overrides, providers and
            person. The photo is then not opened and no model looks at it again; only a caption in the
            request's overrides still takes the place of the subject's.

    Raises:
        HumanRefError: a photo, file or provider that cannot be used; ``pose_twice``,
            ``refit_without_pose``, ``locked_without_refit``; see the stages' own codes.
    """
    configure_threads()
    if subject is None:
        with stage("photo", on_event):
            photo = load_photo(request.photo)
        for note in photo.notes:
            on_event(Warned("photo_note", note))
    else:
        photo = subject.photo
    # What the user brought is checked before any model runs.
    model = load_body(request.body, request.smplx_path)
    brought = _given_pose(request, model, photo)
    if subject is None:
        subject = perceive(photo, request.providers, request.overrides, request.person, on_event)
    elif request.overrides.caption is not None:
        subject = _with_caption(subject, request.overrides.caption)
    with stage("fitting", on_event, f"{model.name}: {_pose_origin(request, brought)}"):
        height = request.height_cm / 100.0
        if brought is None:
            fit = fit_body(subject, model, height, on_event)
        elif request.refit:
            locked = request.locked_joints
            fit = refine_pose(subject, model, brought, height, on_event, locked)
        else:
            fit = adopt_pose(subject, model, brought, height, on_event)
    return Estimate(subject, fit, model.pose(fit.pose), model)


def _given_pose(request: EstimateRequest, model: BodyModel, photo: Photo) -> PoseFile | None:
    """The pose that came with the request, checked against the body, the photo and what is asked."""
    if request.pose is not None and request.initial is not None:
        raise HumanRefError("pose_twice", "Two poses were given.", "Give one of them.")
    brought = request.initial
    if request.pose is not None:
        brought = read_pose(request.pose, model, photo)
    elif brought is not None:
        check_pose(model, brought.pose)
        check_photo_size(brought, photo)
    if request.refit and brought is None:
        raise HumanRefError(
            "refit_without_pose",
            "There is no pose to fit again from.",
            "Give the corrected pose, or leave the re-fit out to have the pose found.",
        )
    if request.locked_joints and not request.refit:
        raise HumanRefError(
            "locked_without_refit",
            "Joints are locked, but nothing is fitted again: a given pose stays as it is.",
            "Ask for a re-fit as well, or leave the locks out.",
        )
    check_locks(request.locked_joints, brought)
    return brought


def _pose_origin(request: EstimateRequest, brought: PoseFile | None) -> str:
    if brought is None:
        return "fitted here"
    if not request.refit:
        return "your pose"
    return f"fitted again from your pose, {len(request.locked_joints)} joints locked"


def _with_caption(subject: Subject, caption: str) -> Subject:
    told = {**subject.providers, "caption": "yours: you wrote it"}
    return replace(subject, caption=read_caption(caption), providers=told)


def generate(
    estimated: Estimate,
    settings: GenerateSettings,
    on_event: OnEvent = ignore_events,
    *,
    overrides: Overrides | None = None,
    providers: PerceptionChoices | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    load: LoadPrior = load_prior,
) -> GenerateResult:
    """Fit the field to photo, body and guidance; mesh, colour and rig it (3.2, 3.3).

    Args:
        load: where a diffusion prior comes from, for those who keep one between runs.

    Raises:
        Cancelled: the observer or Ctrl-C stopped the fit; the checkpoint holds the work.
        HumanRefError: see the stages' own codes.
    """
    configure_threads()
    device = choose_device(settings.device).device
    memory = plan_memory(settings, device, _prior_use(settings, device))
    subject, body = estimated.subject, estimated.body
    crop, field_to_world = frame_person(subject.mask, body, estimated.fit.camera)
    estimator, why_normals = make_normal_estimator(
        providers or PerceptionChoices(device=settings.device), overrides or Overrides()
    )
    with stage("normals", on_event, why_normals):
        normals = estimator.estimate(
            subject, body, crop, field_to_world, settings.working_resolution
        )
    prior = None
    if settings.guidance in PRIOR_GUIDANCE:
        folder = settings.prior.folder
        named = settings.prior.repo or (folder.name if folder else "compact prior")
        with stage("prior", on_event, named):
            prior = load(settings.prior, device, on_event)
    layout = HashGridLayout.from_settings(settings.field)
    encoding, why_encoding = make_encoding(settings.field.encoding, layout, str(device))
    with stage("start_shape", on_event):
        unseen = estimated.fit.report.missing_joints
        start = build_problem(
            *(subject, body, normals, crop, field_to_world, settings, device, unseen),
            prior=prior,
            memory=memory.tier.guidance if memory else None,
            canonical=canonical_places(estimated.model) if prior is not None else None,
        )
        human = _seeded_field(settings, start, encoding).to(device)

    def show(step: int) -> None:
        mesh = preview_mesh(RenderedSurface(human), field_to_world, device=device)
        on_event(Preview(step, mesh.vertices, mesh.faces, mesh.colors))

    with stage("optimization", on_event, f"{encoding.name} encoding: {why_encoding}"):
        loop = FieldOptimizer(human, start.problem, settings, on_event, show, checkpoint, memory)
        summary = loop.run(resume=resume)
    with stage("meshing", on_event):
        pictures = start.problem.pictures
        painted = None if pictures is None else pictures.painted(180.0)
        limbs = LimbMaps.of_front(body, field_to_world, settings.working_resolution)
        carried = start.problem.guidance.carried()
        front, back = _face_pictures(start.maps, carried, painted, limbs, settings.seed)
        surface = RenderedSurface(human)
        mesh = extract_mesh(
            surface,
            settings.meshing,
            field_to_world,
            body=body,
            front=front,
            back=back,
            device=device,
        )
        view = PhotoView(subject.photo.rgb, subject.mask, estimated.fit.camera)
        pixel = 2.0 * field_to_world.scale / settings.working_resolution
        mesh = settle_sides(mesh, view, pixel)
    with stage("rigging", on_event):
        character, place = scale_to_height(rig(mesh, body), settings.height_cm / 100.0)
    if settings.meshing.texture:
        with stage("texture", on_event):
            flanks: tuple[SidePicture, ...] = ()
            if pictures is not None:
                sides = [pictures.painted(azimuth, NEAR) for azimuth in SIDES]
                flanks = paint_flanks(mesh, front, view, field_to_world, body, sides, settings.seed)
            baked = bake_texture(mesh, settings.meshing.texture, view, flanks)
            character = replace(character, uv=baked.uv, texture=baked.image)
    told = {
        "normals": f"{normals.provider}: {why_normals}",
        "guidance": (start.problem.pictures or start.problem.guidance).description,
        "encoding": f"{encoding.name}: {why_encoding}",
    }
    if summary.memory:
        told["memory"] = summary.memory
    return GenerateResult(
        character=character,
        camera=place.camera(estimated.fit.camera),
        crop=crop,
        summary=summary,
        providers={**subject.providers, **told},
    )


def _face_pictures(
    maps: CropMaps,
    carried: CarriedPhoto | None,
    painted: PaintedView | None,
    limbs: LimbMaps,
    seed: int,
) -> tuple[FacePicture, FacePicture | None]:
    """What vertex colours are fitted to in front and behind; beyond the photo's edge the carried tone.

    No ray of the photo ends there: a field keeps its noise. The back is the carried photo, and as far as
    it is to be followed what a prior has painted there (the field alone would blur both); where it is surely
    to be followed, the cloth around.
    """
    trust = photo_trust(maps)
    if carried is None:
        return FacePicture(maps.rgb, trust), None
    known = maps.known[..., None]
    weight = np.where(maps.known, trust, 1.0).astype(np.float32)
    front = FacePicture(np.where(known, maps.rgb, carried.front), weight)
    if painted is None:
        return front, FacePicture(carried.back, weight, carried.holds).turned()
    side = maps.mask.shape[::-1]
    share = cv2.resize(painted.share[:, ::-1], side, interpolation=cv2.INTER_LINEAR)
    # What a small picture has at its outline is half background.
    away = cv2.distanceTransform((maps.mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    share *= np.clip(away * painted.share.shape[0] / side[0] / 4.0, 0.0, 1.0)
    rgb = cv2.resize(painted.rgb[:, ::-1], side, interpolation=cv2.INTER_CUBIC).clip(0.0, 1.0)
    moved = carried.back + share[..., None] * (rgb - carried.back)
    cloth = (maps.mask > 0.5) & maps.known & ~maps.head
    back = mend(moved, carried.back, rgb, share, cloth, limbs, seed)
    return front, FacePicture(back, weight).turned()


def _prior_use(settings: GenerateSettings, device: torch.device) -> PriorUse | None:
    """What a run's prior will take, read from its files; None without one, or with one that is small."""
    chosen = settings.prior
    if settings.guidance not in PRIOR_GUIDANCE or uses_compact_prior(chosen):
        return None
    folder = find_folder(str(chosen.folder or chosen.repo), chosen.revision)
    check_folder(folder)
    dtype = default_dtype(device)
    return PriorUse(
        sizes=PriorSizes.of_folder(folder),
        unet_dtype=dtype,
        vae_dtype=torch.float32 if dtype is torch.float16 else dtype,
        t_min=chosen.t_min,
        t_max=chosen.t_max,
    )


def _seeded_field(
    settings: GenerateSettings, start: FitStart, encoding: HashEncoding
) -> HumanField:
    """A field whose random start depends on the seed alone, whatever ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return HumanField(settings.field, torch.from_numpy(start.base_sdf), encoding)
