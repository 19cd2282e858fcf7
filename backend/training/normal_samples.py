"""Samples of the normal estimator: one person's photo, true normals front and back, and body fits."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from backend.body.model import PosedBody
from backend.body.pose import BodyPose
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import vertex_normals
from backend.perception.body_pictures import BodyPictures, draw_body
from backend.training.body_fit import BodyFitter
from backend.training.casting import random_for
from backend.training.dressing import Clothed
from backend.training.misjudged_pose import misjudge
from backend.training.portrait import Portraitist, sample_light
from backend.training.samples import frame, signed_to_bytes, to_bytes
from backend.training.wardrobe import Split

FIT_ERRORS = (0.6, 1.0)
"""Body fits a person: shares of the error that :func:`misjudge` makes."""

BYTES_PER_PIXEL = 10 + 7 * len(FIT_ERRORS)
"""Colour and coverage 4, true normals 3 + 3; each fit normals 3 + 3 and region 1."""


def make_normal_sample(
    person: Clothed, fitter: BodyFitter, *, seed: int, split: Split, number: int, size: int
) -> bytes:
    """The ``.npz`` of one person (k = 2 fits, s = ``size``), all arrays uint8.

    ``color`` (s, s, 4) straight sRGB and coverage; ``front`` and ``back`` (s, s, 3) the clothed
    person's normals; ``body_front`` and ``body_back`` (k, s, s, 3) the fitted bodies'; ``region``
    (k, s, s). Normals are (x + 1) / 2 * 255 in the axes of the front camera (x right, y up, z
    towards it), 0 on the background; back views are mirrored into the front view's pixels.
    """
    rng = random_for(seed + 2_000_003, split, number)
    portraitist = Portraitist(person, sample_light(rng))
    framing = frame(portraitist, 1.06)
    azimuth, elevation = _direction(rng)
    camera = framing.camera(azimuth, elevation)
    # Exactly the opposite direction: its right is the front camera's left, its up the same.
    behind = framing.camera(azimuth + 180.0, -elevation)
    front, back = portraitist.draw(camera, size), portraitist.draw(behind, size)
    pose = fitter.exact(person)
    joints = fitter.posed(pose).joints.astype(np.float64)
    errors = [misjudge(pose, joints, camera.axes(), rng) for _ in FIT_ERRORS]
    wrong = [_part_way(pose, e, share) for e, share in zip(errors, FIT_ERRORS, strict=True)]
    fits = [fit_pictures(fitter.posed(each), camera, size) for each in wrong]
    # Zipped but not packed: a training step reads a dozen of these.
    buffer = io.BytesIO()
    np.savez(
        buffer,
        color=to_bytes(front.color),
        front=_camera_normals(front.normal, camera),
        back=_camera_normals(back.normal, camera)[:, ::-1],
        body_front=np.stack([_signed(fit.front) for fit in fits]),
        body_back=np.stack([_signed(fit.back) for fit in fits]),
        region=np.stack([fit.region for fit in fits]),
    )
    return buffer.getvalue()


def photo_direction(seed: int, split: Split, number: int) -> tuple[float, float]:
    """Azimuth and elevation (degrees) that a person's photo is taken from."""
    rng = random_for(seed + 2_000_003, split, number)
    sample_light(rng)
    return _direction(rng)


def _direction(rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.normal(0.0, 6.0)), float(rng.normal(0.0, 3.0))


def fit_pictures(body: PosedBody, camera: OrthographicCamera, size: int) -> BodyPictures:
    """A posed body from the front camera, normals in that camera's axes."""
    normals = vertex_normals(body.vertices.astype(np.float64), body.faces) @ camera.axes().T
    xyz = camera.project(body.vertices.astype(np.float64))
    return draw_body(xyz, normals, body.faces[body.outer_faces], body.regions, size)


def _part_way(exact: BodyPose, wrong: BodyPose, share: float) -> BodyPose:
    return replace(
        exact,
        betas=exact.betas + share * (wrong.betas - exact.betas),
        full_pose=exact.full_pose + share * (wrong.full_pose - exact.full_pose),
        transl=exact.transl + share * (wrong.transl - exact.transl),
    )


def _camera_normals(normal: Float[np.ndarray, "n n 3"], camera: OrthographicCamera) -> np.ndarray:
    return _signed(normal @ camera.axes().T)


def _signed(normal: Float[np.ndarray, "n n 3"]) -> np.ndarray:
    return signed_to_bytes(normal, (normal != 0.0).any(-1))
