"""What arrives from the backend becomes bodies, live meshes and characters in the right scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy

from ..scene.character import import_character
from ..scene.errors import SceneError
from ..scene.live_mesh import LiveMesh
from ..scene.photo_camera import look_through, match_camera
from ..scene.posing import mark_proposed
from ..scene.rig import apply_pose, build_body, find_rigs
from ..shared_protocol.client.events import PoseArrived, PreviewArrived, ResultArrived
from .jobs import Job
from .problem import ProblemError
from .scene_jobs import SceneJob, SceneJobs

# Operators in whose middle the scene must not change under the artist's hands.
_BUSY_OPERATORS = (
    "TRANSFORM_OT_",
    "SCULPT_OT_",
    "PAINT_OT_",
    "GPENCIL_OT_",
    "MESH_OT_",
    "POSE_OT_",
)


class Arrivals:
    """The scene's side of a session. Keeps names only: undo and file load make references invalid."""

    def __init__(self, jobs: SceneJobs) -> None:
        self._jobs = jobs
        self._live: dict[str, LiveMesh] = {}

    def ready(self, job_id: str) -> bool:
        """Whether the job's scene is the one on screen and nobody is in the middle of a change."""
        found = self._jobs.find(job_id)
        return found is not None and found[0] == bpy.context.scene and not _busy()

    def open_jobs(self) -> list[Job]:
        """Jobs that the scenes wait for."""
        return self._jobs.open_jobs()

    def end(self, job_id: str) -> None:
        """A job that brought nothing leaves nothing."""
        self._remove_live(job_id)
        self._jobs.delivered(job_id)

    def show_pose(self, event: PoseArrived) -> None:
        """Build the body over the photo; of a re-fit, pose the rig that is there.

        Raises:
            ProblemError: the body cannot be built.
        """
        found = self._jobs.find(event.job_id)
        if found is None or found[1].delivered:
            return
        scene, job = found
        with _undo_step("HumanRef: Body"), _object_mode(), _in_words():
            self._jobs.delivered(event.job_id)
            rig = scene.objects.get(job.rig_name) if job.rig_name else None
            if rig is not None and rig in find_rigs(scene):
                apply_pose(rig, event.proposed.pose)
                mark_proposed(rig)
            else:
                body = build_body(
                    bpy.context,
                    event.template,
                    event.proposed.pose,
                    event.proposed.camera,
                    event.proposed.photo,
                    Path(job.photo_name).stem or job.photo_name,
                )
                scene.humanref.rig = body.armature
            if scene.camera is not None:
                match_camera(scene.camera, event.proposed.camera, event.proposed.photo)
                look_through(bpy.context, scene.camera)
            scene.humanref.caption = event.proposed.caption

    def show_preview(self, event: PreviewArrived) -> None:
        """Let the mesh grow; no undo step."""
        found = self._jobs.find(event.job_id)
        if found is None or found[1].delivered:
            return
        live = self._live.get(event.job_id)
        if live is None:
            live = self._live[event.job_id] = self._new_live(found[1])
        live.update(event.vertices, event.faces, event.colors, event.topology)

    def show_result(self, event: ResultArrived) -> None:
        """Import the character in the place of the live mesh, as one undo step.

        Raises:
            ProblemError: the character cannot be imported.
        """
        found = self._jobs.find(event.job_id)
        if found is None or found[1].delivered:
            return
        scene, _ = found
        self._remove_live(event.job_id)
        with _undo_step("HumanRef: Import Character"), _object_mode(), _in_words():
            self._jobs.delivered(event.job_id)
            import_character(bpy.context, event.character)
            if scene.camera is not None:
                match_camera(scene.camera, event.character.camera, event.character.photo)

    def after_load(self) -> None:
        """Another file: nothing of the old one is there."""
        self._live.clear()
        self._jobs.reload()

    def after_undo(self) -> None:
        """Undo knows nothing of jobs."""
        self._jobs.restore()

    def _new_live(self, job: SceneJob) -> LiveMesh:
        stem = Path(job.photo_name).stem or job.photo_name
        return LiveMesh(f"{stem} (growing)", bpy.data.collections.get(job.collection_name))

    def _remove_live(self, job_id: str) -> None:
        live = self._live.pop(job_id, None)
        if live is not None:
            live.remove()


def _busy() -> bool:
    window = bpy.context.window
    running = getattr(window, "modal_operators", ()) if window is not None else ()
    return any(operator.bl_idname.startswith(_BUSY_OPERATORS) for operator in running)


@contextmanager
def _object_mode() -> Iterator[None]:
    """Objects are made in Object Mode; the artist's own mode is left only where it is in the way."""
    active = bpy.context.view_layer.objects.active
    if active is not None and active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    yield


@contextmanager
def _undo_step(message: str) -> Iterator[None]:
    """Everything inside is one step of undo."""
    yield
    if bpy.ops.ed.undo_push.poll():
        bpy.ops.ed.undo_push(message=message)


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except SceneError as error:
        raise ProblemError(error.code, error.message, error.hint) from error
