"""Training samples: one person seen from all around, with the body's maps, as one ``.npz``."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from backend.geometry.cameras import OrthographicCamera
from backend.training.body_fit import BodyFitter
from backend.training.casting import random_for
from backend.training.dressing import Clothed
from backend.training.portrait import Portraitist, sample_light
from backend.training.wardrobe import Split

VIEWS = 16
"""View 0 is the reference at azimuth 0, the others go around in steps of 22.5 degrees, shaken."""

BYTES_PER_PIXEL = 14
"""Colour and coverage 4, clothed normal 3, body normal 3, canonical place 3, region 1."""


@dataclass(frozen=True)
class Framing:
    """A cube around a person that every azimuth's picture contains (metres)."""

    center: tuple[float, float, float]
    half_height: float

    def camera(self, azimuth: float, elevation: float = 0.0) -> OrthographicCamera:
        """The camera of a view (degrees)."""
        return OrthographicCamera(azimuth, elevation, self.half_height, self.center)


def frame(portraitist: Portraitist, margin: float) -> Framing:
    """The smallest cube with ``margin`` (1 = none): the widest circle must fit every azimuth."""
    low, high = portraitist.bounds()
    center = (low + high) / 2
    ring = portraitist.vertices[np.unique(portraitist.faces)] - center
    reach = float(np.hypot(ring[:, 0], ring[:, 2]).max())
    half = margin * max(reach, float(high[1] - low[1]) / 2)
    return Framing((float(center[0]), float(center[1]), float(center[2])), half)


def make_sample(
    person: Clothed, fitter: BodyFitter, *, seed: int, split: Split, number: int, size: int
) -> bytes:
    """The file of one person.

    Arrays (n = 16 views, s = ``size``): ``color`` (n, s, s, 4) straight sRGB and coverage;
    ``normal`` and ``body_normal`` (n, s, s, 3) in the body frame and ``canonical`` (n, s, s, 3), all
    (x + 1) / 2 * 255 with 0 on the background; ``region`` (n, s, s); all uint8. ``azimuth`` and
    ``elevation`` (n,) degrees; ``betas``, ``full_pose``, ``transl`` of the exact body;
    ``center`` and ``half_height`` of the frame in metres; ``outfit``, ``hair``.
    """
    rng = random_for(seed + 1_000_003, split, number)
    portraitist = Portraitist(person, sample_light(rng))
    framing = frame(portraitist, float(rng.uniform(1.04, 1.16)))
    pose = fitter.exact(person)
    body = fitter.posed(fitter.perturbed(pose, rng))
    azimuth = np.arange(VIEWS) * (360.0 / VIEWS) + rng.uniform(-8.0, 8.0, VIEWS)
    elevation = rng.uniform(-10.0, 10.0, VIEWS)
    azimuth[0] = 0.0
    elevation[0] *= 0.4
    pictures: dict[str, list[np.ndarray]] = {
        name: [] for name in ("color", "normal", "body_normal", "canonical", "region")
    }
    for a, e in zip(azimuth, elevation, strict=True):
        camera = framing.camera(float(a), float(e))
        view = portraitist.draw(camera, size)
        naked = fitter.draw(body, camera, size)
        on_body = naked.region > 0
        pictures["color"].append(to_bytes(view.color))
        pictures["normal"].append(signed_to_bytes(view.normal, view.color[..., 3] > 0))
        pictures["body_normal"].append(signed_to_bytes(naked.normal, on_body))
        pictures["canonical"].append(signed_to_bytes(naked.canonical, on_body))
        pictures["region"].append(naked.region)
    arrays: dict[str, Any] = {
        "azimuth": azimuth.astype(np.float32),
        "elevation": elevation.astype(np.float32),
        "betas": pose.betas.astype(np.float32),
        "full_pose": pose.full_pose.astype(np.float32),
        "transl": pose.transl.astype(np.float32),
        "center": np.array(framing.center, np.float32),
        "half_height": np.float32(framing.half_height),
        "outfit": np.array(person.casting.outfit),
        "hair": np.array(person.casting.hair),
        **{name: np.stack(each) for name, each in pictures.items()},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def to_bytes(picture: Float[np.ndarray, "h w c"]) -> np.ndarray:
    """[0, 1] to uint8, rounded."""
    return np.asarray((picture * 255.0).round().clip(0, 255).astype(np.uint8))


def signed_to_bytes(picture: Float[np.ndarray, "n n 3"], there: np.ndarray) -> np.ndarray:
    """[-1, 1] to uint8 where there is something, 0 elsewhere."""
    return np.where(there[..., None], to_bytes((picture + 1.0) / 2.0), np.uint8(0))
