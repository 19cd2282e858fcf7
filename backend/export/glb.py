"""A character as binary glTF 2.0: one skinned mesh, its texture, the SMPL-X skeleton.

Positions are stored in the T-pose; the nodes' default transforms put the character into the photo's
pose. glTF's frame (metres, y up, facing +z) is our world frame. A character without a texture has vertex
colours instead; never both, because glTF multiplies one with the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pygltflib as gltf
from jaxtyping import Float32, Int
from scipy.spatial.transform import Rotation

from backend.export.colors import linear_from_srgb
from backend.export.pictures import png_bytes
from backend.files import write_whole
from backend.rigging.character import Character
from shared_protocol.skeleton import JOINT_NAMES, N_JOINTS, PARENTS

# Node order: the joints (node index = joint index), then the armature and the mesh.
ARMATURE_NODE = N_JOINTS
MESH_NODE = N_JOINTS + 1

_COMPONENTS: Final = {
    "float32": gltf.FLOAT,
    "uint32": gltf.UNSIGNED_INT,
    "uint16": gltf.UNSIGNED_SHORT,
    "uint8": gltf.UNSIGNED_BYTE,
}


def write_glb(
    path: Path,
    character: Character,
    name: str = "character",
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Write :func:`glb_bytes` to a file, whole or not at all.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    write_whole(path, glb_bytes(character, name, extras))


def glb_bytes(
    character: Character, name: str = "character", extras: Mapping[str, Any] | None = None
) -> bytes:
    """The character as the bytes of a .glb file.

    Args:
        character: standing in its world (metres).
        name: of the armature node; Blender shows it.
        extras: more JSON values for the armature node, beside ``humanref_pose``.
    """
    packer = _Packer()
    corners = split_at_seams(character)
    vertex = corners.vertex
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (N_JOINTS, 1, 1))
    inverse_bind[:, :3, 3] = -character.rest_joints
    index_type = np.uint16 if len(vertex) < 65535 else np.uint32
    target, elements = gltf.ARRAY_BUFFER, gltf.ELEMENT_ARRAY_BUFFER
    primitive = gltf.Primitive(
        attributes=gltf.Attributes(
            POSITION=packer.add(
                character.rest_vertices[vertex].astype(np.float32), gltf.VEC3, target, limits=True
            ),
            NORMAL=packer.add(character.rest_normals[vertex].astype(np.float32), gltf.VEC3, target),
            JOINTS_0=packer.add(character.indices[vertex].astype(np.uint8), gltf.VEC4, target),
            WEIGHTS_0=packer.add(character.weights[vertex].astype(np.float32), gltf.VEC4, target),
        ),
        indices=packer.add(corners.faces.astype(index_type).ravel(), gltf.SCALAR, elements),
        material=0,
    )
    if corners.uv is None:
        primitive.attributes.COLOR_0 = _add_colors(packer, character)
    else:
        # glTF's v runs down.
        uv = corners.uv * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)
        primitive.attributes.TEXCOORD_0 = packer.add(uv, gltf.VEC2, target)
    # glTF stores matrices column by column.
    bind = packer.add(inverse_bind.transpose(0, 2, 1).reshape(-1, 16), gltf.MAT4, None)
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator=f"humanref {_version()}"),
        scene=0,
        scenes=[gltf.Scene(name="Scene", nodes=[ARMATURE_NODE, MESH_NODE])],
        nodes=[*_joint_nodes(character), *_object_nodes(character, name, dict(extras or {}))],
        meshes=[gltf.Mesh(name=name, primitives=[primitive])],
        skins=[
            gltf.Skin(
                name="SMPL-X",
                joints=list(range(N_JOINTS)),
                inverseBindMatrices=bind,
                skeleton=0,
            )
        ],
        materials=[_material(textured=corners.uv is not None)],
        accessors=packer.accessors,
        bufferViews=packer.views,
        buffers=[gltf.Buffer(byteLength=len(packer.blob))],
    )
    if character.texture is not None:
        packer.add_picture(document, png_bytes(character.texture), name)
    document.buffers[0].byteLength = len(packer.blob)
    document.set_binary_blob(bytes(packer.blob))
    return b"".join(document.save_to_bytes())


@dataclass(frozen=True)
class SplitMesh:
    """Vertices as glTF wants them: one for each place in the texture."""

    vertex: Int[np.ndarray, "n"]
    """The character's vertex that each one copies."""
    faces: Int[np.ndarray, "f 3"]
    uv: Float32[np.ndarray, "n 2"] | None
    """v up; None where there is no texture."""


def split_at_seams(character: Character) -> SplitMesh:
    """A copy of a vertex for each of its places in the texture; copies differ in nothing else."""
    faces, count = character.mesh.faces, len(character.mesh.vertices)
    if character.uv is None:
        return SplitMesh(np.arange(count), faces, None)
    corner = np.empty(faces.size, [("vertex", np.int64), ("u", np.float32), ("v", np.float32)])
    corner["vertex"] = faces.ravel()
    corner["u"], corner["v"] = character.uv.T
    # Sorting the bytes is several times faster than sorting by fields.
    _, first, split = np.unique(corner.view("V16"), return_index=True, return_inverse=True)
    uv = character.uv[first].astype(np.float32)
    return SplitMesh(corner["vertex"][first], split.reshape(faces.shape), uv)


def _add_colors(packer: _Packer, character: Character) -> int:
    """Vertex colours in linear light; 16 bits, because 8 would merge the darkest sRGB values."""
    colors = np.ones((len(character.mesh.colors), 4))
    srgb = np.clip(character.mesh.colors.astype(np.float64), 0.0, 1.0)
    colors[:, :3] = linear_from_srgb(srgb)
    values = np.round(colors * 65535).astype(np.uint16)
    return packer.add(values, gltf.VEC4, gltf.ARRAY_BUFFER, normalized=True)


def _material(*, textured: bool) -> gltf.Material:
    return gltf.Material(
        name="texture" if textured else "vertex colours",
        pbrMetallicRoughness=gltf.PbrMetallicRoughness(
            baseColorFactor=[1.0, 1.0, 1.0, 1.0],
            baseColorTexture=gltf.TextureInfo(index=0, texCoord=0) if textured else None,
            metallicFactor=0.0,
            roughnessFactor=1.0,
        ),
        emissiveFactor=None,
        alphaMode=None,
        alphaCutoff=None,
    )


def _joint_nodes(character: Character) -> list[gltf.Node]:
    """One node a joint: offset from the parent at rest, rotation of the photo's pose."""
    rotation = Rotation.from_rotvec(character.pose.full_pose.astype(np.float64)).as_quat()
    offset = character.rest_joints.astype(np.float64)
    offset[1:] -= character.rest_joints[list(PARENTS[1:])]
    root = np.append(character.rest_joints[0].astype(np.float64), 1.0)
    offset[0] = (character.transforms[0] @ root)[:3]
    return [
        gltf.Node(
            name=JOINT_NAMES[joint],
            children=[child for child in range(N_JOINTS) if PARENTS[child] == joint] or None,
            translation=offset[joint].tolist(),
            rotation=rotation[joint].tolist(),
        )
        for joint in range(N_JOINTS)
    ]


def _object_nodes(character: Character, name: str, extras: dict[str, Any]) -> list[gltf.Node]:
    pose = character.pose
    extras["humanref_pose"] = {
        "model": pose.model,
        "betas": pose.betas.astype(float).tolist(),
        "full_pose": pose.full_pose.astype(float).tolist(),
        "transl": pose.transl.astype(float).tolist(),
        "scale": float(pose.scale),
    }
    extras["humanref_height"] = character.height
    return [
        gltf.Node(name=name, children=[0], extras=extras),
        gltf.Node(name=f"{name} mesh", mesh=0, skin=0),
    ]


def _version() -> str:
    try:
        return version("humanref")
    except PackageNotFoundError:
        return "from source"


class _Packer:
    """Collects arrays into one binary blob, each with its view and accessor."""

    def __init__(self) -> None:
        self.blob = bytearray()
        self.views: list[gltf.BufferView] = []
        self.accessors: list[gltf.Accessor] = []

    def add(
        self,
        array: np.ndarray,
        kind: str,
        target: int | None,
        *,
        normalized: bool = False,
        limits: bool = False,
    ) -> int:
        """Append an array; returns its accessor's index."""
        data = np.ascontiguousarray(array).tobytes()
        self.views.append(
            gltf.BufferView(
                buffer=0, byteOffset=len(self.blob), byteLength=len(data), target=target
            )
        )
        self.blob += data + b"\0" * (-len(data) % 4)
        self.accessors.append(
            gltf.Accessor(
                bufferView=len(self.views) - 1,
                componentType=_COMPONENTS[array.dtype.name],
                count=len(array),
                type=kind,
                normalized=normalized or None,
                min=array.min(0).astype(float).tolist() if limits else None,
                max=array.max(0).astype(float).tolist() if limits else None,
            )
        )
        return len(self.accessors) - 1

    def add_picture(self, document: gltf.GLTF2, png: bytes, name: str) -> None:
        """Append a PNG as the document's only texture, smooth near and far."""
        view = gltf.BufferView(buffer=0, byteOffset=len(self.blob), byteLength=len(png))
        self.views.append(view)
        self.blob += png + b"\0" * (-len(png) % 4)
        document.images = [
            gltf.Image(name=name, mimeType="image/png", bufferView=len(self.views) - 1)
        ]
        document.samplers = [
            gltf.Sampler(
                magFilter=gltf.LINEAR,
                minFilter=gltf.LINEAR_MIPMAP_LINEAR,
                wrapS=gltf.CLAMP_TO_EDGE,
                wrapT=gltf.CLAMP_TO_EDGE,
            )
        ]
        document.textures = [gltf.Texture(name=name, sampler=0, source=0)]
