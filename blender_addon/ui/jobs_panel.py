"""The list of all jobs, those of an earlier Blender included."""

from __future__ import annotations

import time
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..session.current import current_session
from ..session.jobs import Job
from .panel_base import SidebarPanel
from .words import STATE_ICONS, duration, job_words


class HUMANREF_UL_jobs(bpy.types.UIList):
    """A line a job: state, photo, what it is doing"""

    bl_idname = "HUMANREF_UL_jobs"

    def draw_item(
        self,
        _context: bpy.types.Context,
        layout: bpy.types.UILayout,
        _data: object,
        item: bpy.types.PropertyGroup,
        _icon: int,
        _active_data: object,
        _active_property: str,
    ) -> None:
        job = current_session().book.get(item.name)
        if job is None:
            return
        split = layout.split(factor=0.5)
        kind = "SHADERFX" if job.kind == "generate" else "OUTLINER_OB_ARMATURE"
        split.label(text=job.photo_name, icon=kind, translate=False)
        row = split.row()
        if job.state == "running" and job.total:
            row.progress(text=job_words(job), factor=job.fraction, translate=False)
        else:
            row.label(text=job_words(job), icon=STATE_ICONS[job.state], translate=False)


class HUMANREF_PT_jobs(SidebarPanel, bpy.types.Panel):
    """All jobs of yours that the backend keeps"""

    bl_label = "Jobs"
    bl_order = 6
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, state = self.layout, context.window_manager.humanref
        row = layout.row()
        row.template_list(
            "HUMANREF_UL_jobs", "", state, "jobs", state, "job_index", rows=4, sort_lock=True
        )
        buttons = row.column(align=True)
        buttons.operator("humanref.refresh_jobs", text="", icon="FILE_REFRESH")
        job = chosen_job(context)
        chosen = buttons.column(align=True)
        chosen.enabled = job is not None
        _button(chosen, "humanref.cancel_job", "CANCEL", job, job is not None and job.active)
        _button(chosen, "humanref.forget_job", "TRASH", job, job is not None and not job.active)
        if job is not None:
            row = layout.row()
            row.enabled = job.state == "done"
            row.operator("humanref.import_result", icon="IMPORT").job_id = job.job_id
            _draw_notes(layout, job)
        if state.jobs:
            layout.operator("humanref.forget_all", icon="TRASH")


def _button(
    layout: bpy.types.UILayout, operator: str, icon: str, job: Job | None, enabled: bool
) -> None:
    row = layout.row(align=True)
    row.enabled = enabled
    row.operator(operator, text="", icon=icon).job_id = job.job_id if job else ""


def _draw_notes(layout: bpy.types.UILayout, job: Job) -> None:
    column = layout.column(align=True)
    column.scale_y = 0.85
    column.active = False
    if job.problem:
        column.label(text=job.problem, icon="ERROR", translate=False)
    for warning in job.warnings:
        column.label(text=warning, icon="INFO", translate=False)
    if job.expires:
        days = max(0.0, job.expires - time.time())
        column.label(text=f"{iface_('Kept for')} {duration(days)}", translate=False)


def chosen_job(context: bpy.types.Context) -> Job | None:
    """The job of the highlighted line."""
    state = context.window_manager.humanref
    if not 0 <= state.job_index < len(state.jobs):
        return None
    return current_session().book.get(state.jobs[state.job_index].name)


CLASSES = (HUMANREF_UL_jobs, HUMANREF_PT_jobs)
