"""Files for other programs, with the right axes and scale, and never half-written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import bpy

from .errors import SceneError

ExportPose = Literal["CURRENT", "REST"]


def export_glb(
    objects: Sequence[bpy.types.Object],
    path: Path | str,
    *,
    overwrite: bool = False,
    pose: ExportPose = "CURRENT",
) -> Path:
    """Write a binary glTF (metres, y up) of armatures and meshes, animations included.

    Args:
        pose: how the skeleton stands where nothing animates it. The bind pose is the T-pose in any case.

    Raises:
        SceneError: ``nothing_to_export``, ``file_exists``, ``folder_missing``,
            ``export_failed``.
    """

    def write(temporary: Path) -> None:
        bpy.ops.export_scene.gltf(
            filepath=str(temporary),
            check_existing=False,
            export_format="GLB",
            use_selection=True,
            # Other scenes of the file have selections of their own.
            use_active_scene=True,
            export_yup=True,
            export_skins=True,
            # Otherwise joints are written at rest, and the file shows another pose than the scene.
            export_rest_position_armature=pose == "REST",
            # An armature without its root object would lose the place of the person.
            export_hierarchy_flatten_bones=False,
            export_vertex_color="MATERIAL",
        )

    return _export(objects, Path(path), ".glb", overwrite, pose, write)


def export_fbx(
    objects: Sequence[bpy.types.Object],
    path: Path | str,
    *,
    overwrite: bool = False,
    pose: ExportPose = "CURRENT",
) -> Path:
    """Write an FBX (y up, metres in the file's unit, so that objects have scale 1) with textures inside.

    Raises:
        SceneError: ``nothing_to_export``, ``file_exists``, ``folder_missing``,
            ``export_failed``.
    """

    def write(temporary: Path) -> None:
        bpy.ops.export_scene.fbx(
            filepath=str(temporary),
            check_existing=False,
            use_selection=True,
            object_types={"ARMATURE", "MESH", "EMPTY"},
            axis_forward="-Z",
            axis_up="Y",
            apply_scale_options="FBX_SCALE_ALL",
            add_leaf_bones=False,
            mesh_smooth_type="FACE",
            path_mode="COPY",
            embed_textures=True,
            bake_anim=any(_animated(obj) for obj in objects),
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
        )

    return _export(objects, Path(path), ".fbx", overwrite, pose, write)


def _export(
    objects: Sequence[bpy.types.Object],
    path: Path,
    ending: str,
    overwrite: bool,
    pose: ExportPose,
    write: Callable[[Path], None],
) -> Path:
    if path.suffix.lower() != ending:
        path = path.with_name(path.name + ending)
    if not any(obj.type == "MESH" for obj in objects):
        raise SceneError("nothing_to_export", "There is no mesh to export.", "Select a character.")
    if path.exists() and not overwrite:
        raise SceneError(
            "file_exists", f"{path.name} is there already.", "Choose another name, or overwrite it."
        )
    if not path.parent.is_dir():
        raise SceneError(
            "folder_missing",
            f"There is no folder for {path.name}.",
            "Choose a folder that is there.",
        )
    # Of the same ending, because exporters add theirs; in the same folder, because renaming is then safe.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{ending}")
    try:
        with _selected(objects), _posed(objects, pose):
            write(temporary)
        os.replace(temporary, path)
    except (RuntimeError, OSError) as error:
        raise SceneError(
            "export_failed",
            f"{path.name} could not be written: {_cause(error)}",
            "Check the folder and the free space.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


@contextmanager
def _selected(objects: Sequence[bpy.types.Object]) -> Iterator[None]:
    """Exactly these selected, in object mode; the artist's selection, mode and hiding come back."""
    layer = bpy.context.view_layer
    active, before = layer.objects.active, list(layer.objects.selected)
    mode = active.mode if active is not None else "OBJECT"
    absent = [obj.name for obj in objects if obj.name not in layer.objects]
    if absent:
        raise SceneError(
            "nothing_to_export",
            f"{absent[0]} is not in the scene that is shown.",
            "Show its collection first.",
        )
    if mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    locks = [(obj, obj.hide_get(), obj.hide_viewport, obj.hide_select) for obj in objects]
    try:
        for obj in before:
            obj.select_set(False)
        for obj in objects:
            obj.hide_viewport = obj.hide_select = False
            obj.hide_set(False)
            obj.select_set(True)
        layer.objects.active = objects[0]
        yield
    finally:
        for obj, hidden, viewport, select in locks:
            obj.select_set(False)
            obj.hide_set(hidden)
            obj.hide_viewport, obj.hide_select = viewport, select
        for obj in before:
            obj.select_set(True)
        layer.objects.active = active
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode=mode)


@contextmanager
def _posed(objects: Sequence[bpy.types.Object], pose: ExportPose) -> Iterator[None]:
    armatures = [obj.data for obj in objects if obj.type == "ARMATURE"]
    before = [data.pose_position for data in armatures]
    try:
        for data in armatures:
            data.pose_position = "REST" if pose == "REST" else "POSE"
        bpy.context.view_layer.update()
        yield
    finally:
        for data, position in zip(armatures, before, strict=True):
            data.pose_position = position


def _animated(obj: bpy.types.Object) -> bool:
    data = obj.animation_data
    return data is not None and (data.action is not None or len(data.nla_tracks) > 0)


def _cause(error: Exception) -> str:
    # An operator's error is a whole traceback; its cause is the last line that names an exception.
    lines = [line.strip() for line in str(error).splitlines()]
    named = [line for line in lines if re.match(r"\w*(Error|Exception): ", line)]
    return (named or [line for line in lines if line] or [type(error).__name__])[-1]
