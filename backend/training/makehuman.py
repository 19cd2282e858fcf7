"""Readers for MakeHuman text assets, and the garment fitter.

MakeHuman files are in decimetres, y up, the figure faces +z, its left is +x. A garment (``.mhclo``)
is bound vertex by vertex to the 19158-vertex hm08 base mesh, so it fits every body made from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from backend.errors import HumanRefError

DECIMETRES_PER_METRE = 10.0

Polygons = list[list[int]]


@dataclass(frozen=True)
class PolygonMesh:
    """A Wavefront mesh: polygons (any number of corners) with a texture coordinate a corner."""

    vertices: Float[np.ndarray, "v 3"]
    uv: Float[np.ndarray, "t 2"]
    faces: Polygons
    uv_faces: Polygons


@dataclass(frozen=True)
class Garment:
    """One ``.mhclo``: how each vertex of its mesh hangs on the base mesh.

    p = sum_k weights[k] * base[anchors[k]] + scale * offset, where the diagonal ``scale`` is a
    distance measured on the body over the same distance on the body the garment was made for.
    """

    name: str
    mesh: PolygonMesh
    anchors: Int[np.ndarray, "v 3"]
    weights: Float[np.ndarray, "v 3"]
    offsets: Float[np.ndarray, "v 3"]
    """Decimetres."""
    scales: dict[int, tuple[int, int, float]]
    """Axis -> (base vertex, base vertex, reference distance in decimetres)."""
    hidden: frozenset[int]
    """Base vertices that the garment covers."""
    maps: dict[str, Path]
    """Texture kind (``diffuse``, ``normalmap``, ``aomap``) -> image, only those that exist."""

    def fit(self, base: Float[np.ndarray, "b 3"]) -> Float[np.ndarray, "v 3"]:
        """Garment vertices in metres, around a base mesh in metres (hm08 order)."""
        stretch = np.ones(3)
        for axis, (first, second, reference) in self.scales.items():
            distance = abs(base[first, axis] - base[second, axis]) * DECIMETRES_PER_METRE
            stretch[axis] = distance / reference
        anchored = np.einsum("vk,vkd->vd", self.weights, base[self.anchors])
        return anchored + self.offsets * stretch / DECIMETRES_PER_METRE

    def skin_weights(self, base_weights: Float[np.ndarray, "b j"]) -> Float[np.ndarray, "v j"]:
        """The anchors' bone weights, blended; non-negative, summing to 1."""
        blend = np.clip(self.weights, 0.0, None)
        mixed = np.einsum("vk,vkj->vj", blend, base_weights[self.anchors])
        return mixed / np.maximum(mixed.sum(1, keepdims=True), 1e-9)


def read_obj(path: Path) -> PolygonMesh:
    """A Wavefront file; polygons are kept as they are."""
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    faces: Polygons = []
    uv_faces: Polygons = []
    for words in _words(path):
        if words[0] == "v":
            vertices.append([float(x) for x in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(x) for x in words[1:3]])
        elif words[0] == "f":
            corners = [corner.split("/") for corner in words[1:]]
            faces.append([int(corner[0]) - 1 for corner in corners])
            uv_faces.append([int(corner[1]) - 1 for corner in corners])
    return PolygonMesh(np.array(vertices), np.array(uv), faces, uv_faces)


def read_garment(path: Path) -> Garment:
    """A ``.mhclo`` with the mesh and the images it names.

    Raises:
        HumanRefError: ``asset_broken`` where a file is missing, torn or no MakeHuman asset.
    """
    try:
        return _read_garment(path)
    except (OSError, ValueError, KeyError, IndexError) as error:
        reason = error if isinstance(error, (OSError, ValueError)) else "its form is wrong"
        raise HumanRefError(
            "asset_broken",
            f"The asset {path} cannot be used: {reason}.",
            "Fetch the assets folder again.",
        ) from error


def _read_garment(path: Path) -> Garment:
    anchors: list[tuple[int, int, int]] = []
    weights: list[tuple[float, ...]] = []
    offsets: list[tuple[float, ...]] = []
    scales: dict[int, tuple[int, int, float]] = {}
    hidden: set[int] = set()
    named: dict[str, Path] = {}
    section = ""
    for words in _words(path):
        key = words[0]
        if key in ("verts", "delete_verts"):
            section = key
        elif key in ("x_scale", "y_scale", "z_scale"):
            scales["xyz".index(key[0])] = (int(words[1]), int(words[2]), float(words[3]))
        elif key in ("obj_file", "material"):
            named[key] = path.parent / words[1]
        elif key[0].isalpha():
            # Other keywords may stand anywhere, also between `verts` and its rows.
            continue
        elif section == "delete_verts":
            hidden.update(_ranges(words))
        elif section == "verts" and len(words) == 1:
            anchors.append((int(key),) * 3)
            weights.append((1.0, 0.0, 0.0))
            offsets.append((0.0, 0.0, 0.0))
        elif section == "verts":
            a, b, c = (int(word) for word in words[:3])
            numbers = tuple(float(word) for word in words[3:9])
            anchors.append((a, b, c))
            weights.append(numbers[:3])
            offsets.append(numbers[3:])
    mesh = read_obj(named["obj_file"])
    if len(mesh.vertices) != len(anchors):
        raise ValueError(f"{len(anchors)} binding rows, {len(mesh.vertices)} vertices")
    return Garment(
        name=path.stem,
        mesh=mesh,
        anchors=np.array(anchors),
        weights=np.array(weights),
        offsets=np.array(offsets),
        scales=scales,
        hidden=frozenset(hidden),
        maps=read_material(named["material"]) if "material" in named else {},
    )


def read_material(path: Path) -> dict[str, Path]:
    """Texture kind -> image for the images of a ``.mhmat`` that are really there."""
    maps: dict[str, Path] = {}
    for words in _words(path):
        if words[0].endswith("Texture") and len(words) > 1:
            image = path.parent / words[1]
            if image.is_file():
                maps[words[0].removesuffix("Texture")] = image
    return maps


def _words(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if words and not words[0].startswith("#"):
                yield words


def _ranges(words: list[str]) -> Iterator[int]:
    """``3 7 - 9 12`` -> 3, 7, 8, 9, 12."""
    position = 0
    while position < len(words):
        first = int(words[position])
        if words[position + 1 : position + 2] == ["-"]:
            yield from range(first, int(words[position + 2]) + 1)
            position += 3
        else:
            yield first
            position += 1
