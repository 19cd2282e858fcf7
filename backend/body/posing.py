"""From a :class:`BodyPose` to a :class:`PosedBody`, the same way for every body model."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.body.model import BodyModel, PosedBody
from backend.body.pose import BodyPose
from backend.errors import HumanRefError


def pad_betas(betas: Float[Tensor, "b"], n_betas: int) -> Float[Tensor, "n"]:
    """Betas as the model wants them: missing ones are zero (bases are ordered by importance).

    Raises:
        HumanRefError: ``betas_too_many`` if there are more than the model has.
    """
    if len(betas) > n_betas:
        raise HumanRefError(
            "betas_too_many",
            f"The pose has {len(betas)} shape coefficients but this body model knows {n_betas}.",
            "Drop the last ones, or use the body model that the pose was made with.",
        )
    if len(betas) == n_betas:
        return betas
    return torch.cat([betas, betas.new_zeros(n_betas - len(betas))])


def check_pose(model: BodyModel, pose: BodyPose) -> None:
    """Raise HumanRefError where ``pose`` makes no sense for ``model``.

    Codes: ``pose_other_model``, ``betas_too_many``, ``pose_not_finite``, ``pose_scale``.
    """
    if pose.model != model.name:
        raise HumanRefError(
            "pose_other_model",
            f"The pose was made for the body model {pose.model!r}, not for {model.name!r}.",
            "Shape coefficients of one model mean nothing to another: choose the matching --body.",
        )
    pad_betas(torch.zeros(len(pose.betas)), model.n_betas)
    for name in ("betas", "full_pose", "transl"):
        if not np.isfinite(getattr(pose, name)).all():
            raise HumanRefError(
                "pose_not_finite", f"The pose's {name} holds values that are not finite numbers."
            )
    if not (np.isfinite(pose.scale) and pose.scale > 0):
        raise HumanRefError("pose_scale", f"The pose's scale must be above 0, not {pose.scale}.")


def posed_body(model: BodyModel, pose: BodyPose) -> PosedBody:
    """Run ``model`` on ``pose`` without gradients; arrays are float32, metres, world frame.

    Raises:
        HumanRefError: see :func:`check_pose`.
    """
    check_pose(model, pose)
    betas = pad_betas(torch.as_tensor(pose.betas, dtype=torch.float32), model.n_betas)
    with torch.no_grad():
        posed = model(
            betas,
            torch.as_tensor(pose.full_pose, dtype=torch.float32),
            torch.as_tensor(pose.transl, dtype=torch.float32),
            float(pose.scale),
        )
        rest_vertices, rest_joints = model.rest(betas)
    return PosedBody(
        pose=pose,
        vertices=posed.vertices.numpy(),
        joints=posed.joints.numpy(),
        transforms=posed.transforms.numpy(),
        rest_vertices=rest_vertices.numpy(),
        rest_joints=rest_joints.numpy(),
        faces=model.faces,
        outer_faces=model.outer_faces,
        skin_weights=model.skin_weights,
        regions=model.regions,
    )


def stature(model: BodyModel, betas: Float[np.ndarray, "b"]) -> float:
    """Standing height of a shape in metres, sole to crown of its T-pose, before ``scale``."""
    padded = pad_betas(torch.as_tensor(betas, dtype=torch.float32), model.n_betas)
    with torch.no_grad():
        height = model.rest(padded)[0][:, 1]
    return float(height.max() - height.min())
