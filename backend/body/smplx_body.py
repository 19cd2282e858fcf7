"""The user's own licensed SMPL-X file, read by us and posed by the ``smplx`` package."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.body.lbs import JointTree, apply_rigid, axis_angle_to_matrix, similarity
from backend.body.model import BodyTensors, PosedBody
from backend.body.part_map import vertex_regions
from backend.body.pose import BodyPose
from backend.body.posing import pad_betas, posed_body
from backend.errors import HumanRefError
from shared_protocol.skeleton import N_JOINTS, PARENTS

Gender = Literal["neutral", "male", "female"]

# SMPL-X files come in two sizes; the last columns of ``shapedirs`` are the face's expressions.
_SHAPE_COLUMNS: dict[int, int] = {20: 10, 400: 300}
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")


def default_folder() -> Path:
    """Where SMPL-X files are looked for when no path is given."""
    return Path.home() / ".humanref" / "smplx"


def find_smplx_file(model_path: Path | None, gender: Gender = "neutral") -> Path:
    """The SMPL-X file meant by a path to a file or to a folder (or by nothing: the default folder).

    Raises:
        HumanRefError: ``smplx_missing``.
    """
    place = default_folder() if model_path is None else model_path
    name = f"SMPLX_{gender.upper()}.npz"
    candidates = (place,) if place.suffix == ".npz" else (place / name, place / "smplx" / name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise HumanRefError(
        "smplx_missing",
        f"There is no SMPL-X body file at {candidates[0]}.",
        "Register at https://smpl-x.is.tue.mpg.de (SMPL-X is licensed to you, not to us), download "
        f"'SMPL-X v1.1 (NPZ+PKL)' and put {name} there; or use the anny body, which needs no file.",
    )


class SmplxBody:
    """``BodyModel`` over ``SMPLX_{NEUTRAL,MALE,FEMALE}.npz``; betas are SMPL-X's, hands are flat.

    Pose-corrective blend shapes are included, so ``vertices`` are not exactly the rest vertices
    skinned by ``transforms``. Facial expression stays neutral.
    """

    name = "smplx"
    licence = "SMPL-X licence of the user (Max Planck Society); not shipped"

    def __init__(self, model_path: Path | None = None, gender: Gender = "neutral") -> None:
        """Read the file without executing anything stored in it.

        Raises:
            HumanRefError: ``smplx_missing`` (the file), ``smplx_package_missing``,
                ``smplx_unreadable`` (not an SMPL-X npz).
        """
        path = find_smplx_file(model_path, gender)
        try:
            from smplx.lbs import lbs
        except ImportError as error:
            raise HumanRefError(
                "smplx_package_missing",
                "The SMPL-X body needs the Python package smplx, which is not installed.",
                'Run: pip install "humanref[smplx]"',
            ) from error
        self._lbs = lbs
        try:
            # Pickled members (name tables) are never touched: npz members load one by one.
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: np.asarray(file[key], np.float32) for key in _KEYS}
                faces, uv, faces_uv = (file[key] for key in ("f", "vt", "ft"))
            self._assign(arrays, faces, uv, faces_uv)
        except (
            OSError,
            KeyError,
            ValueError,
            EOFError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise HumanRefError(
                "smplx_unreadable",
                f"{path.name} is not a usable SMPL-X model file: {error}.",
                "Use the npz files of 'SMPL-X v1.1 (NPZ+PKL)', unchanged.",
            ) from error

    def _assign(
        self,
        arrays: dict[str, np.ndarray],
        faces: np.ndarray,
        uv: np.ndarray,
        faces_uv: np.ndarray,
    ) -> None:
        n = len(arrays["v_template"])
        columns = int(arrays["shapedirs"].shape[-1])
        self.n_betas: int = _SHAPE_COLUMNS.get(columns, columns)
        parents = arrays["kintree_table"][0].astype(np.int64)[1:]
        expected = {
            "v_template": (n, 3),
            "shapedirs": (n, 3, columns),
            "posedirs": (n, 3, 9 * (N_JOINTS - 1)),
            "J_regressor": (N_JOINTS, n),
            "weights": (n, N_JOINTS),
        }
        for key, shape in expected.items():
            if arrays[key].shape != shape:
                raise ValueError(f"{key} has shape {arrays[key].shape}, not {shape}")
        if tuple(parents.tolist()) != PARENTS[1:]:
            raise ValueError("its kinematic tree is not SMPL-X's")
        self.faces = faces.astype(np.int32)
        # SMPL-X files do not say which faces lie inside the mouth.
        self.outer_faces = np.ones(len(faces), bool)
        self.uv = uv.astype(np.float32)
        self.faces_uv = faces_uv.astype(np.int32)
        self.skin_weights = arrays["weights"]
        self.regions = vertex_regions(self.skin_weights)
        self._v_template = torch.from_numpy(arrays["v_template"])
        self._shapedirs = torch.from_numpy(
            np.ascontiguousarray(arrays["shapedirs"][..., : self.n_betas])
        )
        self._posedirs = torch.from_numpy(arrays["posedirs"].reshape(-1, 9 * (N_JOINTS - 1)).T)
        self._regressor = torch.from_numpy(arrays["J_regressor"])
        self._weights = torch.from_numpy(self.skin_weights)
        # The joints are linear in the vertices and these in betas: no need for all vertices.
        self._j_template = self._regressor @ self._v_template
        self._j_dirs = torch.einsum("jv,vcb->jcb", self._regressor, self._shapedirs)
        self._parents = torch.tensor(PARENTS)
        self._tree = JointTree(PARENTS)

    def rest(self, betas: Float[Tensor, "b"]) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "55 3"]]:
        """T-pose vertices and joints of a shape, metres, in SMPL-X's own place (differentiable)."""
        betas = pad_betas(betas, self.n_betas)
        return (
            self._v_template + self._shapedirs.to(betas.dtype) @ betas,
            self._j_template + self._j_dirs.to(betas.dtype) @ betas,
        )

    def __call__(
        self,
        betas: Float[Tensor, "b"],
        full_pose: Float[Tensor, "55 3"],
        transl: Float[Tensor, "3"],
        scale: Float[Tensor, ""] | float = 1.0,
    ) -> BodyTensors:
        """SMPL-X's posed body, then scale and transl; differentiable in every argument."""
        betas = pad_betas(betas, self.n_betas)
        dtype = betas.dtype
        rotations = axis_angle_to_matrix(full_pose)
        # Rotation matrices instead of axis-angles: smplx's own Rodrigues is inexact near zero.
        vertices, _ = self._lbs(
            betas[None],
            rotations[None],
            self._v_template.to(dtype),
            self._shapedirs.to(dtype),
            self._posedirs.to(dtype),
            self._regressor.to(dtype),
            self._parents,
            self._weights.to(dtype),
            pose2rot=False,
        )
        joints = self._j_template + self._j_dirs.to(dtype) @ betas
        transforms = similarity(self._tree.transforms(rotations, joints), transl, scale)
        return BodyTensors(
            vertices=scale * vertices[0] + transl,
            joints=apply_rigid(transforms, joints),
            transforms=transforms,
        )

    def pose(self, pose: BodyPose) -> PosedBody:
        """The same without gradients, as float32 arrays.

        Raises:
            HumanRefError: see :func:`backend.body.posing.check_pose`.
        """
        return posed_body(self, pose)
