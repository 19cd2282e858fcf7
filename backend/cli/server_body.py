"""A body as a server sends it, posed here: for pictures and joints, without the body model itself."""

from __future__ import annotations

import numpy as np
import torch

from backend.body.lbs import JointTree, axis_angle_to_matrix, similarity, skin
from backend.body.model import PosedBody
from backend.service.documents import body_pose
from shared_protocol.documents import BodyTemplate
from shared_protocol.messages import Pose
from shared_protocol.skeleton import N_JOINTS, PARENTS


def posed_template(template: BodyTemplate, pose: Pose) -> PosedBody:
    """The template in ``pose``: metres, world frame.

    Weights are the template's eight heaviest a vertex, and every face counts as an outer one.
    """
    own = body_pose(pose)
    betas = np.zeros(template.shape_directions.shape[2], np.float32)
    betas[: len(own.betas)] = own.betas
    vertices = torch.from_numpy(template.vertices + template.shape_directions @ betas)
    joints = torch.from_numpy(template.joints + template.joint_directions @ betas)
    weights = np.zeros((len(template.vertices), N_JOINTS), np.float32)
    np.put_along_axis(
        weights, template.skin_indices.astype(np.int64), template.skin_weights, axis=1
    )
    rotations = axis_angle_to_matrix(torch.from_numpy(own.full_pose))
    transforms = JointTree(PARENTS).transforms(rotations, joints)
    transforms = similarity(transforms, torch.from_numpy(own.transl), own.scale)
    posed_joints = (transforms[:, :3, :3] @ joints[..., None])[..., 0] + transforms[:, :3, 3]
    return PosedBody(
        pose=own,
        vertices=skin(vertices, torch.from_numpy(weights), transforms).numpy(),
        joints=posed_joints.numpy(),
        transforms=transforms.numpy(),
        rest_vertices=vertices.numpy(),
        rest_joints=joints.numpy(),
        faces=np.array(template.faces),
        outer_faces=np.ones(len(template.faces), bool),
        skin_weights=weights,
        regions=np.array(template.regions),
    )
