"""Named sets of step 4's settings, in Blender's own preset menu."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

_FOLDER = "humanref/generate"


class HUMANREF_PT_presets(PresetPanel, bpy.types.Panel):
    """Presets of step 4"""

    bl_label = "Generate Presets"
    preset_subdir = _FOLDER
    preset_operator = "script.execute_preset"
    preset_add_operator = "humanref.add_preset"


class HUMANREF_OT_add_preset(AddPresetBase, bpy.types.Operator):
    """Keep the settings of this step under a name, or remove such a set"""

    bl_idname = "humanref.add_preset"
    bl_label = "Add Generate Preset"
    preset_menu = "HUMANREF_PT_presets"
    preset_subdir = _FOLDER
    preset_defines: ClassVar[list[str]] = ["settings = bpy.context.scene.humanref"]
    preset_values: ClassVar[list[str]] = [
        f"settings.{name}"
        for name in ("preset", "seed", "guidance", "steps", "faces", "texture", "device")
    ]


CLASSES = (HUMANREF_PT_presets, HUMANREF_OT_add_preset)
