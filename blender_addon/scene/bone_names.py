"""Bone names of other tools for the same 55 joints."""

from __future__ import annotations

from typing import Final, Literal

import bpy

Scheme = Literal["SMPLX", "RIGIFY", "RIGIFY_DEF", "MIXAMO", "UNREAL", "VRM"]
SCHEMES: Final[tuple[Scheme, ...]] = ("SMPLX", "RIGIFY", "RIGIFY_DEF", "MIXAMO", "UNREAL", "VRM")


def current_scheme(armature: bpy.types.Object) -> Scheme | None:
    """The naming that the bones have now; None where they follow none."""
    raise NotImplementedError


def rename_bones(armature: bpy.types.Object, scheme: Scheme) -> int:
    """Rename the bones of our joints; vertex groups, constraints and actions follow.

    Returns:
        How many names changed: 0 the second time.

    Raises:
        SceneError: ``not_a_rig``, ``name_taken``.
    """
    raise NotImplementedError
