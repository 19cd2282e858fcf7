"""Made photos, bodies and subjects for the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.body.model import PosedBody
from backend.body.pose import BodyPose
from backend.geometry.frames import CropFrame, FieldToWorld
from backend.perception.landmarks import Detection
from backend.perception.subject import Landmarks, Photo, Subject


@dataclass(frozen=True)
class Seen:
    """The example photo with what the embedded providers find in it."""

    photo: Photo
    detection: Detection
    mask: np.ndarray


def as_photo(rgb: np.ndarray, **more: object) -> Photo:
    """A picture in memory (uint8 or float) as a photo."""
    values = rgb.astype(np.float32) / 255.0 if rgb.dtype == np.uint8 else rgb.astype(np.float32)
    return Photo(rgb=values, name="made", digest="0" * 64, **more)  # type: ignore[arg-type]


def set_on(seen: Seen, background: np.ndarray) -> Photo:
    """The example's person in front of another background (h w 3, or one colour)."""
    alpha = seen.mask[..., None]
    return as_photo(seen.photo.rgb * alpha + np.asarray(background, np.float32) * (1.0 - alpha))


def cut_out(seen: Seen, color: tuple[float, float, float]) -> Photo:
    """The person with a hard edge on one colour that the person does not contain."""
    inside = (seen.mask > 0.5)[..., None]
    rgb = np.where(inside, np.clip(seen.photo.rgb, 8 / 255, 1.0), np.asarray(color, np.float32))
    return as_photo(rgb)


def sphere_body(radius: float, center: tuple[float, float, float]) -> PosedBody:
    """A sphere that passes for a posed body (metres)."""
    rows, columns = 48, 96
    theta = np.linspace(0.0, np.pi, rows)[:, None]
    phi = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False)[None]
    unit = np.stack(
        [np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi, np.sin(theta) * np.cos(phi)], -1
    ).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    faces = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)
    vertices = (unit * radius + np.array(center)).astype(np.float32)
    count = len(vertices)
    return PosedBody(
        pose=BodyPose.t_pose(1),
        vertices=vertices,
        joints=np.zeros((55, 3), np.float32),
        transforms=np.tile(np.eye(4, dtype=np.float32), (55, 1, 1)),
        rest_vertices=vertices,
        rest_joints=np.zeros((55, 3), np.float32),
        faces=faces.astype(np.int32),
        outer_faces=np.ones(len(faces), bool),
        skin_weights=np.full((count, 55), 1 / 55, np.float32),
        regions=np.ones(count, np.uint8),
    )


def disc_subject(
    size: int, center: tuple[float, float], radius: float, region: int
) -> tuple[Subject, CropFrame, FieldToWorld]:
    """A disc as silhouette on a square photo; the field cube is the whole photo, one unit = 1 m."""
    v, u = np.mgrid[:size, :size] + 0.5
    mask = (np.hypot(u - center[0], v - center[1]) < radius).astype(np.float32)
    subject = Subject(
        photo=as_photo(np.repeat(mask[..., None], 3, 2)),
        mask=mask,
        regions=(mask * region).astype(np.uint8),
        landmarks=Landmarks(np.zeros((33, 2)), np.zeros((33, 3)), np.ones(33)),
        caption="a disc",
    )
    crop = CropFrame(size / 2.0, size / 2.0, size / 2.0)
    return subject, crop, FieldToWorld(1.0, (0.0, 0.0, 0.0))
