"""The error dialog: code, message, hint, and a button that copies all of it."""

from __future__ import annotations

import textwrap
from typing import ClassVar

import bpy
from bpy.props import StringProperty

from ..session.current import current_session
from ..session.problem import Problem

_COLUMNS = 62


def draw_problem(layout: bpy.types.UILayout, problem: Problem, columns: int) -> None:
    """The problem's words, wrapped."""
    column = layout.column(align=True)
    column.alert = True
    for index, line in enumerate(wrapped(problem.message, columns)):
        column.label(text=line, icon="ERROR" if index == 0 else "BLANK1", translate=False)
    if problem.hint:
        column = layout.column(align=True)
        for index, line in enumerate(wrapped(problem.hint, columns)):
            column.label(text=line, icon="INFO" if index == 0 else "BLANK1", translate=False)


def wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most ``columns`` characters."""
    return [
        line
        for paragraph in text.splitlines()
        for line in (textwrap.wrap(paragraph, columns) or [""])
    ]


class HUMANREF_OT_show_problem(bpy.types.Operator):
    """Show what went wrong and what can be done about it"""

    bl_idname = "humanref.show_problem"
    bl_label = "HumanRef Problem"
    bl_options: ClassVar[set[str]] = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return current_session().problem is not None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(
            self, width=460, title="HumanRef", confirm_text="Close"
        )

    def draw(self, _context: bpy.types.Context) -> None:
        problem = current_session().problem
        if problem is None:
            return
        draw_problem(self.layout, problem, _COLUMNS)
        row = self.layout.row()
        row.label(text=f"[{problem.code}]", translate=False)
        row.operator("humanref.copy_problem", icon="COPYDOWN").text = problem.as_text()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return {"FINISHED"}


class HUMANREF_OT_copy_problem(bpy.types.Operator):
    """Copy code, message and hint to the clipboard; private folders are masked"""

    bl_idname = "humanref.copy_problem"
    bl_label = "Copy"
    bl_options: ClassVar[set[str]] = {"INTERNAL"}

    text: StringProperty(name="Text", description="What is copied", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.window_manager.clipboard = self.text
        self.report({"INFO"}, "Copied to the clipboard")
        return {"FINISHED"}


class HUMANREF_OT_dismiss_problem(bpy.types.Operator):
    """Take this message away"""

    bl_idname = "humanref.dismiss_problem"
    bl_label = "Dismiss"
    bl_options: ClassVar[set[str]] = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        current_session().dismiss_problem()
        return {"FINISHED"}


CLASSES = (HUMANREF_OT_show_problem, HUMANREF_OT_copy_problem, HUMANREF_OT_dismiss_problem)
