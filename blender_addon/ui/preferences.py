"""The add-on's preferences: which backend, and with which keys."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..names import ROOT
from ..session.options import BackendOptions

STORED_VERSION = 1


class HUMANREF_AP_preferences(bpy.types.AddonPreferences):
    """Kept with Blender's own preferences."""

    bl_idname = ROOT

    stored_version: bpy.props.IntProperty(
        name="Version",
        description="Version of the stored preferences",
        options={"HIDDEN"},
    )
    location: EnumProperty(
        name="Backend",
        description="Where characters are computed",
        items=(
            ("local", "This Computer", "A backend on this computer, which the add-on can start"),
            ("remote", "Another Computer", "A backend that somebody runs on another machine"),
        ),
        default="local",
    )
    command: StringProperty(
        name="Folder of humanref",
        description="Folder that humanref is installed in (or its Python environment, or the command "
        "itself); empty searches for it",
        subtype="DIR_PATH",
    )
    connection_file: StringProperty(
        name="Connection File",
        description="File in which the backend says where it listens; empty takes the usual place",
        subtype="FILE_PATH",
    )
    remote_file: StringProperty(
        name="Connection File",
        description="Copy of the connection file from the other computer",
        subtype="FILE_PATH",
    )
    key_file: StringProperty(
        name="My Key File",
        description="Secret key of this Blender, made by 'humanref keys'; "
        "the other computer must have allowed its public half",
        subtype="FILE_PATH",
    )
    attach: BoolProperty(
        name="Connect Automatically",
        description="Connect to a backend on this computer as soon as one runs",
        default=True,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.row().prop(self, "location", expand=True)
        if self.location == "local":
            layout.prop(self, "command")
            layout.prop(self, "connection_file")
            layout.prop(self, "attach")
            column = layout.column(align=True)
            column.label(text="Needs no internet: it talks to this computer only", icon="LOCKED")
            return
        layout.prop(self, "remote_file")
        layout.prop(self, "key_file")
        if not bpy.app.online_access:
            row = layout.row()
            row.alert = True
            row.label(text="Blender is offline: another computer cannot be reached", icon="ERROR")
            layout.prop(bpy.context.preferences.system, "use_online_access")
        column = layout.column(align=True)
        column.label(text="There: humanref keys, then humanref serve --bind", icon="INFO")
        column.label(text="The line is encrypted; only keys on its list are let in", icon="LOCKED")


def mark_version() -> None:
    """Note which version of the add-on the preferences are of."""
    addon = bpy.context.preferences.addons.get(ROOT)
    if addon is not None:
        addon.preferences.stored_version = STORED_VERSION


def backend_options() -> BackendOptions:
    """The preferences as the session reads them.

    An add-on that a script enabled for this run only has none: then the defaults count.
    """
    addon = bpy.context.preferences.addons.get(ROOT)
    if addon is None:
        return BackendOptions(online_access=bpy.app.online_access)
    stored = addon.preferences
    remote = stored.location == "remote"
    return BackendOptions(
        remote=remote,
        connection_file=_path(stored.remote_file if remote else stored.connection_file),
        command=bpy.path.abspath(stored.command) if stored.command else "",
        key_file=_path(stored.key_file),
        online_access=bpy.app.online_access,
        attach=stored.attach,
    )


def _path(text: str) -> Path | None:
    return Path(bpy.path.abspath(text)).expanduser() if text.strip() else None


CLASSES = (HUMANREF_AP_preferences,)
