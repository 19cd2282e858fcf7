"""What all panels share, and small pieces of layout."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..session.jobs import Job
from .words import job_words, time_left

_MOST_BARS = 4


class SidebarPanel:
    """Mix-in: a panel in the 3D viewport's sidebar, tab HumanRef."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "HumanRef"


def big_button(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """A row for a step's main button."""
    row = layout.row()
    row.scale_y = 1.5
    return row


def draw_progress(layout: bpy.types.UILayout, jobs: Sequence[Job], height: float = 1.3) -> None:
    """A bar a job with stage and time left, and the button that stops it; nothing without jobs."""
    if not jobs:
        return
    column = layout.column(align=True)
    for job in jobs[:_MOST_BARS]:
        _draw_bar(column, job, height)
    if len(jobs) > _MOST_BARS:
        words = iface_("{} more are waiting").format(len(jobs) - _MOST_BARS)
        column.label(text=words, icon="TIME", translate=False)


def _draw_bar(layout: bpy.types.UILayout, job: Job, height: float) -> None:
    row = layout.row(align=True)
    row.scale_y = height
    left = time_left(job)
    words = f"{job_words(job)}  ·  {left}" if left else job_words(job)
    row.progress(text=words, factor=job.fraction, type="BAR", translate=False)
    stop = row.row(align=True)
    stop.enabled = job.state != "cancelling"
    stop.operator("humanref.cancel_job", text="", icon="CANCEL").job_id = job.job_id
