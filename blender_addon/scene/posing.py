"""Ready poses, mirroring, resetting, and what the artist has changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import bpy

PresetName = Literal["T", "A", "RELAXED"]
Side = Literal["left", "right"]
PRESETS: Final[tuple[PresetName, ...]] = ("T", "A", "RELAXED")


def set_preset(armature: bpy.types.Object, preset: PresetName) -> None:
    """Pose everything but the pelvis, which stays where and as it is."""
    raise NotImplementedError


def mirror(armature: bpy.types.Object, from_side: Side) -> None:
    """Give the other side's limbs the mirrored pose of ``from_side``."""
    raise NotImplementedError


def selected_joints(armature: bpy.types.Object) -> tuple[str, ...]:
    """SMPL-X names of the selected pose bones."""
    raise NotImplementedError


def reset_limb(
    armature: bpy.types.Object,
    joints: str | Iterable[str] | None = None,
    to: Literal["proposed", "rest"] = "proposed",
) -> tuple[str, ...]:
    """Put joints and all below them back as proposed (or to the T-pose).

    Args:
        joints: SMPL-X names; None takes the selected bones.

    Returns:
        The joints that were reset.

    Raises:
        SceneError: ``nothing_selected``, ``joint_unknown``.
    """
    raise NotImplementedError


def mark_proposed(armature: bpy.types.Object) -> None:
    """The pose as it stands is what the backend proposed; nothing counts as edited."""
    raise NotImplementedError


def edited_joints(armature: bpy.types.Object) -> tuple[str, ...]:
    """Joints whose rotation differs from the proposed pose by more than 0.25 degrees."""
    raise NotImplementedError
