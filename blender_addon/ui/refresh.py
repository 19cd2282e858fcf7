"""After a tick with news: the job list's lines, a redraw, and the dialog of a new problem."""

from __future__ import annotations

import bpy

from ..session.arrivals import is_busy
from ..session.current import current_session
from ..session.problem import Problem


class Refresher:
    """Called on the main thread after a tick that changed something."""

    def __init__(self) -> None:
        self._shown: Problem | None = None

    def __call__(self) -> None:
        """Bring the interface up to date."""
        sync_job_lines()
        _redraw()
        problem = current_session().problem
        if problem is None or problem == self._shown or _show_dialog():
            self._shown = problem


def sync_job_lines() -> None:
    """Write the book's jobs into the list's lines; the chosen job stays chosen."""
    state = bpy.context.window_manager.humanref
    wanted = [job.job_id for job in current_session().book.all()]
    if [line.name for line in state.jobs] == wanted:
        return
    index = state.job_index
    chosen = state.jobs[index].name if 0 <= index < len(state.jobs) else ""
    state.jobs.clear()
    for job_id in wanted:
        state.jobs.add().name = job_id
    state.job_index = wanted.index(chosen) if chosen in wanted else 0


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _show_dialog() -> bool:
    """Open the dialog, unless something is being dragged or typed: then the panel's box has to do for now."""
    windows = bpy.context.window_manager.windows
    if bpy.app.background or not windows or is_busy(windows[0]):
        return False
    with bpy.context.temp_override(window=windows[0]):
        bpy.ops.humanref.show_problem("INVOKE_DEFAULT")
    return True
