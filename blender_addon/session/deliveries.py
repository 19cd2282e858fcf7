"""Poses and results on their way into the scene: each waits until its scene can take it."""

from __future__ import annotations

from ..shared_protocol.client.events import PoseArrived, ResultArrived
from .scene_side import SceneSide

MOST_WAITING = 4
"""Arrivals that are kept whole: each may be many megabytes."""


class Deliveries:
    """A short queue in front of the scene; one delivery a tick.

    Of what finds no room the job's id is kept, and it is fetched again once it can be delivered.
    """

    def __init__(self, scene: SceneSide) -> None:
        self.waiting = ""
        """Why something that has arrived is not in the scene yet."""
        self._scene = scene
        self._queue: list[PoseArrived | ResultArrived] = []
        self._later: list[str] = []

    def add(self, event: PoseArrived | ResultArrived) -> None:
        """Something has arrived."""
        self._put_off(event.job_id, off=False)
        if len(self._queue) >= MOST_WAITING:
            # Of those that must wait one makes room, so that what can be delivered is not held up.
            blocked = (e for e in (event, *self._queue) if self._scene.obstacle(e.job_id))
            out = next(blocked, event)
            self._put_off(out.job_id, off=True)
            if out is event:
                return
            self._queue.remove(out)
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
        for job_id in self._later:
            self.waiting = self._scene.obstacle(job_id) or self.waiting
        return before != self.waiting

    def wanted_again(self) -> list[str]:
        """Jobs that found no room and could be delivered now: each is named once, to be fetched."""
        room = MOST_WAITING - len(self._queue)
        ready = [job_id for job_id in self._later if not self._scene.obstacle(job_id)][:room]
        for job_id in ready:
            self._put_off(job_id, off=False)
        return ready

    def forget(self, job_id: str) -> None:
        """A job was deleted; with no id, all of them."""
        self._queue = [event for event in self._queue if job_id not in ("", event.job_id)]
        self._later = [later for later in self._later if job_id not in ("", later)]

    def _put_off(self, job_id: str, *, off: bool) -> None:
        self._later = [later for later in self._later if later != job_id]
        if off:
            self._later.append(job_id)
