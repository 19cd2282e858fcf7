"""What arrivals do to the scene, as a session sees it; ``arrivals.py`` does it to Blender's."""

from __future__ import annotations

from typing import Protocol

from ..shared_protocol.client.events import PoseArrived, PreviewArrived, ResultArrived
from .jobs import Job


class SceneSide(Protocol):
    """What arrivals do to the scene; every method runs on the main thread, inside a tick."""

    def obstacle(self, job_id: str) -> str:
        """Why an arrival of this job cannot be put into the scene right now; empty when it can."""
        ...

    def can_preview(self, job_id: str) -> bool:
        """Whether the growing mesh may change right now."""
        ...

    def show_pose(self, event: PoseArrived) -> None:
        """Put an estimated body over the photo."""
        ...

    def show_preview(self, event: PreviewArrived) -> None:
        """Update the growing mesh."""
        ...

    def show_result(self, event: ResultArrived) -> None:
        """Import a finished character."""
        ...

    def end(self, job_id: str) -> None:
        """Clean up after a job that brought nothing."""
        ...

    def open_jobs(self) -> list[Job]:
        """Jobs which the scenes still wait for."""
        ...
