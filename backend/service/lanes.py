"""Work that may block (disk), on a thread of its own, with its answer brought back to the loop."""

from __future__ import annotations

import queue
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox:
    """Calls from other threads, made later on the loop's thread; waking it costs nothing while idle."""

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        """``on_error`` gets what a call raises; the calls after it are made all the same."""
        self._on_error = on_error
        self._calls: deque[Callable[[], None]] = deque()
        # A socket pair and no pipe: ZeroMQ's poller takes only sockets on Windows.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._reader.fileno()

    def post(self, call: Callable[[], None]) -> None:
        """Have ``call`` made on the loop's thread; from any thread, at any time."""
        self._calls.append(call)
        # Full: it is awake already. Closed: nobody listens any more.
        with suppress(OSError):
            self._writer.send(b"\0")

    def drain(self) -> None:
        """Make the calls that have arrived so far."""
        with suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        for _ in range(len(self._calls)):
            call = self._calls.popleft()
            try:
                call()
            except Exception as error:
                self._on_error(error)

    def close(self) -> None:
        """Let go of the sockets."""
        self._reader.close()
        self._writer.close()


class Failure:
    """What a piece of work raised instead of giving an answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Work(Generic[T]):
    def __init__(self, call: Callable[[], T], done: Callable[[T | Failure], None]) -> None:
        self.call, self.done = call, done

    def run(self, mailbox: Mailbox) -> None:
        outcome: T | Failure
        try:
            outcome = self.call()
        except Exception as error:
            outcome = Failure(error)
        settled = outcome
        mailbox.post(lambda: self.done(settled))


class Lane:
    """One thread that does pieces of work in order."""

    def __init__(self, name: str, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._asked, self._done = 0, 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Pieces of work that have not begun."""
        return self._queue.qsize()

    def do(self, call: Callable[[], T], done: Callable[[T | Failure], None]) -> None:
        """Run ``call`` on this lane, then ``done`` with its answer or failure on the loop."""
        self._asked += 1
        self._queue.put(_Work(call, done))

    @property
    def is_idle(self) -> bool:
        """Whether all that was asked for is done; for the loop's thread."""
        return self._done == self._asked

    def flush(self) -> None:
        """Wait until what was asked for so far is done; the answers are in the mailbox then."""
        reached = threading.Event()
        self.do(reached.set, lambda _: None)
        reached.wait()

    def close(self) -> None:
        """Finish what was asked for, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work.run(self._mailbox)
            self._done += 1
