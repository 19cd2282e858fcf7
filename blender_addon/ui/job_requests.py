"""From the panel's settings to a request of the backend."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..scene.posing import edited_joints
from ..scene.rig import read_camera, read_height_cm, read_photo, read_pose
from ..session.current import current_scene_jobs, current_session
from ..session.jobs import Job
from ..session.photo_file import photo_source
from ..session.photo_place import place_id, place_of_image
from ..session.problem import ProblemError
from ..session.scene_jobs import SceneJob
from ..shared_protocol.client.client import new_job_id
from .property_access import own_rig_of


@dataclass(frozen=True)
class RequestedPhoto:
    """The photo of a request."""

    source: Path | bytes
    name: str

    @classmethod
    def of(cls, scene: bpy.types.Scene) -> "RequestedPhoto":
        """The scene's photo.

        Raises:
            ProblemError: ``photo_unreadable``, ``photo_missing``.
        """
        image = scene.humanref.photo
        if image is None:
            raise ProblemError("photo_missing", "No photo is chosen.", "Choose one in step 2.")
        return cls(*photo_source(image))

    def sha256(self) -> str:
        """Of the file's content."""
        data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha256(data).hexdigest()


def request_estimate(context: bpy.types.Context) -> str:
    """Ask for a body over the photo; returns the job's id.

    Raises:
        ProblemError: no photo, or no backend.
    """
    scene, settings = context.scene, context.scene.humanref
    photo = RequestedPhoto.of(scene)
    job = _new_job("estimate", photo.name)
    current_session().request(
        job,
        lambda client: client.estimate(
            job.job_id,
            photo.source,
            photo_name=photo.name,
            height_cm=settings.height_cm,
            person=_person(settings),
            body=settings.body,
            device=settings.device,
        ),
    )
    _remember(scene, job)
    return job.job_id


def request_refit(context: bpy.types.Context) -> str:
    """Fit the scene's rig again; the joints that the artist has turned stay.

    Raises:
        ProblemError: the rig is of another photo, or no backend.
    """
    scene, settings = context.scene, context.scene.humanref
    photo = RequestedPhoto.of(scene)
    rig = own_rig_of(scene)
    camera = None if rig is None else read_camera(rig)
    if rig is None or camera is None:
        raise ProblemError(
            "no_camera",
            "This rig was not made over a photo, so there is nothing to fit it to.",
            "Press Estimate: it makes a rig over the photo.",
        )
    _check_same_photo(rig, photo)
    pose, locked, height = read_pose(rig), edited_joints(rig), read_height_cm(rig)
    job = _new_job("estimate", photo.name)
    current_session().request(
        job,
        lambda client: client.refit(
            job.job_id,
            photo.source,
            initial=pose,
            camera=camera,
            locked_joints=locked,
            photo_name=photo.name,
            height_cm=height,
            person=_person(settings),
            body=settings.body,
            device=settings.device,
        ),
    )
    _remember(scene, job, rig.name)
    return job.job_id


def request_character(context: bpy.types.Context) -> str:
    """Ask for a character from photo, rig and settings.

    Raises:
        ProblemError: the rig is of another photo, the backend lacks the guidance, or no backend.
    """
    scene, settings = context.scene, context.scene.humanref
    guidance = _guidance(settings)
    photo = RequestedPhoto.of(scene)
    rig = own_rig_of(scene)
    if rig is not None:
        _check_same_photo(rig, photo)
    pose = None if rig is None else read_pose(rig)
    camera = None if rig is None else read_camera(rig)
    height = settings.height_cm if rig is None else read_height_cm(rig)
    job = _new_job("generate", photo.name, settings.preset)
    current_session().request(
        job,
        lambda client: client.submit(
            job.job_id,
            photo.source,
            photo_name=photo.name,
            pose=pose,
            camera=camera,
            height_cm=height,
            person=_person(settings),
            body=settings.body,
            preset=settings.preset,
            guidance=guidance,
            prompt=settings.prompt,
            seed=settings.seed,
            device=settings.device,
            steps=settings.steps or None,
            faces=settings.faces or None,
            texture=None if settings.texture == "preset" else int(settings.texture),
        ),
    )
    _remember(scene, job)
    return job.job_id


def _new_job(kind: str, photo_name: str, preset: str = "") -> Job:
    return Job(new_job_id(), kind, photo_name, preset=preset, created=time.time())


def _remember(scene: bpy.types.Scene, job: Job, rig_name: str = "") -> None:
    place = place_id(place_of_image(scene, scene.humanref.photo))
    memory = SceneJob(job.job_id, job.kind, job.photo_name, rig_name=rig_name, place=place)
    current_scene_jobs().remember(scene, memory)


def _person(settings: bpy.types.PropertyGroup) -> int | None:
    # The panel counts from 1, so that 0 can mean "decide yourself"; the wire counts from 0.
    return settings.person - 1 if settings.person else None


def _guidance(settings: bpy.types.PropertyGroup) -> str:
    # Empty where the connected backend's list lacks what was chosen.
    if not settings.guidance:
        raise ProblemError(
            "guidance_unknown",
            "This backend does not offer what is chosen for unseen sides.",
            "Choose another under Unseen Sides, or update the backend.",
        )
    return str(settings.guidance)


def _check_same_photo(rig: bpy.types.Object, photo: RequestedPhoto) -> None:
    made_for = read_photo(rig)
    if made_for is not None and made_for.sha256 != photo.sha256():
        raise ProblemError(
            "rig_of_another_photo",
            f"The rig {rig.name} was made for another photo than {photo.name}.",
            "Press Estimate for a rig over this photo, or choose the rig's own photo.",
        )
