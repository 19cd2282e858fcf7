"""One protocol for parametric bodies with SMPL-X's 55 joints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from backend.body.pose import BodyPose


class Region(IntEnum):
    """The paper's four regions and the background (3.1); the values stored in region maps."""

    BACKGROUND = 0
    HEAD = 1
    UPPER = 2
    LOWER = 3
    FEET = 4


@dataclass(frozen=True)
class BodyTensors:
    """Differentiable result of a body model (metres, world frame)."""

    vertices: Float[Tensor, "v 3"]
    joints: Float[Tensor, "55 3"]
    transforms: Float[Tensor, "55 4 4"]
    """Rest (T-pose, unscaled) to world, one a joint: scale and transl included."""


@dataclass(frozen=True)
class PosedBody:
    """A posed body as arrays, with all that later stages ask of it (metres, world frame).

    ``rest_*`` are the T-pose of the same betas, unscaled, pelvis near the origin.
    """

    pose: BodyPose
    vertices: Float[np.ndarray, "v 3"]
    joints: Float[np.ndarray, "55 3"]
    transforms: Float[np.ndarray, "55 4 4"]
    rest_vertices: Float[np.ndarray, "v 3"]
    rest_joints: Float[np.ndarray, "55 3"]
    faces: Int[np.ndarray, "f 3"]
    outer_faces: Bool[np.ndarray, "f"]
    """False for mouth bag, eye sockets, nostrils."""
    skin_weights: Float[np.ndarray, "v 55"]
    regions: UInt8[np.ndarray, "v"]


@runtime_checkable
class BodyModel(Protocol):
    """A parametric body: ``AnnyBody`` ships with us, ``SmplxBody`` reads the user's files."""

    name: str
    licence: str
    n_betas: int
    faces: Int[np.ndarray, "f 3"]
    outer_faces: Bool[np.ndarray, "f"]
    skin_weights: Float[np.ndarray, "v 55"]
    regions: UInt8[np.ndarray, "v"]
    uv: Float[np.ndarray, "t 2"]
    faces_uv: Int[np.ndarray, "f 3"]

    def rest(self, betas: Float[Tensor, "b"]) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "55 3"]]:
        """T-pose vertices and joints of a shape, metres, differentiable."""

    def __call__(
        self,
        betas: Float[Tensor, "b"],
        full_pose: Float[Tensor, "55 3"],
        transl: Float[Tensor, "3"],
        scale: Float[Tensor, ""] | float = 1.0,
    ) -> BodyTensors:
        """Linear blend skinning, differentiable in every argument."""

    def pose(self, pose: BodyPose) -> PosedBody:
        """The same without gradients, as arrays. Raises HumanRefError for another model's betas."""
