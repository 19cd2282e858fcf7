"""Steps 4 and 5 in the sidebar: generate, and what to do with the character."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..scene.bone_names import current_scheme
from ..scene.character import has_texture
from .panel_base import SidebarPanel, big_button, draw_progress
from .presets import HUMANREF_PT_presets
from .property_access import own_rig_of
from .requirements import active_character, scene_jobs
from .result_operators import SCHEME_LABELS


class HUMANREF_PT_generate(SidebarPanel, bpy.types.Panel):
    """Step 4"""

    bl_label = "4  Generate"
    bl_order = 4

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        HUMANREF_PT_presets.draw_panel_header(self.layout)

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.humanref
        running = scene_jobs(context, "generate")
        # First of all: what is below may be out of sight.
        draw_progress(layout, running)
        layout.row().prop(settings, "preset", expand=True)
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "prompt", placeholder=settings.caption)
        column.prop(settings, "seed")
        if running:
            layout.operator("humanref.generate", text="Queue Another", icon="ADD")
            return
        big_button(layout).operator("humanref.generate", icon="SHADERFX")
        if settings.photo is not None and own_rig_of(context.scene) is None:
            row = layout.row()
            row.active = False
            row.label(text="The pose will be estimated", icon="INFO")


class HUMANREF_PT_advanced(SidebarPanel, bpy.types.Panel):
    """Settings that rarely need a change"""

    bl_label = "Advanced"
    bl_parent_id = "HUMANREF_PT_generate"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.humanref
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "guidance")
        layout.prop(settings, "steps")
        layout.prop(settings, "faces")
        layout.prop(settings, "texture")
        layout.prop(settings, "device")


class HUMANREF_PT_result(SidebarPanel, bpy.types.Panel):
    """Step 5"""

    bl_label = "5  Result"
    bl_order = 5

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        character = active_character(context)
        if character is None:
            row = layout.row()
            row.active = False
            row.label(text="The finished character appears here", icon="INFO")
            return
        layout.label(text=character.name, icon="ARMATURE_DATA", translate=False)
        # Step 3 has buttons of the same names for the body.
        column = layout.column(align=True)
        column.label(text="Character Pose")
        row = column.row(align=True)
        row.operator("humanref.rest_pose", text="T-Pose").pose = "T"
        row.operator("humanref.rest_pose", text="A-Pose").pose = "A"
        row.operator("humanref.photo_pose")
        if has_texture(character):
            row = layout.row(align=True)
            texture = row.operator("humanref.show_texture", text="Texture", icon="TEXTURE")
            texture.shown = True
            colors = row.operator("humanref.show_texture", text="Vertex Colors", icon="GROUP_VCOL")
            colors.shown = False
            row.prop(context.scene.humanref, "photo_shading", text="", icon="SHADING_SOLID")
        scheme = SCHEME_LABELS.get(current_scheme(character) or "", "custom")
        layout.operator_menu_enum(
            "humanref.rename_bones",
            "scheme",
            text=f"{iface_('Bone Names')}: {scheme}",
            icon="BONE_DATA",
        )
        row = layout.row(align=True)
        row.scale_y = 1.3
        row.operator("humanref.export_glb", icon="EXPORT")
        row.operator("humanref.export_fbx", icon="EXPORT")


CLASSES = (HUMANREF_PT_generate, HUMANREF_PT_advanced, HUMANREF_PT_result)
