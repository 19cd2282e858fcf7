"""Drawing a result as the dataset's views were drawn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import ColoredMesh
from backend.geometry.rasterizer import Raster, interpolate, rasterize
from backend.geometry.resampling import sample

_SUPERSAMPLE = 2


@dataclass(frozen=True)
class Skin:
    """A baked texture: uv (f * 3, 2) of each corner of each face, v up; sRGB, row 0 on top."""

    uv: Float[np.ndarray, "n 2"]
    image: UInt8[np.ndarray, "s s 3"]


def draw(
    mesh: ColoredMesh, skin: Skin | None, camera: OrthographicCamera, side: int
) -> Float[np.ndarray, "n n 4"]:
    """A picture of ``side`` pixels, RGBA with straight alpha, unlit: the texture's colours, or the
    vertices' where there is none."""
    raster = rasterize(camera.project(mesh.vertices), mesh.faces, side * _SUPERSAMPLE)
    if skin is None:
        colors = interpolate(raster, mesh.colors.astype(np.float32), mesh.faces)
    else:
        colors = _textured(raster, skin)
    covered = raster.covered.astype(np.float32)
    small = (side, side)
    alpha = cv2.resize(covered, small, interpolation=cv2.INTER_AREA)
    premultiplied = cv2.resize(colors, small, interpolation=cv2.INTER_AREA)
    straight = premultiplied / np.maximum(alpha, 1e-6)[..., None]
    picture: np.ndarray = np.concatenate([np.clip(straight, 0, 1), alpha[..., None]], 2)
    return picture


def draw_normals(
    mesh: ColoredMesh, camera: OrthographicCamera, side: int
) -> tuple[Float[np.ndarray, "n n 3"], Float[np.ndarray, "n n"]]:
    """Unit normals in the mesh's frame, and 1 where there is a surface (pixel centres, no blending)."""
    raster = rasterize(camera.project(mesh.vertices), mesh.faces, side)
    normals = interpolate(raster, mesh.normals.astype(np.float32), mesh.faces)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.maximum(length, 1e-6), raster.covered.astype(np.float32)


def over_grey(picture: Float[np.ndarray, "h w 4"]) -> Float[np.ndarray, "h w 3"]:
    """RGBA over middle grey."""
    alpha = picture[..., 3:]
    blended: np.ndarray = picture[..., :3] * alpha + 0.5 * (1.0 - alpha)
    return blended


def _textured(raster: Raster, skin: Skin) -> Float[np.ndarray, "n n 3"]:
    side = len(skin.image)
    corners = skin.uv.reshape(-1, 3, 2)
    seen = raster.covered
    uv = np.einsum("pk,pkc->pc", raster.barycentric[seen], corners[raster.face_index[seen]])
    pixels = np.stack([uv[:, 0] * side, (1.0 - uv[:, 1]) * side], 1)
    picture = np.zeros((*seen.shape, 3), np.float32)
    picture[seen] = sample(skin.image.astype(np.float32) / 255.0, pixels)
    return picture
