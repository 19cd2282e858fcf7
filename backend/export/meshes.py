"""Coloured meshes as PLY and OBJ (world frame, metres, sRGB colours)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.files import write_whole
from backend.geometry.mesh import ColoredMesh

_VERTEX = np.dtype(
    [("position", "<f4", 3), ("normal", "<f4", 3), ("color", "u1", 3)],
)
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write_ply(path: Path, mesh: ColoredMesh) -> None:
    """Binary little-endian PLY with normals and 8-bit sRGB colours.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    vertex = np.empty(len(mesh.vertices), _VERTEX)
    vertex["position"], vertex["normal"] = mesh.vertices, mesh.normals
    vertex["color"] = np.round(np.clip(mesh.colors, 0.0, 1.0) * 255)
    face = np.empty(len(mesh.faces), _FACE)
    face["count"], face["corners"] = 3, mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment humanref: metres, y up, facing +z, sRGB",
        f"element vertex {len(vertex)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        f"element face {len(face)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    write_whole(path, "\n".join(header).encode() + vertex.tobytes() + face.tobytes())


def write_obj(path: Path, mesh: ColoredMesh) -> None:
    """Wavefront OBJ with normals; colours follow the position in ``v`` lines, as Blender reads them.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    colored = np.hstack([mesh.vertices, np.clip(mesh.colors, 0.0, 1.0)])
    lines = ["# humanref: metres, y up, facing +z, sRGB vertex colours"]
    for x, y, z, r, g, b in colored.tolist():
        lines.append(f"v {x:.6f} {y:.6f} {z:.6f} {r:.5f} {g:.5f} {b:.5f}")
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in mesh.normals.tolist()]
    corners = (mesh.faces + 1).tolist()
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in corners]
    write_whole(path, ("\n".join(lines) + "\n").encode())
