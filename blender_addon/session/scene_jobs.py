"""Which scene waits for which job: kept in the .blend, and safe from undo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import bpy

from .jobs import Job

STORED_VERSION = 1
"""Of what a scene keeps of ours; grows when an older add-on would misread it."""


@dataclass(frozen=True)
class SceneJob:
    """What a scene remembers of a job; ``rig_name``: of a re-fit; ``place``: a collection's id."""

    job_id: str
    kind: str
    photo_name: str
    rig_name: str = ""
    place: str = ""
    delivered: bool = False


class SceneJobs:
    """The scenes' lists of jobs (``scene.humanref.jobs``), with a copy that undo cannot take back."""

    def __init__(self) -> None:
        self._copies: dict[str, tuple[str, SceneJob]] = {}

    def remember(self, scene: bpy.types.Scene, job: SceneJob) -> None:
        """From now on ``scene`` waits for the job."""
        self._copies[job.job_id] = (scene.name, job)
        _write(scene, job)

    def find(self, job_id: str) -> tuple[bpy.types.Scene, SceneJob] | None:
        """The scene that waits for a job; where none does, one that has got it."""
        lines = [
            (scene, stored)
            for scene in bpy.data.scenes
            for stored in scene.humanref.jobs
            if stored.job_id == job_id
        ]
        if not lines:
            return None
        scene, stored = min(lines, key=lambda line: line[1].delivered)
        return scene, _read(stored)

    def delivered(self, job_id: str) -> None:
        """The job's result is in its scene, or nothing will come of it."""
        found = self.find(job_id)
        if found is None:
            self._copies.pop(job_id, None)
            return
        scene, job = found
        self.remember(scene, replace(job, delivered=True))

    def forget(self, job_id: str) -> None:
        """Drop every trace of a job."""
        self._copies.pop(job_id, None)
        for scene in bpy.data.scenes:
            for index, stored in enumerate(scene.humanref.jobs):
                if stored.job_id == job_id:
                    scene.humanref.jobs.remove(index)
                    break

    def open_jobs(self) -> list[Job]:
        """Jobs that some scene of this file still waits for."""
        return [
            Job(stored.job_id, stored.kind, stored.photo_name, state="queued")
            for scene in bpy.data.scenes
            for stored in scene.humanref.jobs
            if not stored.delivered
        ]

    def restore(self) -> None:
        """After undo or redo: write back what the step did not know of."""
        for scene_name, job in self._copies.values():
            scene = bpy.data.scenes.get(scene_name)
            if scene is not None:
                _write(scene, job)

    def reload(self) -> None:
        """After another file was loaded: its scenes alone count."""
        self._copies = {
            stored.job_id: (scene.name, _read(stored))
            for scene in bpy.data.scenes
            for stored in scene.humanref.jobs
        }


def _read(stored: bpy.types.PropertyGroup) -> SceneJob:
    return SceneJob(
        job_id=stored.job_id,
        kind=stored.kind,
        photo_name=stored.photo_name,
        rig_name=stored.rig_name,
        place=stored.place,
        delivered=stored.delivered,
    )


def _write(scene: bpy.types.Scene, job: SceneJob) -> None:
    # Written, not left to the property's default: another version may have another default.
    scene.humanref.version = STORED_VERSION
    jobs = scene.humanref.jobs
    stored = next((line for line in jobs if line.job_id == job.job_id), None) or jobs.add()
    stored.job_id = job.job_id
    stored.kind = job.kind
    stored.photo_name = job.photo_name
    stored.rig_name = job.rig_name
    stored.place = job.place
    stored.delivered = job.delivered
