"""Entries in Blender's own menus."""

from __future__ import annotations

import bpy


def _add_mesh(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    self.layout.separator()
    self.layout.operator("humanref.open_photo", text="Person from Photo...", icon="ARMATURE_DATA")


def _import_file(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    self.layout.operator("humanref.open_photo", text="Photo of a Person (HumanRef)")


_ENTRIES = (("VIEW3D_MT_mesh_add", _add_mesh), ("TOPBAR_MT_file_import", _import_file))


def add_menu_entries() -> None:
    """Add > Mesh and File > Import."""
    for menu, entry in _ENTRIES:
        getattr(bpy.types, menu).append(entry)


def remove_menu_entries() -> None:
    """Take them out again."""
    for menu, entry in _ENTRIES:
        getattr(bpy.types, menu).remove(entry)
