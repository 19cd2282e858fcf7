"""Files for other programs, with the right axes and scale, and never half-written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy


def export_glb(
    objects: Sequence[bpy.types.Object], path: Path | str, *, overwrite: bool = False
) -> Path:
    """Write a binary glTF (metres, y up) of ``objects`` in their present pose.

    Raises:
        SceneError: ``nothing_to_export``, ``file_exists``, ``export_failed``.
    """
    raise NotImplementedError


def export_fbx(
    objects: Sequence[bpy.types.Object], path: Path | str, *, overwrite: bool = False
) -> Path:
    """Write an FBX (y up, 1 unit = 1 m as Unity and Unreal read it) with embedded textures.

    Raises:
        SceneError: ``nothing_to_export``, ``file_exists``, ``export_failed``.
    """
    raise NotImplementedError
