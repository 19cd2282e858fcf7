"""The pipeline's dataclasses as the protocol's documents, and back. Runs in a worker."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from backend.body.model import BodyModel
from backend.body.pose import BodyPose
from backend.export.pictures import png_bytes
from backend.fitting.pose_schema import PoseFile
from backend.fitting.report import FitReport
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Photo
from backend.pipeline import Estimate, GenerateResult
from backend.service.words import plain
from shared_protocol.documents import BodyTemplate, CharacterData
from shared_protocol.messages import BlobRef, Camera, Fit, PhotoInfo, Pose, PoseProposed

_INFLUENCES = 8


def wire_pose(pose: BodyPose) -> Pose:
    """A pose as it travels."""
    return Pose(
        model=pose.model,
        betas=_floats(pose.betas),
        full_pose=_floats(pose.full_pose),
        transl=_three(pose.transl),
        scale=float(pose.scale),
    )


def body_pose(pose: Pose) -> BodyPose:
    """A pose that has travelled; its numbers have been checked to be finite on the way in."""
    return BodyPose(
        betas=np.asarray(pose.betas, np.float32),
        full_pose=np.asarray(pose.full_pose, np.float32).reshape(55, 3),
        transl=np.asarray(pose.transl, np.float32),
        scale=pose.scale,
        model=pose.model,
    )


def wire_camera(camera: PhotoCamera) -> Camera:
    """A camera as it travels."""
    return Camera(
        pixels_per_metre=float(camera.pixels_per_metre),
        center_u=float(camera.center_u),
        center_v=float(camera.center_v),
    )


def pose_file(pose: Pose, camera: Camera | None) -> PoseFile:
    """A client's pose and camera as the pipeline takes them."""
    if camera is None:
        return PoseFile(body_pose(pose))
    seen = PhotoCamera(camera.pixels_per_metre, camera.center_u, camera.center_v)
    return PoseFile(body_pose(pose), seen)


def photo_info(photo: Photo) -> PhotoInfo:
    """Size and digest of the photo."""
    height, width = photo.rgb.shape[:2]
    return PhotoInfo(width=width, height=height, sha256=photo.digest)


def wire_fit(report: FitReport) -> Fit:
    """How well the body explains the photo."""
    return Fit(
        reprojection_error_px=report.reprojection_error_px,
        reprojection_error_percent=report.reprojection_error_percent,
        silhouette_iou=report.silhouette_iou,
        missing_joints=tuple(report.missing_joints),
        seconds=max(0.0, float(report.seconds or 0.0)),
    )


def pose_proposed(estimated: Estimate, body: BlobRef) -> PoseProposed:
    """The result of an estimate; ``body`` is the packed :func:`body_template`."""
    fit = estimated.fit
    return PoseProposed(
        pose=wire_pose(fit.pose),
        camera=wire_camera(fit.camera),
        photo=photo_info(estimated.subject.photo),
        fit=wire_fit(fit.report),
        body=body,
        caption=plain(estimated.subject.caption),
        providers={stage: plain(why) for stage, why in estimated.subject.providers.items()},
    )


def body_template(model: BodyModel) -> BodyTemplate:
    """Any body model, linear in its betas, with the eight heaviest weights a vertex."""
    with torch.no_grad():
        rest_v, rest_j = model.rest(torch.zeros(model.n_betas))
        moved = [model.rest(row) for row in torch.eye(model.n_betas)]
    vertices, joints = rest_v.numpy(), rest_j.numpy()
    indices, weights = heaviest(np.asarray(model.skin_weights), _INFLUENCES)
    return BodyTemplate(
        model=model.name,
        licence=model.licence,
        vertices=vertices.astype(np.float32),
        shape_directions=np.stack([v.numpy() - vertices for v, _ in moved], -1).astype(np.float32),
        joints=joints.astype(np.float32),
        joint_directions=np.stack([j.numpy() - joints for _, j in moved], -1).astype(np.float32),
        faces=np.ascontiguousarray(model.faces, np.int32),
        skin_indices=indices,
        skin_weights=weights,
        regions=np.ascontiguousarray(model.regions, np.uint8),
    )


def heaviest(weights: Float[np.ndarray, "v 55"], count: int) -> tuple[np.ndarray, np.ndarray]:
    """(v, count) uint8 joints, heaviest first, and their (v, count) float32 weights, sum 1."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(weights, order, 1).astype(np.float64)
    kept /= kept.sum(1, keepdims=True)
    return order.astype(np.uint8), kept.astype(np.float32)


def character_data(name: str, estimated: Estimate, result: GenerateResult) -> CharacterData:
    """A finished character for a client's scene."""
    character = result.character
    mesh, uv, texture = character.mesh, character.uv, character.texture
    return CharacterData(
        name=name,
        pose=wire_pose(character.pose),
        camera=wire_camera(result.camera),
        photo=photo_info(estimated.subject.photo),
        vertices=mesh.vertices.astype(np.float32),
        rest_vertices=character.rest_vertices.astype(np.float32),
        faces=np.ascontiguousarray(mesh.faces, np.int32),
        colors=color_bytes(mesh.colors),
        skin_indices=character.indices.astype(np.uint8),
        skin_weights=character.weights.astype(np.float32),
        rest_joints=character.rest_joints.astype(np.float32),
        joints=character.joints.astype(np.float32),
        uv=np.zeros((0, 2), np.float32) if uv is None else uv.astype(np.float32),
        texture=b"" if texture is None else png_bytes(texture),
    )


def color_bytes(colors: Float[np.ndarray, "v 3"]) -> np.ndarray:
    """sRGB in [0, 1] as (v, 3) uint8."""
    return np.round(np.clip(colors, 0.0, 1.0) * 255.0).astype(np.uint8)


def _floats(array: np.ndarray) -> tuple[float, ...]:
    return tuple(float(x) for x in np.asarray(array).reshape(-1))


def _three(array: np.ndarray) -> tuple[float, float, float]:
    x, y, z = _floats(array)
    return x, y, z
