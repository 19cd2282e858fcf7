"""Between a fit's pixels and the world frame: where the body stands, and the camera that shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.body.model import BodyModel
from backend.body.pose import BodyPose
from backend.body.posing import stature
from backend.fitting.kinematics import ArticulatedBody, split_betas
from backend.fitting.objective import State
from backend.geometry.frames import PhotoCamera


def place_in_world(
    state: State, body: ArticulatedBody, model: BodyModel, height_m: float
) -> tuple[BodyPose, PhotoCamera]:
    """Stand the body on y = 0 with its pelvis joint over the origin, at ``height_m`` stature."""
    betas = np.concatenate([state.betas, np.trim_zeros(body.tail, "b")]).astype(np.float32)
    scale = height_m / stature(model, betas)
    pose = BodyPose(
        betas=betas,
        full_pose=state.full_pose.astype(np.float32),
        transl=np.zeros(3, np.float32),
        scale=scale,
        model=model.name,
    )
    posed = model.pose(pose)
    pelvis = posed.joints[0]
    transl = np.array([-pelvis[0], -posed.vertices[:, 1].min(), -pelvis[2]], np.float32)
    ppm = float(np.exp(state.log_scale)) / scale
    camera = PhotoCamera(
        pixels_per_metre=ppm,
        center_u=float(state.shift[0] - ppm * transl[0]),
        center_v=float(state.shift[1] + ppm * transl[1]),
    )
    return replace(pose, transl=transl), camera


def state_of_pose(pose: BodyPose, camera: PhotoCamera, n_betas: int) -> State:
    """The inverse of :func:`place_in_world`, with the ``n_betas`` coefficients that may vary."""
    betas, _ = split_betas(pose.betas, n_betas)
    ppm = camera.pixels_per_metre
    return State(
        full_pose=pose.full_pose.astype(np.float64),
        betas=betas,
        log_scale=float(np.log(ppm * pose.scale)),
        shift=np.array(
            [
                camera.center_u + ppm * float(pose.transl[0]),
                camera.center_v - ppm * float(pose.transl[1]),
            ]
        ),
    )
