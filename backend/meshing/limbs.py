"""Which limb a point of a person belongs to, and where along it: what patches may stand in for what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.spatial import cKDTree

from backend.body.model import PosedBody
from backend.geometry.frames import FieldToWorld
from backend.geometry.rasterizer import Raster, rasterize
from backend.guidance.mirror import extend_colors
from backend.meshing.separation import body_parts
from shared_protocol.skeleton import JOINT_NAMES

SHAPED = 255
"""The part of heads and hands, which have too much shape for patches: a face's edge would come again
beside the ear. Vertices that hold so much of them belong to it."""
_SHAPED = ("head", "jaw", "eye", "wrist", "thumb", "index", "middle", "ring", "pinky")
_SHAPED_SHARE = 0.2
TRUNK = 1
# Trunk, arms, legs of :func:`body_parts`; left and right are alike.
_OF_LIMB = np.array([TRUNK, 2, 2, 3, 3], np.uint8)
_ARM, _FOOT = 2, 4
NO_PART = 0
"""Beside the person."""


@dataclass(frozen=True)
class Limbs:
    """Of each vertex of a surface."""

    part: UInt8[np.ndarray, "v"]
    along: Float32[np.ndarray, "v"]
    """Metres in the T-pose: upwards, of arms outwards."""
    across: Float32[np.ndarray, "v"]
    """Metres from the body's middle plane in the T-pose."""

    @staticmethod
    def of_body(body: PosedBody) -> Limbs:
        """Those of the body's own vertices."""
        part = _OF_LIMB[body_parts(body.skin_weights)]
        part[_held_by(body, ("ankle", "foot")) > 0.5] = _FOOT
        part[_held_by(body, _SHAPED) > _SHAPED_SHARE] = SHAPED
        rest = body.rest_vertices * np.float32(body.pose.scale)
        across = np.abs(rest[:, 0])
        along = np.where(part == _ARM, across, rest[:, 1])
        return Limbs(part, along.astype(np.float32), across.astype(np.float32))

    @staticmethod
    def near(body: PosedBody, points: Float[np.ndarray, "v 3"]) -> Limbs:
        """Those of the body's vertices nearest to points (world frame, metres)."""
        outer = np.unique(body.faces[body.outer_faces])
        own = Limbs.of_body(body)
        _, index = cKDTree(body.vertices[outer]).query(points)
        near = outer[index]
        return Limbs(own.part[near], own.along[near], own.across[near])


@dataclass(frozen=True)
class LimbMaps:
    """The same of a picture, row 0 on top."""

    part: UInt8[np.ndarray, "n n"]
    along: Float32[np.ndarray, "n n"]
    """Pixels."""
    across: Float32[np.ndarray, "n n"]
    """Metres."""

    @staticmethod
    def of_front(body: PosedBody, cube: FieldToWorld, side: int) -> LimbMaps:
        """The body on the cube's front face; cloth around it takes what is nearest in the picture."""
        faces = body.faces[body.outer_faces]
        raster = rasterize(cube.to_field(body.vertices.astype(np.float32)), faces, side)
        own = Limbs.of_body(body)
        near = extend_colors(nearest_corners(raster, faces), raster.covered)
        along = own.along[near] * np.float32(side / (2.0 * cube.scale))
        return LimbMaps(own.part[near], along, own.across[near])


def nearest_corners(raster: Raster, faces: np.ndarray) -> np.ndarray:
    """The vertex nearest to what each pixel shows; any where there is nothing."""
    strongest = raster.barycentric.argmax(-1)[..., None]
    corners: np.ndarray = np.take_along_axis(faces[raster.face_index], strongest, -1)
    return corners[..., 0]


def _held_by(body: PosedBody, words: tuple[str, ...]) -> Float[np.ndarray, "v"]:
    """How much of each vertex hangs on joints of these names."""
    joints = [any(word in name for word in words) for name in JOINT_NAMES]
    share: np.ndarray = body.skin_weights[:, joints].sum(1)
    return share
