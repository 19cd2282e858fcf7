"""The fitted body drawn over the photo: whether the pose is right, at one glance."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from backend.body.model import PosedBody
from backend.geometry.frames import PhotoCamera
from backend.geometry.mesh import vertex_normals
from backend.geometry.rasterizer import interpolate, rasterize
from shared_protocol.skeleton import JOINT_NAMES, PARENTS

_BODY = np.array([0.45, 0.68, 1.0], np.float32)
_LEFT = (0.95, 0.35, 0.2)
_RIGHT = (0.2, 0.75, 0.35)
_MIDDLE = (0.98, 0.85, 0.2)


def overlay(
    photo: Float[np.ndarray, "h w 3"],
    body: PosedBody,
    camera: PhotoCamera,
    opacity: float = 0.55,
) -> Float[np.ndarray, "h w 3"]:
    """The photo with the shaded body and its bones (the person's left red, right green) over it.

    Args:
        photo: sRGB in [0, 1].
        body: in the camera's world.
        opacity: of the body, 0 to 1.
    """
    height, width = photo.shape[:2]
    side = max(height, width)
    pixels = camera.project(body.vertices)
    xyz = np.concatenate([pixels * 2.0 / side - 1.0, body.vertices[:, 2:]], 1)
    xyz[:, 1] *= -1.0
    raster = rasterize(xyz, body.faces[body.outer_faces], side)
    normals = vertex_normals(body.vertices, body.faces).astype(np.float32)
    facing = interpolate(raster, normals, body.faces[body.outer_faces])[:height, :width, 2:]
    seen = raster.covered[:height, :width, None]
    shaded = _BODY * (0.25 + 0.75 * np.clip(facing, 0.0, 1.0))
    picture = np.where(seen, (1.0 - opacity) * photo + opacity * shaded, photo).astype(np.float32)
    _draw_bones(picture, camera.project(body.joints))
    return np.clip(picture, 0.0, 1.0)


def _draw_bones(picture: Float[np.ndarray, "h w 3"], joints: Float[np.ndarray, "55 2"]) -> None:
    """Lines from each joint to its parent, in place."""
    thickness = max(1, round(max(picture.shape[:2]) / 500))
    # Fixed-point coordinates keep the lines where they are to a sixteenth of a pixel.
    places = np.round((joints - 0.5) * 16).astype(int)
    for joint, parent in enumerate(PARENTS):
        if parent < 0 or "eye" in JOINT_NAMES[joint]:
            continue
        color = _MIDDLE
        if JOINT_NAMES[joint].startswith("left"):
            color = _LEFT
        elif JOINT_NAMES[joint].startswith("right"):
            color = _RIGHT
        a, b = places[parent], places[joint]
        cv2.line(
            picture,
            (int(a[0]), int(a[1])),
            (int(b[0]), int(b[1])),
            color,
            thickness,
            cv2.LINE_AA,
            4,
        )
