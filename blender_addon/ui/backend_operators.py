"""Step 1: start, stop, connect."""

from __future__ import annotations

import bpy

from ..names import ROOT
from ..session.current import current_session
from .operator_base import ExplainedOperator


class HUMANREF_OT_start_backend(ExplainedOperator, bpy.types.Operator):
    """Start the compute backend on this computer, or attach to the one that runs already"""

    bl_idname = "humanref.start_backend"
    bl_label = "Start Backend"

    def run(self, _context: bpy.types.Context) -> None:
        current_session().start_backend()


class HUMANREF_OT_stop_backend(ExplainedOperator, bpy.types.Operator):
    """Stop the backend. Unfinished jobs are kept and go on when it is started again"""

    bl_idname = "humanref.stop_backend"
    bl_label = "Stop Backend"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if current_session().owns_backend:
            return True
        cls.poll_message_set(
            "This backend was not started by Blender: stop it where it was started"
        )
        return False

    def run(self, _context: bpy.types.Context) -> None:
        current_session().stop_backend()


class HUMANREF_OT_connect(ExplainedOperator, bpy.types.Operator):
    """Connect to the backend that the preferences name"""

    bl_idname = "humanref.connect"
    bl_label = "Connect"

    def run(self, _context: bpy.types.Context) -> None:
        current_session().connect()


class HUMANREF_OT_disconnect(ExplainedOperator, bpy.types.Operator):
    """Close the connection; the backend and its jobs go on"""

    bl_idname = "humanref.disconnect"
    bl_label = "Disconnect"

    def run(self, _context: bpy.types.Context) -> None:
        current_session().disconnect()


class HUMANREF_OT_open_preferences(bpy.types.Operator):
    """Open the add-on's preferences: where the backend is, remote backends, keys"""

    bl_idname = "humanref.open_preferences"
    bl_label = "Preferences"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        bpy.ops.preferences.addon_show(module=ROOT)
        return {"FINISHED"}


class HUMANREF_OT_copy_log(bpy.types.Operator):
    """Copy the last lines that the local backend wrote; private folders are masked"""

    bl_idname = "humanref.copy_log"
    bl_label = "Copy Log"

    def execute(self, context: bpy.types.Context) -> set[str]:
        tail = current_session().log_tail()
        if not tail:
            self.report({"INFO"}, "The backend has written nothing yet")
            return {"CANCELLED"}
        context.window_manager.clipboard = tail
        self.report({"INFO"}, "Copied to the clipboard")
        return {"FINISHED"}


CLASSES = (
    HUMANREF_OT_start_backend,
    HUMANREF_OT_stop_backend,
    HUMANREF_OT_connect,
    HUMANREF_OT_disconnect,
    HUMANREF_OT_open_preferences,
    HUMANREF_OT_copy_log,
)
