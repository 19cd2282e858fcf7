"""The mesh as it grows: one object whose geometry is replaced many times, quickly and outside undo."""

from __future__ import annotations

import uuid
from typing import Final

import bpy
import numpy as np
from numpy.typing import NDArray

from . import materials, mesh_data, stored

_MATERIAL: Final = "HumanRef live"
_LIVE: Final = "live"


class LiveMesh:
    """Shows previews. Keeps names only, so the user may delete, rename or undo what it shows."""

    def __init__(self, name: str, collection: bpy.types.Collection | None = None) -> None:
        """Nothing appears before the first update; ``collection`` None is the scene's own."""
        self._name = name
        self._collection = None if collection is None else collection.name
        # Found by this mark: names change when an artist renames or Blender adds .001.
        self._mark = uuid.uuid4().hex
        self._last = ""

    def update(
        self,
        vertices: NDArray[np.float32],
        faces: NDArray[np.int32],
        colors: NDArray[np.uint8],
        topology: str,
    ) -> bool:
        """Show a mesh. Writes data only, so that no undo step is made.

        Args:
            vertices: (v, 3) metres, the body's world (y up).
            faces: (f, 3), in range.
            colors: (v, 3) sRGB.
            topology: same id, same faces: only positions and colours are written.

        Returns:
            False where the user edits the mesh and it was left alone.
        """
        shown = self.object
        if shown is None:
            shown = self._make()
        mesh = shown.data
        if mesh.is_editmode:
            return False
        # What the mesh holds is noted on the mesh itself: an undo takes both back together.
        values = shown[stored.MESH]
        if values["topology"] == topology and len(mesh.vertices) == len(vertices):
            mesh_data.move(mesh, vertices)
        else:
            mesh_data.fill(mesh, vertices, faces)
            values["topology"] = topology
        mesh_data.color_floats(mesh, colors)
        return True

    @property
    def object(self) -> bpy.types.Object | None:
        """What is shown now, if it is still there and in a scene."""
        named = bpy.data.objects.get(self._last)
        if named is not None and self._is_ours(named):
            return named
        for obj in bpy.data.objects:
            if self._is_ours(obj):
                self._last = obj.name
                return obj
        return None

    def remove(self) -> None:
        """Take the object and its mesh out of the file; nothing happens where it is gone already."""
        for obj in [obj for obj in bpy.data.objects if self._marked(obj)]:
            mesh = obj.data
            bpy.data.objects.remove(obj)
            if mesh is not None and mesh.users == 0:
                bpy.data.meshes.remove(mesh)

    def _marked(self, obj: bpy.types.Object) -> bool:
        values = obj.get(stored.MESH)
        return obj.type == "MESH" and values is not None and values.get("mark") == self._mark

    def _is_ours(self, obj: bpy.types.Object) -> bool:
        # A deleted object stays in the file without users until it is saved or purged.
        return self._marked(obj) and bool(obj.users_collection)

    def _make(self) -> bpy.types.Object:
        self.remove()
        mesh = bpy.data.meshes.new(self._name)
        obj = bpy.data.objects.new(self._name, mesh)
        stored.write(obj, stored.MESH, {"role": _LIVE, "mark": self._mark, "topology": "\0"})
        # A click while it grows must not take the selection off the artist's bones.
        obj.hide_select = True
        mesh.materials.append(_shared_material())
        collection = bpy.data.collections.get(self._collection or "")
        if collection is None:
            collection = bpy.context.scene.collection
        collection.objects.link(obj)
        self._last = obj.name
        return obj


def find_live(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Live meshes in the scene, also those that a closed Blender has left in a saved file."""
    found = []
    for obj in scene.objects:
        values = obj.get(stored.MESH)
        if obj.type == "MESH" and values is not None and values.get("role") == _LIVE:
            found.append(obj)
    return found


def _shared_material() -> bpy.types.Material:
    material = bpy.data.materials.get(_MATERIAL)
    return materials.colored_material(_MATERIAL) if material is None else material
