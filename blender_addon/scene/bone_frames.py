"""Where the bones of an armature are, at rest and posed, as arrays: all bones in a few calls."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Matrices = NDArray[np.float64]


@frozen(eq=False)
class BoneFrames:
    """Bones in the order of ``pose.bones``, parents first; (n, 4, 4) in the armature's space."""

    index: dict[str, int]
    """Bone name -> row."""
    parents: tuple[int, ...]
    """Row of the parent; -1 for none."""
    rest: Matrices
    offsets: Matrices
    """Rest relative to the parent's rest."""
    posed: Matrices

    def parent_posed(self, name: str) -> Matrices:
        """(4, 4) posed matrix of a bone's parent; the identity for none."""
        parent = self.parents[self.index[name]]
        return self.posed[parent] if parent >= 0 else np.eye(4)


def bone_frames(armature: bpy.types.Object) -> BoneFrames:
    """The bones as they stand now.

    Worked out from the channels, which are always up to date, also while the armature is hidden; only
    constraints need Blender's own evaluation.
    """
    bones = armature.pose.bones
    index = {bone.name: row for row, bone in enumerate(bones)}
    parents = tuple(-1 if bone.parent is None else index[bone.parent.name] for bone in bones)
    rest = _matrices([bone.bone for bone in bones], armature.data.bones, "matrix_local")
    above = np.stack([rest[parent] if parent >= 0 else np.eye(4) for parent in parents])
    offsets = np.linalg.solve(above, rest)
    if any(not constraint.mute for bone in bones for constraint in bone.constraints):
        bpy.context.view_layer.update()
        posed = _matrices(list(bones), bones, "matrix")
    else:
        local = offsets @ _matrices(list(bones), bones, "matrix_basis")
        posed = np.empty_like(local)
        for row, parent in enumerate(parents):
            posed[row] = posed[parent] @ local[row] if parent >= 0 else local[row]
    return BoneFrames(index=index, parents=parents, rest=rest, offsets=offsets, posed=posed)


def _matrices(wanted: list[Any], collection: Any, name: str) -> Matrices:
    """(n, 4, 4) of one matrix property, in the order of ``wanted``."""
    flat = np.empty(16 * len(collection), np.float32)
    collection.foreach_get(name, flat)
    # Blender stores columns.
    matrices = np.swapaxes(flat.reshape(-1, 4, 4), 1, 2).astype(np.float64)
    row = {bone.name: number for number, bone in enumerate(collection)}
    return matrices[[row[bone.name] for bone in wanted]]
