"""A small base body and garments in MakeHuman's layout, all made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from backend.body.anny_body import AnnyBody
from backend.body.anny_rig import joint_bones
from backend.training.base_body import BaseShape, Topology
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES


class ToyBase:
    """The shipped body in place of MakeHuman's base mesh: its rest pose is already the T-pose.

    ``mean``: betas of its average person.
    """

    phenotypes = ("height",)

    def __init__(self, mean: tuple[float, ...] = ()) -> None:
        self.body = AnnyBody()
        self._mean = np.zeros(self.body.n_betas)
        self._mean[: len(mean)] = mean
        extra = {"root": "pelvis", "oris01": "jaw", "oris05": "jaw"}
        bones = [joint_bones()[name] for name in JOINT_NAMES] + list(extra)
        weights = np.zeros((len(self.body.regions), len(bones)))
        weights[:, : len(JOINT_NAMES)] = self.body.skin_weights
        owners = [*range(len(JOINT_NAMES)), *(JOINT_INDEX[name] for name in extra.values())]
        outer = self.body.outer_faces
        self.topology = Topology(
            faces=self.body.faces[outer].astype(np.int64),
            uv_faces=self.body.faces_uv[outer].astype(np.int64),
            uv=self.body.uv.astype(np.float64),
            weights=weights,
            bones=bones,
            joint_of_bone=np.array(owners),
        )

    def betas(self, phenotype: dict[str, float]) -> np.ndarray:
        betas = self._mean.copy()
        betas[0] += 2.0 * (phenotype.get("height", 0.5) - 0.5)
        return betas

    def shape(self, phenotype: dict[str, float]) -> BaseShape:
        betas = torch.from_numpy(self.betas(phenotype).astype(np.float32))
        vertices, joints = (a.numpy().astype(np.float64) for a in self.body.rest(betas))
        heads = np.concatenate([joints, joints[:1], joints[[JOINT_INDEX["jaw"]]] + [[0, 0, 0.08]]])
        heads = np.concatenate([heads, heads[-1:] + np.array([[0.0, 0.015, 0.0]])])
        moves = np.tile(np.eye(4), (len(heads), 1, 1))
        return BaseShape(self.topology, vertices, heads, moves, joints)


def write_garment(
    folder: Path, base: ToyBase, chosen: np.ndarray, image: np.ndarray | None
) -> None:
    """Garment of the triangles whose corners are all ``chosen``, 1 cm in front of the skin."""
    folder.mkdir(parents=True)
    name = folder.name
    faces = base.topology.faces[chosen[base.topology.faces].all(1)]
    used, local = np.unique(faces, return_inverse=True)
    points = base.shape({}).vertices[used] * 10
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in points]
    lines += [f"vt {x / 10 + 0.5:.4f} {y / 10 + 0.5:.4f}" for x, y, _ in points]
    lines += ["f " + " ".join(f"{k + 1}/{k + 1}" for k in f) for f in local.reshape(-1, 3)]
    (folder / f"{name}.obj").write_text("\n".join(lines) + "\n")
    rows = [f"{v} {v} {v} 1 0 0 0 0 0.1" for v in used]
    text = [f"obj_file {name}.obj", f"material {name}.mhmat", "verts 0", *rows]
    (folder / f"{name}.mhclo").write_text("\n".join(text) + "\n")
    (folder / f"{name}.mhmat").write_text(f"diffuseTexture {name}.png\n")
    if image is not None:
        Image.fromarray(image).save(folder / f"{name}.png")
