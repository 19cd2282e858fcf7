"""A bad line between client and backend: loses, delays, doubles, mixes up and cuts, by a seed."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable

import zmq
from attrs import frozen


@frozen(kw_only=True)
class Faults:
    """Probabilities a message, and seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    longest_delay: float = 0.0
    """A delayed message is overtaken by those after it."""
    cut_every: float = 0.0
    """The line is cut about so often; 0 for never."""


class FaultProxy:
    """Stands before one ROUTER of a backend; every client has a line of its own to it.

    Args:
        backend_port: port of the ROUTER, asked for anew after every cut.
    """

    def __init__(self, backend_port: Callable[[], int], faults: Faults, seed: int) -> None:
        self._backend_port = backend_port
        self._faults = faults
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._cut = threading.Event()
        self.stalled = threading.Event()
        """Set: nothing goes through, and nobody is told."""
        self.counts = dict.fromkeys(("passed", "dropped", "doubled", "delayed", "cut"), 0)
        self.port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def cut(self) -> None:
        """Cut every line now."""
        self._cut.set()

    def _run(self) -> None:
        context = zmq.Context()
        try:
            while not self._stop.is_set():
                self._serve(context)
        finally:
            context.destroy(linger=0)

    def _serve(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Until the next cut."""
        front = context.socket(zmq.ROUTER)
        front.linger = 0
        if self.port:
            front.bind(f"tcp://127.0.0.1:{self.port}")
        else:
            self.port = front.bind_to_random_port("tcp://127.0.0.1")
        self._ready.set()
        poller = zmq.Poller()
        poller.register(front, zmq.POLLIN)
        lines: dict[bytes, zmq.Socket[bytes]] = {}
        late: list[tuple[float, int, zmq.Socket[bytes], list[bytes]]] = []
        every = self._faults.cut_every
        cut_at = (
            time.monotonic() + every * self._random.uniform(0.5, 1.5) if every else float("inf")
        )
        number = 0
        while not self._stop.is_set() and not self._cut.is_set() and time.monotonic() < cut_at:
            ready = dict(poller.poll(5))
            arrived: list[tuple[zmq.Socket[bytes], list[bytes]]] = []
            if front in ready:
                route, *frames = front.recv_multipart()
                if route not in lines:
                    lines[route] = context.socket(zmq.DEALER)
                    lines[route].linger = 0
                    lines[route].connect(f"tcp://127.0.0.1:{self._backend_port()}")
                    poller.register(lines[route], zmq.POLLIN)
                arrived.append((lines[route], frames))
            for route, line in list(lines.items()):
                if line in ready:
                    arrived.append((front, [route, *line.recv_multipart()]))
            for target, message in arrived:
                for _ in range(self._copies()):
                    number += 1
                    heapq.heappush(late, (self._when(), number, target, message))
            while late and late[0][0] <= time.monotonic():
                _, _, target, message = heapq.heappop(late)
                target.send_multipart(message)
                self.counts["passed"] += 1
        if not self._stop.is_set():
            self.counts["cut"] += 1
        self._cut.clear()
        for socket in (front, *lines.values()):
            socket.close(0)
        # The port is free again a moment after the socket is closed.
        time.sleep(0.05)

    def _copies(self) -> int:
        if self.stalled.is_set() or self._random.random() < self._faults.drop:
            self.counts["dropped"] += 1
            return 0
        if self._random.random() < self._faults.duplicate:
            self.counts["doubled"] += 1
            return 2
        return 1

    def _when(self) -> float:
        if self._random.random() >= self._faults.delay:
            return 0.0
        self.counts["delayed"] += 1
        return time.monotonic() + self._random.uniform(0.0, self._faults.longest_delay)
