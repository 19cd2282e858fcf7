"""Front and back normals of the clothed person, estimated by the network that ships with us (3.1)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from backend.body.model import PosedBody
from backend.geometry.frames import CropFrame, FieldToWorld
from backend.geometry.mesh import vertex_normals
from backend.geometry.resampling import crop_map
from backend.perception.body_pictures import BodyPictures, draw_body, network_conditions
from backend.perception.compact_normal_network import (
    FIRST_NORMAL,
    NormalNetwork,
    PredictedNormals,
    unit,
)
from backend.perception.normals import BodyNormals, silhouette_on_crop
from backend.perception.subject import NormalMaps, Subject
from shared_protocol.skeleton import JOINT_INDEX

NETWORK_SIDE = 256
"""Pixels along the square that the network was trained on."""

TRUSTED_ERROR = 0.35
"""Expected distance of a normal from the truth (chord; 20 degrees) at which trust has fallen to a half."""

FACE_RELIEF = 0.02
"""Features of a face finer than this share of the picture's side (a few centimetres) are the body's."""

TRUNK_BLUR = 5.0 / 256.0
"""Share of the picture's side (about 4 cm) over which the naked trunk's relief is averaged."""

_TRUNK_JOINTS = (
    *("pelvis", "spine1", "spine2", "spine3"),
    *("left_collar", "right_collar", "left_hip", "right_hip"),
)


class CompactNormals:
    """Photo, silhouette and the fitted body's normals to clothed normals of both sides.

    The network's own estimate of its error becomes the trust. Beyond the photo's edge, where there
    is nothing to see, the maps are those of :class:`BodyNormals`.
    """

    name = "compact"

    def __init__(self, network: NormalNetwork, device: str = "cpu") -> None:
        """``network`` as :func:`backend.perception.normal_weights.load_normal_network` reads it."""
        self._network = network.to(device)
        self._device = device

    def estimate(
        self,
        subject: Subject,
        posed_body: PosedBody,
        crop: CropFrame,
        field_to_world: FieldToWorld,
        resolution: int,
    ) -> NormalMaps:
        """See :class:`backend.perception.normals.NormalEstimator`."""
        body = draped(
            _drawn(posed_body, field_to_world, NETWORK_SIDE),
            _trunk(posed_body, field_to_world, NETWORK_SIDE),
        )
        mask, in_photo = silhouette_on_crop(subject, crop, NETWORK_SIDE)
        on_body = (body.region > 0).astype(np.float32)
        mask = np.where(in_photo, mask, on_body).clip(0.0, 1.0)
        rgb = crop_map(subject.photo.rgb, crop, NETWORK_SIDE)
        rgb = np.where(in_photo[..., None], rgb, np.float32(0.5))
        conditions = torch.from_numpy(network_conditions(rgb, mask, body))
        with torch.no_grad():
            found = both_ways(self._network, conditions[None].to(self._device))
        inside = mask > 0.5
        silhouette, seen = silhouette_on_crop(subject, crop, resolution)
        front, front_weight = _on_crop(found.front, found.front_log_error, inside, silhouette)
        back, back_weight = _on_crop(found.back, found.back_log_error, inside, silhouette)
        face = _face_on_crop(subject, crop, resolution)
        if face is not None:
            fine = _drawn(posed_body, field_to_world, resolution)
            front = _with_relief(front, fine.front, face)
        if (on_body * ~in_photo).any():
            beyond = BodyNormals().estimate(subject, posed_body, crop, field_to_world, resolution)
            front = np.where(seen[..., None], front, beyond.front)
            back = np.where(seen[..., None], back, beyond.back[:, ::-1])
            front_weight = np.where(seen, front_weight, beyond.front_weight)
            back_weight = np.where(seen, back_weight, beyond.back_weight[:, ::-1])
        return NormalMaps(
            front=front.astype(np.float32),
            back=np.ascontiguousarray(back[:, ::-1], np.float32),
            front_weight=front_weight.astype(np.float32),
            back_weight=np.ascontiguousarray(back_weight[:, ::-1], np.float32),
            provider=self.name,
        )


def both_ways(network: NormalNetwork, conditions: Float[Tensor, "b c n n"]) -> PredictedNormals:
    """The mean of the network's answers to the picture and to its mirror image."""
    plain = network(conditions)
    mirrored = conditions.flip(-1)
    for x in (FIRST_NORMAL, FIRST_NORMAL + 3):
        mirrored[:, x] = -mirrored[:, x]
    other = network(mirrored)
    sign = torch.tensor([-1.0, 1.0, 1.0], device=conditions.device)[None, :, None, None]
    return PredictedNormals(
        front=unit(plain.front + sign * other.front.flip(-1)),
        back=unit(plain.back + sign * other.back.flip(-1)),
        front_log_error=(plain.front_log_error + other.front_log_error.flip(-1)) / 2,
        back_log_error=(plain.back_log_error + other.back_log_error.flip(-1)) / 2,
    )


def trust(log_error: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """1 where the network expects no error, a half at :data:`TRUSTED_ERROR`, then as 1 / error^2."""
    return 1.0 / (1.0 + np.square(np.exp(log_error) / TRUSTED_ERROR))


def _drawn(body: PosedBody, field_to_world: FieldToWorld, resolution: int) -> BodyPictures:
    vertices = body.vertices.astype(np.float64)
    normals = vertex_normals(vertices, body.faces)
    faces = body.faces[body.outer_faces]
    return draw_body(field_to_world.to_field(vertices), normals, faces, body.regions, resolution)


def _trunk(body: PosedBody, field_to_world: FieldToWorld, n: int) -> Bool[np.ndarray, "m m"]:
    """Where the trunk is the part of the body that the photo would see."""
    bones = [JOINT_INDEX[name] for name in _TRUNK_JOINTS]
    mine = np.isin(body.skin_weights.argmax(1), bones).astype(np.uint8)
    return _drawn(replace(body, regions=mine), field_to_world, n).region > 0


def draped(body: BodyPictures, trunk: Bool[np.ndarray, "n n"]) -> BodyPictures:
    """The body with a smooth chest and seat, as cloth that hangs from it has.

    A photo of a clothed person does not tell the naked relief, so that of the fit is chance; the
    network was trained on bodies near the true one, and would believe it.
    """
    inside = trunk.astype(np.float64)
    blur = TRUNK_BLUR * len(trunk)
    share = np.maximum(cv2.GaussianBlur(inside, (0, 0), blur), 1e-3)[..., None]

    def smooth(normals: Float[np.ndarray, "n n 3"]) -> Float[np.ndarray, "n n 3"]:
        mean = cv2.GaussianBlur(normals * inside[..., None], (0, 0), blur) / share
        mean = mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-6)
        return np.where(trunk[..., None], mean, normals)

    return replace(body, front=smooth(body.front), back=smooth(body.back))


def _face_on_crop(
    subject: Subject, crop: CropFrame, resolution: int
) -> Float32[np.ndarray, "n n"] | None:
    """1 inside the face's outline, falling softly to 0; None where no face was found."""
    if subject.landmarks.face is None:
        return None
    xy = crop.to_field(subject.landmarks.face)
    pixels = np.stack([(xy[:, 0] + 1) / 2, (1 - xy[:, 1]) / 2], -1) * resolution
    outline = cv2.convexHull(np.round(pixels).astype(np.int32))
    filled = cv2.fillConvexPoly(np.zeros((resolution, resolution), np.float32), outline, 1.0)
    return np.asarray(cv2.GaussianBlur(filled, (0, 0), 0.006 * resolution), np.float32)


def _with_relief(
    front: Float[np.ndarray, "n n 3"],
    body: Float[np.ndarray, "n n 3"],
    face: Float32[np.ndarray, "n n"],
) -> Float[np.ndarray, "n n 3"]:
    """The estimate with the body's own eyes, nose and mouth, which are too small for the network."""
    covered = (body != 0.0).any(-1).astype(np.float64)

    def coarse(normals: Float[np.ndarray, "n n 3"]) -> Float[np.ndarray, "n n 3"]:
        blur = FACE_RELIEF * len(face)
        weight = np.maximum(cv2.GaussianBlur(covered, (0, 0), blur), 1e-3)[..., None]
        inside = normals.astype(np.float64) * covered[..., None]
        return np.asarray(cv2.GaussianBlur(inside, (0, 0), blur) / weight)

    relief = (body - coarse(body)) - (front - coarse(front))
    mixed = front + (face * covered)[..., None] * relief
    return mixed / np.maximum(np.linalg.norm(mixed, axis=-1, keepdims=True), 1e-6)


def _on_crop(
    normals: Float[Tensor, "1 3 n n"],
    log_error: Float[Tensor, "1 n n"],
    inside: Bool[np.ndarray, "n n"],
    silhouette: Float[np.ndarray, "m m"],
) -> tuple[Float[np.ndarray, "m m 3"], Float[np.ndarray, "m m"]]:
    """Unit normals and their trust at the crop's resolution, in the photo's own pixels."""
    maps = torch.cat([normals[0], log_error]).cpu().numpy().transpose(1, 2, 0)
    if inside.any():
        # Nothing was asked of the network outside: the nearest inside goes on over the edge.
        row, column = distance_transform_edt(~inside, return_distances=False, return_indices=True)
        maps = maps[row, column]
    size = silhouette.shape[::-1]
    maps = cv2.resize(np.ascontiguousarray(maps), size, interpolation=cv2.INTER_LINEAR)
    vectors = maps[..., :3]
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    towards_camera = np.array([0.0, 0.0, 1.0], np.float32)
    unit = np.where(length > 1e-3, vectors / np.maximum(length, 1e-3), towards_camera)
    return unit, silhouette.clip(0.0, 1.0) * trust(maps[..., 3])
