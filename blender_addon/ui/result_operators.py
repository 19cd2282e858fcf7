"""Step 5: poses, bone names and files of a finished character."""

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import BoolProperty, EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from ..scene.bone_names import rename_bones
from ..scene.character import show_texture, to_photo_pose, to_rest_pose
from ..scene.export import export_fbx, export_glb
from ..session.sight import color_views
from .operator_base import ExplainedOperator
from .requirements import active_character, need_character, need_editable


class HUMANREF_OT_rest_pose(ExplainedOperator, bpy.types.Operator):
    """Put the character into a rest pose, upright on its origin"""

    bl_idname = "humanref.rest_pose"
    bl_label = "Rest Pose"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_character, need_editable)

    pose: EnumProperty(
        name="Pose",
        description="Pose for rigging and animation",
        items=(
            ("T", "T-Pose", "Arms straight to the sides"),
            ("A", "A-Pose", "Arms lowered by 45 degrees"),
        ),
    )

    def run(self, context: bpy.types.Context) -> None:
        to_rest_pose(active_character(context), self.pose)


class HUMANREF_OT_photo_pose(ExplainedOperator, bpy.types.Operator):
    """Put the character back into the pose of its photo"""

    bl_idname = "humanref.photo_pose"
    bl_label = "Photo Pose"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_character, need_editable)

    def run(self, context: bpy.types.Context) -> None:
        to_photo_pose(active_character(context))


_SCHEMES = (
    ("SMPLX", "SMPL-X", "pelvis, left_hip, ..."),
    ("RIGIFY", "Rigify Metarig", "spine, thigh.L, ..."),
    ("RIGIFY_DEF", "Rigify Deform", "DEF-spine, DEF-thigh.L, ..."),
    ("MIXAMO", "Mixamo", "mixamorig:Hips, mixamorig:LeftUpLeg, ..."),
    ("UNREAL", "Unreal Mannequin", "pelvis, thigh_l, ..."),
    ("VRM", "VRM Humanoid", "hips, leftUpperLeg, ..."),
)
SCHEME_LABELS = {name: label for name, label, _ in _SCHEMES}
"""Naming scheme -> its name for people."""


class HUMANREF_OT_rename_bones(ExplainedOperator, bpy.types.Operator):
    """Name the bones as another tool expects them; weights and animation follow"""

    bl_idname = "humanref.rename_bones"
    bl_label = "Bone Names"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_character, need_editable)

    scheme: EnumProperty(
        name="Names",
        description="Naming scheme",
        items=_SCHEMES,
    )

    def run(self, context: bpy.types.Context) -> None:
        changed = rename_bones(active_character(context), self.scheme)
        self.report({"INFO"}, rpt_("{} bones renamed").format(changed))


class HUMANREF_OT_show_texture(ExplainedOperator, bpy.types.Operator):
    """Color the character by its texture, or by its vertices"""

    bl_idname = "humanref.show_texture"
    bl_label = "Color By"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_character,)

    shown: BoolProperty(name="Texture", description="Texture; else vertex colors", default=True)

    def run(self, context: bpy.types.Context) -> None:
        show_texture(active_character(context), self.shown)
        color_views(context, "TEXTURE" if self.shown else "VERTEX")


class _Export(ExplainedOperator, ExportHelper):
    """What both exports share."""

    needs = (need_character, need_editable)

    filepath: StringProperty(
        name="File", description="File to write", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    # The file browser paints an existing name red; a script that overwrites has to say so.
    check_existing: BoolProperty(
        name="Ask",
        description="Ask before an existing file is replaced",
        default=True,
        options={"HIDDEN"},
    )
    overwrite: BoolProperty(
        name="Replace Existing File",
        description="Replace a file of the same name",
        default=False,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            character = active_character(context)
            folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
            self.filepath = str(
                folder / f"{bpy.path.clean_name(character.name)}{self.filename_ext}"
            )
        # Blender's own browser asks about existing files.
        self.overwrite = True
        return ExportHelper.invoke(self, context, event)

    def objects(self, context: bpy.types.Context) -> list[bpy.types.Object]:
        """Armature and the meshes it moves."""
        armature = active_character(context)
        meshes = [
            child
            for child in context.scene.objects
            if child.type == "MESH" and child.find_armature() == armature
        ]
        return [armature, *meshes]


class HUMANREF_OT_export_glb(_Export, bpy.types.Operator):
    """Write the character as a binary glTF: for game engines, viewers and the web"""

    bl_idname = "humanref.export_glb"
    bl_label = "Export GLB"
    filename_ext = ".glb"
    filter_glob: StringProperty(
        name="Filter", description="Files shown", default="*.glb", options={"HIDDEN"}
    )

    def run(self, context: bpy.types.Context) -> None:
        path = export_glb(self.objects(context), self.filepath, overwrite=self.overwrite)
        self.report({"INFO"}, rpt_("Wrote {}").format(path.name))


class HUMANREF_OT_export_fbx(_Export, bpy.types.Operator):
    """Write the character as FBX: for Unity, Unreal and Maya"""

    bl_idname = "humanref.export_fbx"
    bl_label = "Export FBX"
    filename_ext = ".fbx"
    filter_glob: StringProperty(
        name="Filter", description="Files shown", default="*.fbx", options={"HIDDEN"}
    )

    def run(self, context: bpy.types.Context) -> None:
        path = export_fbx(self.objects(context), self.filepath, overwrite=self.overwrite)
        self.report({"INFO"}, rpt_("Wrote {}").format(path.name))


CLASSES = (
    HUMANREF_OT_rest_pose,
    HUMANREF_OT_photo_pose,
    HUMANREF_OT_rename_bones,
    HUMANREF_OT_show_texture,
    HUMANREF_OT_export_glb,
    HUMANREF_OT_export_fbx,
)
