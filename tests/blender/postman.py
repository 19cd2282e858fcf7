"""Delivers to a real add-on what a backend would send."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import bpy
import numpy as np
from scene_data import SceneData

Part = Callable[[str], ModuleType]


class Postman:
    """Delivers what a backend would send for a job of the shown scene."""

    def __init__(self, part: Part, jobs: Any, data: SceneData) -> None:
        self.part, self.jobs, self.data = part, jobs, data
        self.arrivals = part("session.arrivals").Arrivals(jobs)
        self.events = part("shared_protocol.client.events")

    def ask(self, job_id: str, kind: str, **more: Any) -> None:
        job = self.part("session.scene_jobs").SceneJob(job_id, kind, "person.png", **more)
        self.jobs.remember(bpy.context.scene, job)

    def pose(self, job_id: str, index: int = 0) -> None:
        messages = self.data.wire("messages")
        proposed = messages.PoseProposed(
            pose=self.data.pose(index),
            camera=self.data.camera,
            photo=self.data.photo,
            fit=messages.Fit(),
            body=messages.BlobRef(sha256="0" * 64, size=1),
            caption="a person in blue",
        )
        event = self.events.PoseArrived(
            job_id=job_id, proposed=proposed, template=self.data.template
        )
        self.arrivals.show_pose(event)

    def preview(self, job_id: str, step: int = 1) -> None:
        vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32) * step
        self.arrivals.show_preview(
            self.events.PreviewArrived(
                job_id=job_id,
                step=step,
                topology="t",
                vertices=vertices,
                faces=np.array([[0, 1, 2]], np.int32),
                colors=np.full((3, 3), 128, np.uint8),
            )
        )

    def result(self, job_id: str) -> None:
        messages = self.data.wire("messages")
        told = messages.Result(character=messages.BlobRef(sha256="0" * 64, size=1))
        character = self.data.character()
        self.arrivals.show_result(
            self.events.ResultArrived(job_id=job_id, result=told, character=character)
        )

    def characters(self) -> list[Any]:
        return list(self.part("scene.character").find_characters(bpy.context.scene))
