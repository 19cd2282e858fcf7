"""The pose and shape of one person: SMPL-X parameters plus a uniform scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shared_protocol.skeleton import N_JOINTS, POSE_SLICES


@dataclass(frozen=True)
class BodyPose:
    """SMPL-X style parameters of one body in the world frame.

    World vertex = scale * LBS(betas, full_pose) + transl. SMPL-X itself has no ``scale``; it is 1
    for imported parameter files and lets a photo (which has no scale) be set to a stature.

    Attributes:
        betas: shape coefficients of the body model called ``model``.
        full_pose: (55, 3) axis-angle, radians, SMPL-X joint order, relative to the T-pose.
        transl: metres.
        scale: uniform, dimensionless.
        model: ``"anny_smplx55"`` or ``"smplx"``: betas of one mean nothing to the other.
    """

    betas: Float[np.ndarray, "b"]
    full_pose: Float[np.ndarray, "55 3"]
    transl: Float[np.ndarray, "3"]
    scale: float = 1.0
    model: str = "anny_smplx55"

    def part(self, name: str) -> Float[np.ndarray, "k 3"]:
        """A named part (``body_pose``, ``left_hand_pose``, ...) of the full pose."""
        return self.full_pose[POSE_SLICES[name]]

    @staticmethod
    def t_pose(n_betas: int, model: str = "anny_smplx55") -> BodyPose:
        """The mean body in the T-pose."""
        return BodyPose(
            betas=np.zeros(n_betas, np.float32),
            full_pose=np.zeros((N_JOINTS, 3), np.float32),
            transl=np.zeros(3, np.float32),
            model=model,
        )
