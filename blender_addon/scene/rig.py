"""A person's body as an armature and a skinned mesh over the photo."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
from attrs import frozen

from ..shared_protocol.documents import BodyTemplate
from ..shared_protocol.messages import Camera, PhotoInfo, Pose


@frozen(kw_only=True, eq=False)
class BodyRig:
    """What :func:`build_body` made. Valid until the next undo or file load: keep names, not these."""

    armature: bpy.types.Object
    mesh: bpy.types.Object
    collection: bpy.types.Collection


def build_body(
    context: bpy.types.Context,
    template: BodyTemplate,
    pose: Pose,
    camera: Camera,
    photo: PhotoInfo,
    name: str,
) -> BodyRig:
    """Armature of 55 bones and skinned body in ``pose``, in a collection called ``name``.

    Raises:
        SceneError: ``template_invalid``, ``pose_invalid``.
    """
    raise NotImplementedError


def read_pose(armature: bpy.types.Object) -> Pose:
    """The pose as the armature stands now: bones, constraints and the object's own transform.

    Raises:
        SceneError: ``not_a_rig``.
    """
    raise NotImplementedError


def apply_pose(armature: bpy.types.Object, pose: Pose) -> None:
    """Pose the bones; betas and scale as well where the rig has a shape of the same model.

    Raises:
        SceneError: ``not_a_rig``, ``pose_invalid``.
    """
    raise NotImplementedError


def read_camera(armature: bpy.types.Object) -> Camera | None:
    """The photo's camera in this rig's world (it follows the rig's height); None where it has none."""
    raise NotImplementedError


def read_photo(armature: bpy.types.Object) -> PhotoInfo | None:
    """The photo that the rig was made for; None where it has none."""
    raise NotImplementedError


def set_shape(armature: bpy.types.Object, betas: Sequence[float]) -> None:
    """Another body shape in the same pose: mesh and bones (fewer betas than the model's: the rest stay).

    Raises:
        SceneError: ``not_a_rig``, ``no_shape``.
    """
    raise NotImplementedError


def read_height_cm(armature: bpy.types.Object) -> float:
    """Height of the T-pose."""
    raise NotImplementedError


def set_height_cm(armature: bpy.types.Object, cm: float) -> None:
    """Scale rig and its camera about the world's origin: the body stays over the photo.

    Raises:
        SceneError: ``not_a_rig``, ``height_invalid``.
    """
    raise NotImplementedError


def find_rigs(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The armatures of the scene that can be read as a pose: ours and adopted ones."""
    raise NotImplementedError


def can_adopt(armature: bpy.types.Object) -> bool:
    """Whether the object has SMPL-X's bones, so that :func:`adopt_armature` can take it."""
    raise NotImplementedError


def adopt_armature(
    armature: bpy.types.Object, template: BodyTemplate | None = None
) -> bpy.types.Object:
    """Let an armature with SMPL-X's bones, made elsewhere, be read as a pose; its rest is a T-pose.

    Args:
        template: the body that poses are meant for; gives the scale. Without it the scale is 1.

    Raises:
        SceneError: ``not_smplx``: bones are missing (the first few are named), or it rests in no T-pose.
    """
    raise NotImplementedError
