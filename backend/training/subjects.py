"""Evaluation subjects: photo, eight views, normals, surface and joints of one person (docs/method.md)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import cv2
import numpy as np
import trimesh
from jaxtyping import Float
from PIL import Image

from backend.training.casting import random_for
from backend.training.dressing import Clothed
from backend.training.portrait import Portraitist, View, sample_light
from backend.training.samples import frame
from backend.training.wardrobe import Split
from shared_protocol.skeleton import JOINT_NAMES

VIEW_SIZE = 512
PHOTO_HEIGHT, PHOTO_WIDTH = 1024, 768
AZIMUTHS = range(0, 360, 45)
_MARGIN = 1.05


def subject_files(
    person: Clothed, *, seed: int, split: Split, number: int
) -> Iterator[tuple[str, bytes]]:
    """Relative name and content of every file of a subject's folder, one after the other."""
    rng = random_for(seed + 1_000_003, split, number)
    portraitist = Portraitist(person, sample_light(rng))
    framing = frame(portraitist, _MARGIN)
    joints = dict(zip(JOINT_NAMES, person.joints, strict=True))
    record = {
        "joints": {name: point.round(5).tolist() for name, point in joints.items()},
        "ortho": {
            "center": [round(c, 5) for c in framing.center],
            "half_height": round(framing.half_height, 5),
        },
        "made_of": {"outfit": person.casting.outfit, "hair": person.casting.hair},
    }
    yield "body.json", (json.dumps(record, indent=1) + "\n").encode()
    surface = trimesh.Trimesh(portraitist.vertices, portraitist.faces, process=False)
    surface.remove_unreferenced_vertices()
    ply = surface.export(file_type="ply")
    assert isinstance(ply, bytes)
    yield "mesh.ply", ply
    for azimuth in AZIMUTHS:
        view = portraitist.draw(framing.camera(float(azimuth)), VIEW_SIZE)
        yield f"views/color_{azimuth:03d}.png", _png(view.color)
        if azimuth in (0, 180):
            alpha = view.color[..., 3:]
            normal = np.concatenate([(view.normal + 1.0) / 2.0, alpha], -1)
            yield f"views/normal_{azimuth:03d}.png", _png(normal)
    view = portraitist.draw(framing.camera(0.0), PHOTO_HEIGHT)
    yield "photo.png", _png(photograph(view, rng))


def photograph(view: View, rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """The front view in a plain room: wall, floor, a soft shadow, a sensor's noise."""
    room = backdrop(rng)
    margin = (PHOTO_HEIGHT - PHOTO_WIDTH) // 2
    color, alpha = view.color[:, margin:-margin, :3], view.color[:, margin:-margin, 3:]
    rows = np.nonzero(alpha.max((1, 2)) > 0.5)[0]
    columns = np.nonzero(alpha[rows[-1] - 40 : rows[-1], :, 0].max(0) > 0.5)[0]
    y, x = np.mgrid[:PHOTO_HEIGHT, :PHOTO_WIDTH]
    half = max(40.0, float(np.ptp(columns)) * 0.6)
    away = ((x - columns.mean()) / half) ** 2 + ((y - rows[-1]) / (0.16 * half)) ** 2
    room = room * (1.0 - 0.45 * np.exp(-away)[..., None])
    photo = color * alpha + room * (1.0 - alpha)
    return np.clip(photo + rng.normal(0.0, 1.2 / 255.0, photo.shape), 0.0, 1.0)


def backdrop(rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """A wall that gets darker to the sides and a floor, blurred where they meet."""
    y, x = np.mgrid[:PHOTO_HEIGHT, :PHOTO_WIDTH]
    grey = rng.uniform(0.5, 0.85)
    wall = np.clip(grey + rng.normal(0.0, 0.04, 3), 0.0, 1.0)
    floor = np.clip(wall * rng.uniform(0.55, 0.85) + rng.normal(0.0, 0.03, 3), 0.0, 1.0)
    horizon = rng.uniform(0.80, 0.90) * PHOTO_HEIGHT
    room = np.where((y < horizon)[..., None], wall, floor)
    room = cv2.GaussianBlur(room, (0, 0), 6.0)
    away = (x / PHOTO_WIDTH - rng.uniform(0.3, 0.7)) ** 2 + 0.3 * (y / PHOTO_HEIGHT - 0.4) ** 2
    uneven = cv2.GaussianBlur(rng.normal(size=(PHOTO_HEIGHT, PHOTO_WIDTH)), (0, 0), 40.0)
    uneven = uneven / np.abs(uneven).max()
    return np.asarray(room * (1.04 - 0.5 * away + 0.02 * uneven)[..., None])


def _png(picture: Float[np.ndarray, "h w c"]) -> bytes:
    mode = "RGBA" if picture.shape[2] == 4 else "RGB"
    data = (picture * 255.0).round().clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(data, mode).save(buffer, "PNG")
    return buffer.getvalue()
