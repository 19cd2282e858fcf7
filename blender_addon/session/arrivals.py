"""What arrives from the backend becomes bodies, live meshes and characters in the right scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..scene.character import import_character
from ..scene.collections import name_of_photo
from ..scene.errors import SceneError
from ..scene.live_mesh import LiveMesh, find_live
from ..scene.photo_camera import look_through, match_camera
from ..scene.rig import accept_proposal, build_body, find_rigs, read_camera
from ..shared_protocol.client.events import PoseArrived, PreviewArrived, ResultArrived
from ..shared_protocol.messages import Camera, PhotoInfo
from .jobs import Job
from .photo_place import place_of_job
from .problem import ProblemError
from .scene_jobs import SceneJob, SceneJobs
from .sight import color_views, hide, people_of, show, show_body

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
        self._aside: dict[str, tuple[str, ...]] = {}
        """Job -> names of the objects that made room for its mesh."""

    def obstacle(self, job_id: str) -> str:
        """Why an arrival must wait: another scene is shown, or the artist is in the middle of something."""
        found = self._jobs.find(job_id)
        if found is None:
            return iface_("A result waits for its own file or scene")
        window = _window_of(found[0])
        if window is None:
            return f"{iface_('A result waits for the scene')} {found[0].name}"
        if is_busy(window) or _mode(window) not in ("OBJECT", "POSE"):
            return iface_("A result waits until you leave this mode")
        return ""

    def can_preview(self, job_id: str) -> bool:
        """Whether the growing mesh may change: its scene is shown and nothing is being dragged."""
        found = self._jobs.find(job_id)
        window = None if found is None else _window_of(found[0])
        return window is not None and not is_busy(window)

    def open_jobs(self) -> list[Job]:
        """Jobs that the scenes wait for."""
        return self._jobs.open_jobs()

    def end(self, job_id: str) -> None:
        """A job that brought nothing leaves nothing."""
        self._remove_live(job_id)
        self._bring_back(job_id)
        self._jobs.delivered(job_id)

    def show_pose(self, event: PoseArrived) -> None:
        """Build the body over the photo; of a re-fit, pose the rig that is there.

        Raises:
            ProblemError: the body cannot be built.
        """
        if self._is_delivered(event.job_id):
            return
        with self._delivery(event.job_id, "HumanRef: Body") as (scene, job):
            rig = scene.objects.get(job.rig_name) if job.rig_name else None
            told = event.proposed
            if rig is not None and rig in find_rigs(scene):
                accept_proposal(rig, told.pose, told.camera, told.photo)
            else:
                show_body(scene, shown=False)
                rig = build_body(
                    bpy.context,
                    event.template,
                    told.pose,
                    told.camera,
                    told.photo,
                    name_of_photo(job.photo_name),
                    place_of_job(scene, job, told.photo),
                ).armature
                scene.humanref.rig = rig
            show_body(scene, shown=True)
            scene.humanref.caption = told.caption
            _show_over_photo(scene, read_camera(rig) or told.camera, told.photo)

    def show_preview(self, event: PreviewArrived) -> None:
        """Let the mesh grow; no undo step."""
        found = self._jobs.find(event.job_id)
        if found is None or found[1].delivered:
            return
        live = self._live.get(event.job_id)
        if live is None:
            scene, job = found
            collection = place_of_job(scene, job)
            self._aside[event.job_id] = hide(scene, people_of(scene, collection))
            color_views(bpy.context, "VERTEX")
            live = LiveMesh(f"{name_of_photo(job.photo_name)} (growing)", collection)
            self._live[event.job_id] = live
        live.update(event.vertices, event.faces, event.colors, event.topology)

    def show_result(self, event: ResultArrived) -> None:
        """Import the character in the place of the live mesh, as one undo step.

        Raises:
            ProblemError: the character cannot be imported.
        """
        self._remove_live(event.job_id)
        if self._is_delivered(event.job_id):
            return
        try:
            with self._delivery(event.job_id, "HumanRef: Import Character") as (scene, job):
                collection = place_of_job(scene, job, event.character.photo)
                aside = hide(scene, people_of(scene, collection))
                self._aside[event.job_id] = (*self._aside.get(event.job_id, ()), *aside)
                imported = import_character(bpy.context, event.character, collection)
                # Thin bones: it is the character that one wants to see.
                imported.armature.data.display_type = "STICK"
                _show_over_photo(scene, event.character.camera, event.character.photo)
                if event.character.texture:
                    color_views(bpy.context, "TEXTURE")
        except Exception:
            # Nobody took the place of those who made room.
            self._bring_back(event.job_id)
            raise
        self._aside.pop(event.job_id, None)

    def after_load(self) -> None:
        """Another file: nothing of the old one is there."""
        self._live.clear()
        self._aside.clear()
        self._jobs.reload()
        for scene in bpy.data.scenes:
            # Saved while it grew; a job that still runs grows a new one.
            for left in find_live(scene):
                bpy.data.meshes.remove(left.data)

    def after_undo(self) -> None:
        """Undo knows nothing of jobs, and brings back what grew while an older step was made."""
        self._jobs.restore()
        growing = [live.object for live in self._live.values()]
        for scene in bpy.data.scenes:
            for left in find_live(scene):
                if left not in growing:
                    bpy.data.meshes.remove(left.data)

    def _is_delivered(self, job_id: str) -> bool:
        """Whether the scene has it: after a reconnect the same result may arrive again."""
        found = self._jobs.find(job_id)
        return found is not None and found[1].delivered

    @contextmanager
    def _delivery(self, job_id: str, step: str) -> Iterator[tuple[bpy.types.Scene, SceneJob]]:
        """Inside: the job's scene in its window, in a mode in which objects can be made; one undo step."""
        found = self._jobs.find(job_id)
        window = None if found is None else _window_of(found[0])
        if found is None or window is None:
            raise ProblemError("scene_gone", "The scene that waited for this result is gone.")
        # Also when it fails: trying the same again at every tick would fail again.
        self._jobs.delivered(job_id)
        with bpy.context.temp_override(window=window):
            active = bpy.context.view_layer.objects.active
            if active is not None and active.mode != "OBJECT":
                bpy.ops.object.mode_set(mode="OBJECT")
            try:
                yield found
            except SceneError as error:
                raise ProblemError(error.code, error.message, error.hint) from error
            bpy.ops.ed.undo_push(message=step)

    def _bring_back(self, job_id: str) -> None:
        found = self._jobs.find(job_id)
        aside = self._aside.pop(job_id, ())
        if found is not None:
            show(found[0], aside)

    def _remove_live(self, job_id: str) -> None:
        live = self._live.pop(job_id, None)
        if live is not None:
            live.remove()


def _show_over_photo(scene: bpy.types.Scene, camera: Camera, photo: PhotoInfo) -> None:
    # An artist may have chosen a camera of their own meanwhile: it is not ours to move.
    if scene.camera is not None and scene.camera.name == scene.humanref.photo_camera:
        match_camera(scene.camera, camera, photo)
        look_through(bpy.context, scene.camera)
        color_views(bpy.context, "VERTEX")


def _window_of(scene: bpy.types.Scene) -> bpy.types.Window | None:
    """A window that shows the scene."""
    windows = bpy.context.window_manager.windows
    return next((window for window in windows if window.scene == scene), None)


def _mode(window: bpy.types.Window) -> str:
    active = window.view_layer.objects.active
    return "OBJECT" if active is None else active.mode


def is_busy(window: bpy.types.Window) -> bool:
    """Whether the artist is in the middle of dragging, painting or the like."""
    return any(
        operator.bl_idname.startswith(_BUSY_OPERATORS) for operator in window.modal_operators
    )
