"""A finished character in the scene: skinned, posed as in the photo, coloured."""

from __future__ import annotations

from typing import Literal

import bpy
from attrs import frozen

from ..shared_protocol.documents import CharacterData


@frozen(kw_only=True, eq=False)
class ImportedCharacter:
    """What :func:`import_character` made. Valid until the next undo or file load."""

    armature: bpy.types.Object
    mesh: bpy.types.Object
    collection: bpy.types.Collection


def import_character(
    context: bpy.types.Context,
    data: CharacterData,
    collection: bpy.types.Collection | None = None,
) -> ImportedCharacter:
    """Armature and skinned mesh over the photo, selected and active.

    Args:
        collection: where to put it; None makes one named after the character under the scene's.

    Raises:
        SceneError: ``character_invalid``.
    """
    raise NotImplementedError


def find_characters(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Armatures of imported characters."""
    raise NotImplementedError


def to_rest_pose(armature: bpy.types.Object, pose: Literal["T", "A"] = "T") -> None:
    """Stand upright on the object's origin."""
    raise NotImplementedError


def to_photo_pose(armature: bpy.types.Object) -> None:
    """The pose of the photo, over the photo."""
    raise NotImplementedError


def has_texture(armature: bpy.types.Object) -> bool:
    """Whether the character came with a baked texture."""
    raise NotImplementedError


def show_texture(armature: bpy.types.Object, shown: bool) -> None:
    """Colour the mesh by its texture, or by its vertices.

    Raises:
        SceneError: ``no_texture``.
    """
    raise NotImplementedError
