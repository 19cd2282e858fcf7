"""Steps 2 and 3 in the sidebar: the photo and the body over it."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..scene.errors import SceneError
from ..scene.posing import edited_joints
from ..scene.rig import rig_kind
from ..scene.stored import BODY
from ..session.current import current_session
from ..session.scene_jobs import STORED_VERSION
from .panel_base import SidebarPanel, big_button, draw_progress
from .property_access import own_rig_of, rig_of
from .requirements import scene_jobs

# What the first shape parameters of the default body do, measured on its vertices and joints; where no
# plain word fits they are numbered.
SHAPE_LABELS = (
    "Overall Size",
    "Hips over Shoulders",
    "Slender Torso",
    "Narrow Hips",
    "Weight",
    "Shape 6",
    "Shape 7",
    "Shape 8",
)
SHAPE_ORDER = (0, 4, 1, 2, 3, 5, 6, 7)


class HUMANREF_PT_photo(SidebarPanel, bpy.types.Panel):
    """Step 2"""

    bl_label = "2  Photo"
    bl_order = 2

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.humanref
        if settings.version > STORED_VERSION:
            row = layout.row()
            row.alert = True
            row.label(text="Saved by a newer HumanRef: update the add-on", icon="ERROR")
        photo = settings.photo
        if photo is not None and photo.preview is not None:
            layout.template_icon(photo.preview.icon_id, scale=5.0)
        layout.template_ID(settings, "photo", open="humanref.open_photo")
        if photo is None:
            column = layout.column(align=True)
            column.scale_y = 0.85
            column.label(text="One person, whole figure in view.", icon="INFO")
            column.label(text="Or drop a picture into the viewport.", icon="BLANK1")
            return
        row = layout.row(align=True)
        row.operator("humanref.show_photo", text="Look Through", icon="CAMERA_DATA")
        row.prop(settings, "photo_opacity", text="", slider=True)
        row.prop(settings, "photo_shading", text="", icon="SHADING_SOLID")
        layout.prop(settings, "person", text="Person (0 = automatic)")
        notes = layout.column(align=True)
        notes.scale_y = 0.8
        notes.active = False
        notes.label(text="Use photos that you have the right to use.")


class HUMANREF_PT_body(SidebarPanel, bpy.types.Panel):
    """Step 3"""

    bl_label = "3  Body"
    bl_order = 3

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.humanref
        rig = own_rig_of(context.scene)
        running = scene_jobs(context, "estimate")
        if running:
            draw_progress(layout, running)
        else:
            column = layout.column(align=True)
            big_button(column).operator("humanref.estimate", icon="OUTLINER_OB_ARMATURE")
            if rig is not None:
                row = column.row(align=True)
                row.operator("humanref.refit", icon="FILE_REFRESH")
                shown = not rig.hide_get()
                icon = "HIDE_OFF" if shown else "HIDE_ON"
                row.operator("humanref.show_body", text="", icon=icon).shown = not shown
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "height_cm", text="Height (cm)")
        welcome = current_session().link.welcome
        if welcome is not None and len(welcome.bodies) > 1:
            column.prop(settings, "body")
        column.prop(settings, "rig", icon="ARMATURE_DATA")
        if rig is None:
            if rig_of(context.scene) is None:
                layout.operator("humanref.use_armature", icon="ARMATURE_DATA")
            return
        # Always there: a line that comes and goes would lie over the next panel until the next redraw.
        row = layout.row()
        try:
            count = len(edited_joints(rig))
        except SceneError as error:
            # Its pelvis was deleted, or a newer version made it.
            row.alert = True
            row.label(text=error.message, icon="ERROR", translate=False)
            return
        words = {0: iface_("No bone changed by you"), 1: iface_("1 bone changed by you")}
        row.active = False
        row.label(
            text=words.get(count, iface_("{} bones changed by you").format(count)),
            icon="LOCKED" if count else "UNLOCKED",
            translate=False,
        )


class HUMANREF_PT_pose(SidebarPanel, bpy.types.Panel):
    """Means to correct the pose"""

    bl_label = "Pose"
    bl_parent_id = "HUMANREF_PT_body"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return own_rig_of(context.scene) is not None

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        column = layout.column(align=True)
        row = column.row(align=True)
        for name, label in (("T", "T-Pose"), ("A", "A-Pose"), ("RELAXED", "Relaxed")):
            row.operator("humanref.set_pose", text=label).pose = name
        row = column.row(align=True)
        row.operator("humanref.mirror_pose", text="Left to Right", icon="MOD_MIRROR").side = "left"
        row.operator("humanref.mirror_pose", text="Right to Left", icon="MOD_MIRROR").side = "right"
        layout.operator_menu_enum("humanref.reset_limb", "limb", icon="LOOP_BACK")


class HUMANREF_PT_shape(SidebarPanel, bpy.types.Panel):
    """Build of the body"""

    bl_label = "Shape"
    bl_parent_id = "HUMANREF_PT_body"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return own_rig_of(context.scene) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.humanref
        # An adopted armature has bones only.
        layout.enabled = rig_kind(own_rig_of(context.scene)) == BODY
        column = layout.column(align=True)
        for index in SHAPE_ORDER:
            column.prop(settings, "shape", index=index, text=SHAPE_LABELS[index], slider=True)
        layout.operator("humanref.reset_shape", icon="LOOP_BACK")


CLASSES = (HUMANREF_PT_photo, HUMANREF_PT_body, HUMANREF_PT_pose, HUMANREF_PT_shape)
