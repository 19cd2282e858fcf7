"""Poses and results on their way into the scene: each waits until its scene can take it."""

from __future__ import annotations

from collections import deque

from ..shared_protocol.client.events import PoseArrived, ResultArrived
from .scene_side import SceneSide

_MOST_WAITING = 4


class Deliveries:
    """A short queue in front of the scene; one delivery a tick."""

    def __init__(self, scene: SceneSide) -> None:
        self.waiting = ""
        """Why something that has arrived is not in the scene yet."""
        self._scene = scene
        self._queue: deque[PoseArrived | ResultArrived] = deque(maxlen=_MOST_WAITING)
        # What falls out can be fetched again at any time: its scene still waits for it.

    def add(self, event: PoseArrived | ResultArrived) -> None:
        """Something has arrived."""
        self._queue.append(event)

    def deliver_one(self) -> bool:
        """Put the first arrival whose scene is ready into it; the others keep their turn.

        Returns:
            Whether anything has changed.

        Raises:
            ProblemError: it does not fit; it is not tried again.
        """
        before, self.waiting = self.waiting, ""
        for event in list(self._queue):
            obstacle = self._scene.obstacle(event.job_id)
            if obstacle:
                self.waiting = obstacle
                continue
            self._queue.remove(event)
            if isinstance(event, PoseArrived):
                self._scene.show_pose(event)
            else:
                self._scene.show_result(event)
            return True
        return before != self.waiting
