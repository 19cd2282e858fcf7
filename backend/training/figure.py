"""A posed, dressed person: the Anny body, MakeHuman garments and one linear blend skinning.

World frame: metres, y up, the person faces +z, their left is +x (Anny itself: z up, facing -y).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from backend.body.anny_rig import joint_bones
from backend.training.makehuman import Garment, Polygons, read_garment
from shared_protocol.skeleton import JOINT_NAMES

# Anny draws MakeHuman's stand-in eyeballs too; we put real eye meshes in.
FIRST_EYE_HELPER = 14598


@dataclass(frozen=True)
class Recipe:
    """Everything that makes one person look as they do."""

    phenotype: dict[str, float]
    """Anny's sliders in [0, 1] (gender 0 = male, 1 = female); missing ones are 0.5."""
    clothes: tuple[str, ...]
    hair: str
    pose: dict[str, tuple[float, float, float]]
    """Bone -> rotation vector (degrees, world axes, relative to its parent in the rest pose)."""
    skin: tuple[float, float, float] = (0.72, 0.50, 0.40)
    """sRGB."""
    eyes: str = "brown"
    eyebrows: str = "eyebrow001"
    eyelashes: str = "eyelashes01"
    recolor: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Part -> (hue shift in turns, saturation factor, value factor) of its texture."""
    stubble: float = 0.0


@dataclass(frozen=True)
class Part:
    """One textured piece of the finished person, posed."""

    name: str
    kind: str
    """``body``, ``clothes``, ``hair``, ``eyebrows``, ``eyelashes`` or ``eyes``."""
    vertices: Float[np.ndarray, "v 3"]
    rest: Float[np.ndarray, "v 3"]
    """The same vertices before posing."""
    uv: Float[np.ndarray, "t 2"]
    faces: Polygons
    uv_faces: Polygons
    maps: dict[str, Path]
    tint: Float[np.ndarray, "v 3"] | None = None
    """sRGB a vertex (skin)."""


@dataclass(frozen=True)
class Person:
    """All parts, standing on y = 0, and the SMPL-X joint positions (metres)."""

    recipe: Recipe
    parts: tuple[Part, ...]
    joints: dict[str, Float[np.ndarray, "3"]]


@runtime_checkable
class Figure(Protocol):
    """What painting skin asks of a body in MakeHuman's rest pose."""

    @property
    def vertices(self) -> Float[np.ndarray, "v 3"]:
        """Metres, y up."""

    @property
    def weights(self) -> Float[np.ndarray, "v b"]:
        """Bone weights, rows sum to 1."""

    @property
    def bones(self) -> list[str]:
        """Names, in the order of the weights' columns."""

    def head(self, bone: str) -> Float[np.ndarray, "3"]:
        """Where a bone starts in the rest pose."""


class AnnyFigure:
    """One body shape of Anny on MakeHuman's base mesh and its 163 bones, in the rest pose."""

    def __init__(self, phenotype: dict[str, float]) -> None:
        # Heavy and only needed here: the first construction compiles kernels for about a minute.
        import anny
        import torch

        model = anny.Anny(topology="makehuman", rig="makehuman", phenotypes="default")
        model = model.to(dtype=torch.float32)
        self.bones: list[str] = list(model.bone_labels)
        self.parents = [-1 if parent is None else int(parent) for parent in model.bone_parents]
        sliders = {
            name: torch.tensor([float(phenotype.get(name, 0.5))]) for name in model.phenotype_labels
        }
        identity = torch.eye(4).repeat(1, len(self.bones), 1, 1)
        with torch.no_grad():
            out = model(phenotype_kwargs=sliders, pose_parameters=identity)
        self.vertices = _y_up(out["rest_vertices"][0].double().numpy())
        self.heads = _y_up(out["rest_bone_heads"][0].double().numpy())
        self.weights = np.zeros((len(self.vertices), len(self.bones)))
        rows = np.arange(len(self.vertices))[:, None]
        bone_ids = model.vertex_bone_indices.numpy().astype(int)
        np.add.at(self.weights, (rows, bone_ids), model.vertex_bone_weights.numpy())
        faces = np.array(model.faces.tolist())
        uv_faces = model.face_texture_coordinate_indices.numpy()
        skin = faces.max(1) < FIRST_EYE_HELPER
        self.faces: Polygons = faces[skin].tolist()
        self.uv_faces: Polygons = uv_faces[skin].tolist()
        self.uv = model.texture_coordinates.numpy().astype(float)

    def head(self, bone: str) -> Float[np.ndarray, "3"]:
        """Where a bone starts in the rest pose."""
        return self.heads[self.bones.index(bone)]

    def pose(
        self, rotations: dict[str, tuple[float, float, float]]
    ) -> tuple[Float[np.ndarray, "b 4 4"], Float[np.ndarray, "b 3"]]:
        """Matrices rest -> posed of all bones, and the posed bone heads."""
        matrices = np.tile(np.eye(4), (len(self.bones), 1, 1))
        heads = np.zeros_like(self.heads)
        for b, parent in enumerate(self.parents):
            vector = np.radians(rotations.get(self.bones[b], (0.0, 0.0, 0.0)))
            local = Rotation.from_rotvec(vector).as_matrix()
            above = matrices[parent] if parent >= 0 else np.eye(4)
            matrices[b, :3, :3] = above[:3, :3] @ local
            heads[b] = above[:3, :3] @ self.heads[b] + above[:3, 3]
            matrices[b, :3, 3] = heads[b] - matrices[b, :3, :3] @ self.heads[b]
        return matrices, heads

    def joints(self, heads: Float[np.ndarray, "b 3"]) -> dict[str, Float[np.ndarray, "3"]]:
        """The 55 SMPL-X joints from posed bone heads."""
        bone = joint_bones()
        found = {name: heads[self.bones.index(bone[name])].copy() for name in JOINT_NAMES}
        # MakeHuman's spine starts at the back; SMPL-X's pelvis lies between the hips in depth.
        found["pelvis"][2] = (found["left_hip"][2] + found["right_hip"][2]) / 2
        return found


def blend_skin(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v b"],
    matrices: Float[np.ndarray, "b 4 4"],
) -> Float[np.ndarray, "v 3"]:
    """Linear blend skinning."""
    mixed = np.einsum("vb,bij->vij", weights, matrices[:, :3], optimize=True)
    return np.einsum("vij,vj->vi", mixed[:, :, :3], vertices) + mixed[:, :, 3]


def make_person(assets: Path, recipe: Recipe) -> Person:
    """Dress and pose one person from an asset folder in MakeHuman's layout.

    Raises:
        FileNotFoundError: an asset of the recipe is not in the folder.
    """
    figure = AnnyFigure(recipe.phenotype)
    matrices, heads = figure.pose(recipe.pose)
    wanted = [("clothes", name) for name in recipe.clothes]
    wanted += [("hair", recipe.hair), ("eyebrows", recipe.eyebrows)]
    wanted += [("eyelashes", recipe.eyelashes), ("eyes", "high-poly")]
    garments = [(kind, _find(assets, kind, name)) for kind, name in wanted]
    parts = []
    covered: set[int] = set()
    trouser_hem = None
    for kind, garment in garments:
        rest = garment.fit(figure.vertices)
        faces, uv_faces = garment.mesh.faces, garment.mesh.uv_faces
        if kind == "clothes" and "suit" in garment.name:
            trouser_hem = rest[:, 1].min()
        elif garment.name.startswith("shoes") and trouser_hem is not None:
            # Socks are as tall as the shin and would poke through the trousers.
            top = trouser_hem + 0.025
            kept = [i for i, face in enumerate(faces) if rest[face, 1].min() < top]
            faces, uv_faces = [faces[i] for i in kept], [uv_faces[i] for i in kept]
        maps = dict(garment.maps)
        if kind == "eyes":
            maps = {"diffuse": assets / "eyes" / "materials" / f"{recipe.eyes}_eye.png"}
        posed = blend_skin(rest, garment.skin_weights(figure.weights), matrices)
        parts.append(Part(garment.name, kind, posed, rest, garment.mesh.uv, faces, uv_faces, maps))
        covered |= garment.hidden
    bare = [i for i, face in enumerate(figure.faces) if not covered.issuperset(face)]
    parts.append(
        Part(
            name="body",
            kind="body",
            vertices=blend_skin(figure.vertices, figure.weights, matrices),
            rest=figure.vertices,
            uv=figure.uv,
            faces=[figure.faces[i] for i in bare],
            uv_faces=[figure.uv_faces[i] for i in bare],
            maps={},
            tint=skin_tint(figure, recipe.skin, recipe.stubble),
        )
    )
    floor = min(part.vertices[np.unique(np.concatenate(part.faces)), 1].min() for part in parts)
    lift = np.array([0.0, -floor, 0.0])
    return Person(
        recipe=recipe,
        parts=tuple(replace(part, vertices=part.vertices + lift) for part in parts),
        joints={name: point + lift for name, point in figure.joints(heads).items()},
    )


def skin_tint(
    figure: Figure, skin: tuple[float, float, float], stubble: float
) -> Float[np.ndarray, "v 3"]:
    """sRGB a base vertex: skin with redder cheeks, nose, ears and knuckles, lips, and stubble."""
    base = np.asarray(skin)
    tint = np.tile(base, (len(figure.vertices), 1))

    def near(point: Float[np.ndarray, "3"], radius: float) -> Float[np.ndarray, "v 1"]:
        squared = ((figure.vertices - point) ** 2).sum(1, keepdims=True)
        return np.exp(-squared / (2 * radius**2))

    def weight_of(*bones: str) -> Float[np.ndarray, "v 1"]:
        chosen = [i for i, bone in enumerate(figure.bones) if bone.startswith(bones)]
        return figure.weights[:, chosen].sum(1, keepdims=True)

    redden = base * np.array([1.05, 0.84, 0.82])
    for bone in figure.bones:
        if bone.startswith(("finger", "levator05", "levator06")):
            tint += 0.3 * near(figure.head(bone), 0.013) * (redden - tint)
        elif bone.startswith("special05."):
            tint += 0.2 * near(figure.head(bone), 0.02) * (0.85 * base - tint)
    lips = _lips(figure)
    tint += lips * (base * np.array([0.93, 0.70, 0.72]) - tint)
    beard = np.clip(weight_of("jaw", "oris"), 0.0, 1.0) * (1.0 - lips)
    return tint + stubble * beard * (base * np.array([0.66, 0.66, 0.70]) - tint)


def _lips(figure: Figure) -> Float[np.ndarray, "v 1"]:
    """1 on the lips, 0 elsewhere: a lens around the mouth's line, sized by the lip bones."""
    lower, upper = figure.head("oris01"), figure.head("oris05")
    size = upper[1] - lower[1]
    x, y, z = (figure.vertices - (lower + upper) / 2).T
    y = y - 0.05 * size
    across = np.clip(1.0 - (x / (0.87 * size)) ** 2, 0.0, None)
    reach = np.where(y > 0.0, 0.38, 0.42) * size * across
    inside = (np.abs(y) < 1.25 * reach) & (z > -0.03) & (across > 0.0)
    ramp = np.clip(1.6 * (1.25 - np.abs(y) / np.maximum(reach, 1e-6)), 0.0, 1.0)
    return (ramp * inside)[:, None]


def _find(assets: Path, kind: str, name: str) -> Garment:
    path = assets / kind / name / f"{name}.mhclo"
    if not path.is_file():
        raise FileNotFoundError(f"no {kind} called {name!r}: {path} is missing")
    return read_garment(path)


def _y_up(points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)
