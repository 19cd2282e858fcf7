"""Step 4's buttons and those of the job list."""

import bpy
from bpy.props import StringProperty

from ..session.current import current_scene_jobs, current_session
from ..session.problem import ProblemError
from ..session.scene_jobs import SceneJob
from .job_requests import request_character
from .operator_base import ExplainedOperator
from .requirements import need_backend, need_photo

_JOB = {"name": "Job", "description": "The backend's name for the job", "options": {"SKIP_SAVE"}}


class HUMANREF_OT_generate(ExplainedOperator, bpy.types.Operator):
    """Make the character. You can go on working: the mesh grows in the viewport"""

    bl_idname = "humanref.generate"
    bl_label = "Generate"
    needs = (need_photo, need_backend)

    def run(self, context: bpy.types.Context) -> None:
        request_character(context)


class HUMANREF_OT_cancel_job(ExplainedOperator, bpy.types.Operator):
    """Stop this job"""

    bl_idname = "humanref.cancel_job"
    bl_label = "Cancel"
    needs = (need_backend,)

    job_id: StringProperty(**_JOB)

    def run(self, _context: bpy.types.Context) -> None:
        current_session().cancel(self.job_id)


class HUMANREF_OT_refresh_jobs(ExplainedOperator, bpy.types.Operator):
    """Ask the backend for its list of jobs"""

    bl_idname = "humanref.refresh_jobs"
    bl_label = "Refresh"
    needs = (need_backend,)

    def run(self, _context: bpy.types.Context) -> None:
        current_session().client().list_jobs()


class HUMANREF_OT_import_result(ExplainedOperator, bpy.types.Operator):
    """Bring the result of a finished job into this scene"""

    bl_idname = "humanref.import_result"
    bl_label = "Import Result"
    needs = (need_backend,)

    job_id: StringProperty(**_JOB)

    def run(self, context: bpy.types.Context) -> None:
        session = current_session()
        job = session.book.get(self.job_id)
        if job is None or job.state not in ("done", "fetching"):
            raise ProblemError(
                "job_not_finished", "This job has no result.", "Choose a finished job in the list."
            )
        current_scene_jobs().remember(context.scene, SceneJob(job.job_id, job.kind, job.photo_name))
        session.client()
        session.follow(job)


class HUMANREF_OT_forget_job(ExplainedOperator, bpy.types.Operator):
    """Delete this job with its photo and files from the backend. What is in your scene stays"""

    bl_idname = "humanref.forget_job"
    bl_label = "Delete from Backend"
    needs = (need_backend,)

    job_id: StringProperty(**_JOB)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def run(self, _context: bpy.types.Context) -> None:
        current_session().client().forget(self.job_id)
        current_scene_jobs().forget(self.job_id)


class HUMANREF_OT_forget_all(ExplainedOperator, bpy.types.Operator):
    """Delete all your jobs, photos and results from the backend. What is in your scene stays"""

    bl_idname = "humanref.forget_all"
    bl_label = "Delete Everything from Backend"
    needs = (need_backend,)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def run(self, _context: bpy.types.Context) -> None:
        session = current_session()
        for job in session.book.all():
            current_scene_jobs().forget(job.job_id)
        session.client().forget()


CLASSES = (
    HUMANREF_OT_generate,
    HUMANREF_OT_cancel_job,
    HUMANREF_OT_refresh_jobs,
    HUMANREF_OT_import_result,
    HUMANREF_OT_forget_job,
    HUMANREF_OT_forget_all,
)
