"""Jobs that wait: one queue a lane, and apart from them those that wait for room on the disk."""

from __future__ import annotations

from backend.service.jobs import Job
from backend.service.worker_messages import LaneName


class Queues:
    """Each job is in one place at most."""

    def __init__(self) -> None:
        self._lanes: dict[LaneName, list[Job]] = {"interactive": [], "batch": []}
        self._held: list[Job] = []

    def __len__(self) -> int:
        return len(self._held) + sum(map(len, self._lanes.values()))

    def add(self, job: Job) -> None:
        """As the last of its lane."""
        self._lanes[job.lane].append(job)

    def add_first(self, job: Job) -> None:
        """As the next of its lane."""
        self._lanes[job.lane].insert(0, job)

    def add_again(self, job: Job) -> None:
        """As the last of those of its lane that have run before."""
        lane = self._lanes[job.lane]
        lane.insert(sum(other.record.attempts > 0 for other in lane), job)

    def hold(self, job: Job) -> None:
        """Until :meth:`release`."""
        self._held.append(job)

    def release(self) -> None:
        """There is room: those that were held wait in their lanes again."""
        held, self._held = self._held, []
        for job in held:
            self.add_again(job)

    @property
    def holds(self) -> bool:
        """Whether any job is held."""
        return bool(self._held)

    def remove(self, job: Job) -> bool:
        """Take a job out; whether it was here."""
        for jobs in (*self._lanes.values(), self._held):
            if job in jobs:
                jobs.remove(job)
                return True
        return False

    def take(self, lane: LaneName) -> Job | None:
        """The next one."""
        return self._lanes[lane].pop(0) if self._lanes[lane] else None

    def position(self, job: Job) -> int:
        """Jobs before it."""
        lane = self._lanes[job.lane]
        return lane.index(job) if job in lane else 0

    def waiting(self) -> dict[LaneName, int]:
        """How many could start now, by lane."""
        return {lane: len(jobs) for lane, jobs in self._lanes.items()}
