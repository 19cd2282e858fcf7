"""From a subject and a posed body to the fit's problem: the cube, its start and its targets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from backend.body.body_volume import signed_distance_grid
from backend.body.model import PosedBody, Region
from backend.geometry.frames import CropFrame, FieldToWorld, PhotoCamera
from backend.geometry.rasterizer import rasterize
from backend.geometry.resampling import crop_map
from backend.guidance import make_guidance
from backend.guidance.memory import GuidanceMemory
from backend.guidance.mirror import MirrorAnchor
from backend.guidance.prior import DiffusionPrior
from backend.guidance.prior_choice import GuidedPerson, make_picture_guidance, prior_missing
from backend.optimization.initial_shape import InitialShape, grow_to_silhouette
from backend.optimization.loop import FitProblem
from backend.optimization.targets import CropMaps, FrontTargets, clean_edges
from backend.perception.subject import NormalMaps, Subject
from backend.settings import PRIOR_GUIDANCE, GenerateSettings
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS

# Share of the cube's edge that stays empty on each side.
_MARGIN = 0.06
_BODY_MAP = 512
# Region labels of the photo that the attention's tokens are averaged from.
_LABELS = 128
_LIMBS = ("shoulder", "elbow", "hip", "knee")


def frame_person(
    mask: Float[np.ndarray, "h w"], body: PosedBody, camera: PhotoCamera
) -> tuple[CropFrame, FieldToWorld]:
    """The cube that holds both the silhouette and the whole posed body, with a margin.

    The body reaches beyond the photo when the photo is cropped; its depth must fit as well.
    """
    outline = camera.project(body.vertices)
    rows, columns = np.nonzero(mask > 0.5)
    low = np.minimum(outline.min(0), [columns.min(), rows.min()])
    high = np.maximum(outline.max(0), [columns.max() + 1, rows.max() + 1])
    depth = body.vertices[:, 2]
    # Cloth and hair add depth that the naked body does not have.
    thick = (np.ptp(depth) + 0.16) * camera.pixels_per_metre
    half = 0.5 * max(float((high - low).max()), float(thick)) / (1.0 - _MARGIN)
    center = (low + high) / 2
    crop = CropFrame(float(center[0]), float(center[1]), half)
    return crop, crop.field_to_world(camera, float(depth.min() + depth.max()) / 2)


@dataclass(frozen=True)
class BodyMaps:
    """The posed body seen from the front on the crop, row 0 on top."""

    silhouette: Bool[np.ndarray, "n n"]
    middle: Float[np.ndarray, "n n"]
    """Field z halfway between its front and its back; 0 outside."""


def body_maps(field_vertices: Float[np.ndarray, "v 3"], body: PosedBody) -> BodyMaps:
    """Silhouette and middle depth of the body, given its vertices in the field frame."""
    faces = body.faces[body.outer_faces]
    front = rasterize(field_vertices, faces, _BODY_MAP)
    # The farthest surface is the nearest one of the body mirrored in depth.
    back = rasterize(field_vertices * np.array([1, 1, -1], field_vertices.dtype), faces, _BODY_MAP)
    covered = front.covered
    middle = np.where(
        covered, (np.where(covered, front.depth, 0) - np.where(covered, back.depth, 0)) / 2, 0
    )
    return BodyMaps(covered, middle.astype(np.float32))


def hidden_limbs(
    field_vertices: Float[np.ndarray, "v 3"],
    body: PosedBody,
    unseen_joints: tuple[str, ...],
    resolution: int,
) -> Bool[np.ndarray, "n n"]:
    """Where the body's unseen limbs would show in the photo, if nothing stood before them.

    Background there does not mean that there is no limb: something may hide it.
    """
    joints = {JOINT_INDEX[name] for name in unseen_joints}
    # Of the bone that leads to an unseen elbow or knee a part is hidden as well.
    joints |= {PARENTS[j] for j in joints if JOINT_NAMES[PARENTS[j]].endswith(_LIMBS)}
    unseen = np.isin(body.skin_weights.argmax(1), list(joints))
    faces = body.faces[unseen[body.faces].all(1)]
    if not len(faces):
        return np.zeros((resolution, resolution), bool)
    shown = rasterize(field_vertices, faces, resolution).covered.astype(np.uint8)
    reach = max(1, resolution // 50)
    return cv2.dilate(shown, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0


def crop_maps(
    subject: Subject,
    crop: CropFrame,
    resolution: int,
    hidden: Bool[np.ndarray, "n n"] | None = None,
) -> CropMaps:
    """The subject's maps on the crop; ``hidden`` marks pixels whose background proves nothing."""
    mask = crop_map(subject.mask, crop, resolution)
    rgb = clean_edges(crop_map(subject.photo.rgb, crop, resolution), mask)
    known = crop_map(np.ones_like(subject.mask), crop, resolution) > 0.999
    if hidden is not None:
        known &= ~(hidden & (mask < 0.5))
    head = crop_map(subject.regions, crop, resolution, nearest=True) == Region.HEAD
    face = np.zeros((resolution, resolution), np.uint8)
    if subject.landmarks.face is not None:
        xy = crop.to_field(subject.landmarks.face)
        pixels = np.stack([(xy[:, 0] + 1) / 2, (1 - xy[:, 1]) / 2], -1) * resolution
        cv2.fillConvexPoly(face, cv2.convexHull(np.round(pixels).astype(np.int32)), 1)
    return CropMaps(rgb, mask, known, head, face.astype(bool))


def photo_trust(maps: CropMaps) -> Float[np.ndarray, "n n"]:
    """Pixels whose colour is the person's own: inside the silhouette, off its mixed edge."""
    inside = ((maps.mask > 0.9) & maps.known).astype(np.uint8)
    return cv2.erode(inside, np.ones((3, 3), np.uint8)).astype(np.float32)


@dataclass(frozen=True)
class FitStart:
    """A problem and the SDF grid it starts from ([z, y, x], field units)."""

    problem: FitProblem
    base_sdf: Float[np.ndarray, "n n n"]
    maps: CropMaps


def build_problem(
    subject: Subject,
    body: PosedBody,
    normals: NormalMaps,
    crop: CropFrame,
    field_to_world: FieldToWorld,
    settings: GenerateSettings,
    device: torch.device,
    unseen_joints: tuple[str, ...] = (),
    prior: DiffusionPrior | None = None,
    memory: GuidanceMemory | None = None,
    canonical: Float[np.ndarray, "v 3"] | None = None,
) -> FitStart:
    """Assemble everything the loop needs; deterministic.

    ``unseen_joints`` names joints whose place in the photo is a guess (outside it, or hidden);
    ``prior`` is what ref-sds and its kin distil, with as much ``memory`` as it may use; ``canonical`` are
    the body vertices' places, which some priors ask for.
    """
    vertices = field_to_world.to_field(body.vertices).astype(np.float32)
    hidden = hidden_limbs(vertices, body, unseen_joints, settings.working_resolution)
    maps = crop_maps(subject, crop, settings.working_resolution, hidden)
    seen = body_maps(vertices, body)
    grid = signed_distance_grid(vertices, body.faces, settings.field.body_grid)
    resize = _BODY_MAP, _BODY_MAP
    start = grow_to_silhouette(
        grid,
        seen.silhouette,
        seen.middle,
        cv2.resize(maps.mask, resize, interpolation=cv2.INTER_AREA),
        cv2.resize(maps.known.astype(np.float32), resize) > 0.99,
        cv2.resize(maps.face.astype(np.float32), resize) > 0.5,
    )
    resolutions = tuple(
        min(n, settings.working_resolution) for n in settings.optimization.resolutions
    )
    silhouette = cv2.resize(seen.silhouette.astype(np.float32), maps.mask.shape) > 0.5
    trusted = _less_where_loose(normals, start.tightness)
    targets = FrontTargets(maps, trusted, silhouette, resolutions, device)
    guidance = make_guidance(
        *(settings.guidance, maps.rgb, maps.mask, maps.face, maps.head, maps.known, device),
        warm_steps(settings),
        settings.prior.anchor,
    )
    person = (maps.mask > 0.5) | silhouette
    rows, columns = np.nonzero(person)
    n = settings.working_resolution
    extent = (
        float(columns.min() / n * 2 - 1),
        float((columns.max() + 1) / n * 2 - 1),
        float(1 - (rows.max() + 1) / n * 2),
        float(1 - rows.min() / n * 2),
    )
    pictures = None
    if settings.guidance in PRIOR_GUIDANCE:
        if prior is None:
            raise prior_missing()
        n_labels = min(_LABELS, settings.working_resolution)
        labels = crop_map(subject.regions, crop, n_labels, nearest=True)
        person_told = GuidedPerson(
            *(maps.rgb, maps.mask, labels, maps.face, subject.caption),
            body=body,
            field_to_world=field_to_world,
            tightness=start.tightness,
            canonical=canonical,
        )
        anchor = guidance if isinstance(guidance, MirrorAnchor) else None
        pictures = make_picture_guidance(settings, prior, person_told, device, memory, anchor)
    problem = FitProblem(
        pictures=pictures,
        targets=targets,
        guidance=guidance,
        tightness=torch.from_numpy(start.tightness).to(device),
        extent=extent,
        fingerprint=fingerprint(subject, body, normals, maps, start, crop, settings),
    )
    return FitStart(problem, start.sdf, maps)


def warm_steps(settings: GenerateSettings) -> int:
    """How many steps the mirror baseline goes before a prior."""
    chosen = settings.prior
    if not chosen.warm_start or settings.guidance not in ("ref-sds", "ref-sds-global"):
        return 0
    return round(chosen.start * settings.optimization.steps)


def _less_where_loose(normals: NormalMaps, tightness: Float[np.ndarray, "m m"]) -> NormalMaps:
    """Trust in normals that only repeat the body, lowered where clothing hangs away from it."""
    n = normals.front.shape[0]
    tight = (0.15 + 0.85 * cv2.resize(tightness, (n, n))).astype(normals.front_weight.dtype)
    front = tight if normals.front_from_body else np.ones_like(tight)
    back = tight[:, ::-1] if normals.back_from_body else np.ones_like(tight)
    return replace(
        normals,
        front_weight=normals.front_weight * front,
        back_weight=normals.back_weight * back,
    )


def fingerprint(
    subject: Subject,
    body: PosedBody,
    normals: NormalMaps,
    maps: CropMaps,
    start: InitialShape,
    crop: CropFrame,
    settings: GenerateSettings,
) -> str:
    """SHA-256 of all that a fit depends on: a checkpoint of anything else is refused."""
    digest = hashlib.sha256(subject.photo.digest.encode())
    arrays = (
        *(body.pose.betas, body.pose.full_pose, body.pose.transl),
        *(normals.front, normals.back, normals.front_weight, normals.back_weight),
        *(maps.mask, maps.known, maps.face, maps.head),
        *(start.sdf, start.tightness),
    )
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((body.pose.model, body.pose.scale, crop)).encode())
    if settings.guidance in PRIOR_GUIDANCE:
        digest.update(repr((settings.prior, subject.caption)).encode())
        digest.update(subject.regions.tobytes())
    chosen = (settings.guidance, settings.seed, settings.working_resolution, settings.field)
    digest.update(repr((chosen, settings.rendering, settings.optimization)).encode())
    return digest.hexdigest()
