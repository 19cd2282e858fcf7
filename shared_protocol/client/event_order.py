"""Putting pushes right that came twice, in another order, or not at all."""

from __future__ import annotations


class EventOrder:
    """What has been told of one job's numbered events (1, 2, 3 ...).

    Progress is told when it is newer than all progress before. A notice is told once, whenever it
    comes. ``gap`` says that something is missing: ask for the status since ``seen``.
    """

    def __init__(self, since_seq: int = 0) -> None:
        self.seen = since_seq
        """Everything up to this number has arrived or is known to be thinned out."""
        self._newest_progress = since_seq
        self._ahead: set[int] = set()
        # A number from outside may be of a backend that has since lost the end of its log.
        self._restarted = since_seq > 0

    @property
    def gap(self) -> bool:
        """Whether a number before the newest one has not come."""
        return bool(self._ahead)

    def tell(self, seq: int, *, progress: bool) -> bool:
        """Note an event; whether the owner should hear of it."""
        if seq <= self.seen or seq in self._ahead:
            return False
        self._ahead.add(seq)
        self._close()
        if progress:
            if seq < self._newest_progress:
                return False
            self._newest_progress = seq
        return True

    def restart(self) -> None:
        """After a reconnect the backend may know less than we do: its next answer is believed."""
        self._restarted = True

    def begin_answer(self, newest: int) -> None:
        """A complete status since :attr:`seen` has come; its events are told next."""
        if self._restarted and newest < self.seen:
            self.seen = newest
            self._newest_progress = newest
            self._ahead.clear()
        self._restarted = False

    def end_answer(self, newest: int) -> None:
        """Everything up to ``newest`` is known now; what is not there was thinned out."""
        self.seen = max(self.seen, newest)
        self._ahead = {seq for seq in self._ahead if seq > self.seen}
        self._close()

    def _close(self) -> None:
        while self.seen + 1 in self._ahead:
            self.seen += 1
            self._ahead.discard(self.seen)
