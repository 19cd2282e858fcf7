"""The two sockets: frames in, frames out, nothing that blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import zmq

from backend.errors import HumanRefError
from backend.service.security import Bind, Guard
from backend.service.sessions import Line
from shared_protocol.codec import Envelope, encode
from shared_protocol.limits import Limits

_CONTROL_QUEUE = 200
"""Messages that wait for one slow client on control; small, but for lists of hundreds of jobs."""
_DATA_QUEUE = 3
"""Chunks and previews that wait for one slow client: memory it can cost us."""
_LEAVE_MS = 500
_SLACK = 1 << 16


@dataclass(frozen=True)
class Arrival:
    """One message as it came, still unread."""

    line: Line
    route: bytes
    owner: str | None
    frames: list[memoryview]


class Wire:
    """Two bound ROUTERs; frames are checked by the codec, senders by the guard."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        bind: Bind,
        guard: Guard,
        limits: Limits,
    ) -> None:
        """Raises HumanRefError ``bind_failed``."""
        self._guard, self._limits = guard, limits
        self._sockets: dict[Line, zmq.Socket[bytes]] = {}
        self.endpoints: dict[Line, str] = {}
        lines: tuple[tuple[Line, int], ...] = (("control", 0), ("data", 1))
        try:
            for line, offset in lines:
                self._open(context, line, bind, offset)
        except zmq.ZMQError as error:
            self.close()
            raise HumanRefError(
                "bind_failed",
                f"The server cannot listen on {bind.url_host} ({error.strerror}).",
                "Choose another --bind, or stop the program that uses the port.",
            ) from error

    def _open(
        self, context: zmq.Context[zmq.Socket[bytes]], line: Line, bind: Bind, offset: int
    ) -> None:
        socket = context.socket(zmq.ROUTER)
        self._sockets[line] = socket
        self._guard.protect(socket)
        socket.linger = 0
        socket.ipv6 = ":" in bind.host
        # An unroutable or slow peer is an answer (EAGAIN, EHOSTUNREACH) instead of silence.
        socket.router_mandatory = True
        limits = self._limits
        longest = limits.header_bytes if line == "control" else limits.chunk_bytes
        socket.maxmsgsize = max(longest, limits.header_bytes) + _SLACK
        socket.sndhwm = _CONTROL_QUEUE if line == "control" else _DATA_QUEUE
        socket.rcvhwm = _CONTROL_QUEUE if line == "control" else _DATA_QUEUE
        # Half-open lines of clients that vanished are noticed and freed.
        socket.setsockopt(zmq.HEARTBEAT_IVL, 15_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 60_000)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 10_000)
        port = "*" if bind.port is None else str(bind.port + offset)
        socket.bind(f"tcp://{bind.url_host}:{port}")
        self.endpoints[line] = socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def socket(self, line: Line) -> zmq.Socket[bytes]:
        """For the poller."""
        return self._sockets[line]

    def receive(self, line: Line, most: int) -> Iterator[Arrival]:
        """Up to ``most`` messages that are there now."""
        for _ in range(most):
            try:
                route, *frames = self._sockets[line].recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if frames:
                owner = self._guard.owner(frames[0])
                # The views keep their frames alive.
                yield Arrival(line, route.bytes, owner, [frame.buffer for frame in frames])

    def send(self, line: Line, route: bytes, envelope: Envelope) -> bool:
        """Hand a message over; False where the peer is gone or takes no more.

        Raises:
            ProtocolError: the message breaks a limit.
        """
        frames = encode(envelope, self._limits)
        try:
            self._sockets[line].send_multipart([route, *frames], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError:
            return False
        return True

    def close(self, *, leave: bool = False) -> None:
        """Close both sockets; with ``leave`` what was said last still goes out."""
        for socket in self._sockets.values():
            socket.close(_LEAVE_MS if leave else 0)
        self._sockets.clear()
