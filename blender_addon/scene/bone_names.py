"""Bone names of other tools for the same 55 joints."""

from __future__ import annotations

import bpy

from .armature import joint_bones
from .bone_tables import SCHEMES, Scheme, names_of
from .errors import SceneError
from .pose_io import rig_values

__all__ = ["SCHEMES", "Scheme", "current_scheme", "rename_bones"]


def current_scheme(armature: bpy.types.Object) -> Scheme | None:
    """The naming that the bones have now; None where they follow none."""
    names = joint_bones(armature)
    for scheme in SCHEMES:
        wanted = names_of(scheme)
        if names and all(wanted[joint] == name for joint, name in names.items()):
            return scheme
    return None


def rename_bones(armature: bpy.types.Object, scheme: Scheme) -> int:
    """Rename the bones of our joints; vertex groups, constraints and actions follow.

    Returns:
        How many names changed: 0 the second time.

    Raises:
        SceneError: ``not_a_rig``, ``name_taken`` when another bone has one of the names, ``not_smplx``
            for an adopted armature, whose bones are found by their names.
    """
    if rig_values(armature)["kind"] == "adopted":
        raise SceneError(
            "not_smplx",
            f"{armature.name} was not made by HumanRef; its bones keep their names.",
            "Import a character to rename its bones.",
        )
    wanted, present = names_of(scheme), joint_bones(armature)
    changes = {name: wanted[joint] for joint, name in present.items() if wanted[joint] != name}
    bones = armature.data.bones
    taken = [new for new in changes.values() if new in bones and new not in changes]
    if taken:
        raise SceneError(
            "name_taken", f"There is another bone called {taken[0]}.", "Rename that one first."
        )
    # In two steps, because some names change places (Unreal's head, VRM's spine).
    for number, old in enumerate(changes):
        bones[old].name = f"humanref.{number}"
    for number, new in enumerate(changes.values()):
        bones[f"humanref.{number}"].name = new
    return len(changes)
