"""Deletions that wait until the processes and writers at work on their jobs are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from backend.service.archive import Freed
from backend.service.lanes import Failure


@dataclass(frozen=True)
class Forgetting:
    """Jobs that are to be deleted together."""

    uids: tuple[str, ...]
    wait: set[str]
    """Those of them that somebody is still at."""
    done: Callable[[Freed | Failure], None]


class Forgettings:
    """All that were asked for and have not begun."""

    def __init__(self) -> None:
        self._open: list[Forgetting] = []

    def add(
        self, uids: Iterable[str], wait: set[str], done: Callable[[Freed | Failure], None]
    ) -> None:
        """Ask for one."""
        self._open.append(Forgetting(tuple(uids), wait, done))

    def let_go(self, uid: str) -> None:
        """Nobody is at this job any more."""
        for each in self._open:
            each.wait.discard(uid)

    def let_go_of_all(self) -> None:
        """Nobody is at any job any more: the server's end."""
        for each in self._open:
            each.wait.clear()

    def take_ready(self) -> list[Forgetting]:
        """Those that wait for nothing, once."""
        ready = [each for each in self._open if not each.wait]
        self._open = [each for each in self._open if each.wait]
        return ready
