"""What blobs hold: a body to pose and a finished character, as arrays with a header.

Metres, y up, facing +z (the body's world frame of messages.py).
"""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .messages import Camera, PhotoInfo, Pose


@frozen(kw_only=True, eq=False)
class BodyTemplate:
    """A parametric body, linear in betas, to be posed by an armature (top eight weights a vertex)."""

    model: str
    licence: str
    vertices: NDArray[np.float32]
    """(v, 3) T-pose of betas = 0."""
    shape_directions: NDArray[np.float32]
    """(v, 3, b)."""
    joints: NDArray[np.float32]
    """(55, 3) of betas = 0."""
    joint_directions: NDArray[np.float32]
    """(55, 3, b)."""
    faces: NDArray[np.int32]
    """(f, 3)."""
    skin_indices: NDArray[np.uint8]
    """(v, 8) joints, heaviest first."""
    skin_weights: NDArray[np.float32]
    """(v, 8), sum 1."""
    regions: NDArray[np.uint8]
    """(v,) 0 background, 1 head, 2 upper body, 3 legs, 4 feet."""


@frozen(kw_only=True, eq=False)
class CharacterData:
    """A rigged character in the photo's pose and in its T-pose.

    Skinning ``rest_vertices`` with the armature in ``pose`` gives the mesh over the photo.
    """

    name: str
    pose: Pose
    """In the character's own world (feet at y = 0)."""
    camera: Camera
    """Shows the posed character over the photo."""
    photo: PhotoInfo
    vertices: NDArray[np.float32]
    """(v, 3) posed as in the photo."""
    rest_vertices: NDArray[np.float32]
    """(v, 3) T-pose, feet at y = 0."""
    faces: NDArray[np.int32]
    """(f, 3), counter-clockwise from outside."""
    colors: NDArray[np.uint8]
    """(v, 3) sRGB."""
    skin_indices: NDArray[np.uint8]
    """(v, 4) joints."""
    skin_weights: NDArray[np.float32]
    """(v, 4), sum 1."""
    rest_joints: NDArray[np.float32]
    """(55, 3) in the frame of ``rest_vertices``."""
    joints: NDArray[np.float32]
    """(55, 3) in the frame of ``vertices``."""
    uv: NDArray[np.float32]
    """(f * 3, 2) a corner, v up (Blender's and OpenGL's); empty (0, 2) where nothing was baked."""
    texture: bytes = b""
    """PNG, sRGB; empty where nothing was baked."""
