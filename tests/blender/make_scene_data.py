"""Bodies and a character, posed by the backend, as arrays to check a Blender without torch against.

Run with the backend's Python: ``python make_scene_data.py OUT.npz``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.rigging.character import rig, scale_to_height
from shared_protocol.skeleton import N_JOINTS


def main(out: Path) -> None:
    """Write the body's template, three posed bodies, and a character made of one of them."""
    body = load_body("anny")
    rng = np.random.default_rng(3)
    arrays = {f"template_{key}": value for key, value in _template(body).items()}
    arrays["model"], arrays["licence"] = np.array(body.name), np.array(body.licence)
    for index in range(3):
        pose = _pose(body, rng)
        posed = body.pose(pose)
        arrays |= {
            f"betas_{index}": pose.betas,
            f"full_pose_{index}": pose.full_pose,
            f"transl_{index}": pose.transl,
            f"scale_{index}": np.float32(pose.scale),
            f"vertices_{index}": posed.vertices,
            f"joints_{index}": posed.joints,
        }
    posed = body.pose(pose)
    colors = np.clip(0.5 + 0.5 * np.sin(7.0 * posed.vertices), 0.0, 1.0).astype(np.float32)
    mesh = ColoredMesh(
        posed.vertices, posed.faces, colors, vertex_normals(posed.vertices, posed.faces)
    )
    character, _ = scale_to_height(rig(mesh, posed), 1.8)
    arrays |= {
        "character_vertices": character.mesh.vertices,
        "character_rest_vertices": character.rest_vertices,
        "character_faces": character.mesh.faces,
        "character_colors": np.round(255 * character.mesh.colors).astype(np.uint8),
        "character_skin_indices": character.indices.astype(np.uint8),
        "character_skin_weights": character.weights,
        "character_rest_joints": character.rest_joints,
        "character_joints": character.joints,
        "character_betas": character.pose.betas,
        "character_full_pose": character.pose.full_pose,
        "character_transl": character.pose.transl,
        "character_scale": np.float32(character.pose.scale),
    }
    np.savez_compressed(out, **arrays)


def _template(body) -> dict[str, np.ndarray]:
    import torch

    zero = torch.zeros(body.n_betas)
    vertices, joints = (value.numpy() for value in body.rest(zero))
    bent = [body.rest(zero.index_fill(0, torch.tensor([k]), 1.0)) for k in range(body.n_betas)]
    order = np.argsort(-body.skin_weights, axis=1, kind="stable")[:, :8]
    return {
        "vertices": vertices,
        "joints": joints,
        "shape_directions": np.stack([v.numpy() - vertices for v, _ in bent], -1),
        "joint_directions": np.stack([j.numpy() - joints for _, j in bent], -1),
        "faces": body.faces.astype(np.int32),
        "skin_indices": order.astype(np.uint8),
        "skin_weights": np.take_along_axis(body.skin_weights, order, 1),
        "regions": body.regions,
    }


def _pose(body, rng: np.random.Generator) -> BodyPose:
    full_pose = rng.normal(0.0, 0.35, (N_JOINTS, 3))
    # Any way round, but short of half a turn: there two axis-angles say the same.
    full_pose[0] *= rng.uniform(1.0, 3.0) / np.linalg.norm(full_pose[0])
    return BodyPose(
        betas=rng.normal(0.0, 1.0, body.n_betas).astype(np.float32),
        full_pose=full_pose.astype(np.float32),
        transl=rng.normal(0.0, 0.5, 3).astype(np.float32),
        scale=float(rng.uniform(0.8, 1.2)),
        model=body.name,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
