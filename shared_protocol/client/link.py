"""The two sockets of one attempt to reach a backend, and what the network says about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..codec import Envelope, decode, encode
from ..connection import Connection
from ..errors import NO_BACKEND, NOT_ALLOWED, PROTOCOL_MISMATCH, Error, ProtocolError
from ..limits import Limits
from .keys import KeyPair

Channel = Literal["control", "data"]
CHANNELS: Final[tuple[Channel, ...]] = ("control", "data")

UNREACHABLE: Final = "backend_unreachable"
_LOST = Error(
    code=UNREACHABLE,
    message="The line to the backend was cut.",
    hint="It is tried again; jobs go on meanwhile.",
    retryable=True,
)
_NOBODY = Error(
    code=NO_BACKEND,
    message="No backend answers at its address.",
    hint="Start it with: humanref serve",
    retryable=True,
)
_WRONG_KEY = Error(
    code=NOT_ALLOWED,
    message="The backend refused our key.",
    hint="Have it allowed there with: humanref keys",
)
_NO_HANDSHAKE = Error(
    code=UNREACHABLE,
    message="The backend ended the line before a word was said.",
    hint="Compare the keys: its connection file may be old, or ask for keys where it uses none.",
    retryable=True,
)


class Link:
    """A DEALER for control and one for data; neither reconnects by itself.

    A socket that reconnects silently would lose what was on its way: the session is the one that
    starts again, with everything that was not answered.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller) -> None:
        self._context = context
        self._poller = poller
        self._sockets: dict[Channel, zmq.Socket[bytes]] = {}
        self._monitors: dict[Channel, zmq.Socket[bytes]] = {}
        self._reached: set[Channel] = set()
        self._shaken: set[Channel] = set()
        self.limits = Limits()

    def open(self, connection: Connection, keys: KeyPair | None) -> None:
        """Begin to connect.

        Raises:
            ProtocolError: ``not_allowed`` for a backend with keys when we have none;
                ``connection_unusable`` for an address that is none.
        """
        if connection.server_key and keys is None:
            raise ProtocolError(
                NOT_ALLOWED,
                "This backend wants to know our key, and we have none.",
                "Make a key pair with: humanref keys client NAME",
            )
        self.close()
        self.limits = Limits()
        try:
            for channel in CHANNELS:
                address = connection.control if channel == "control" else connection.data
                self._connect(channel, address, connection, keys)
        except (zmq.ZMQError, ValueError, TypeError) as error:
            self.close()
            raise ProtocolError(
                "connection_unusable",
                f"The backend's address cannot be used ({error}).",
                "Make its connection file anew by starting it again.",
            ) from error

    def _connect(
        self, channel: Channel, address: str, connection: Connection, keys: KeyPair | None
    ) -> None:
        socket = self._context.socket(zmq.DEALER)
        self._sockets[channel] = socket
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.setsockopt(zmq.MAXMSGSIZE, self.limits.message_bytes)
        socket.setsockopt(zmq.SNDHWM, 256)
        socket.setsockopt(zmq.RCVHWM, 256)
        socket.setsockopt(zmq.IPV6, 1)
        if connection.server_key and keys is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, connection.server_key.encode())
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        monitor = socket.get_monitor_socket()
        self._monitors[channel] = monitor
        socket.connect(address)
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(monitor, zmq.POLLIN)

    def close(self, linger_ms: int = 0) -> None:
        """Close everything; ``linger_ms`` lets a last word out."""
        for channel, socket in self._sockets.items():
            monitor = self._monitors.get(channel)
            for each in (monitor, socket):
                if each is not None and each in self._poller:
                    self._poller.unregister(each)
            socket.disable_monitor()
            if monitor is not None:
                monitor.close(0)
            socket.close(linger_ms)
        self._sockets.clear()
        self._monitors.clear()
        self._reached.clear()
        self._shaken.clear()

    def send(self, channel: Channel, envelope: Envelope) -> bool:
        """Hand a message over; False where the socket takes none now.

        Raises:
            ProtocolError: a message above the backend's limits.
        """
        socket = self._sockets.get(channel)
        if socket is None:
            return False
        frames = encode(envelope, self.limits.of_requests)
        try:
            socket.send_multipart(frames, flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True

    def receive(self, channel: Channel, most: int = 64) -> Iterator[Envelope]:
        """The messages that are there. Damaged ones and kinds from the future are passed over.

        Raises:
            ProtocolError: ``protocol_mismatch``, when the other side speaks another language.
        """
        for _ in range(most):
            socket = self._sockets.get(channel)
            if socket is None:
                return
            try:
                frames = socket.recv_multipart(flags=zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                # The view keeps its frame alive, so arrays need no copy.
                envelope = decode([frame.buffer for frame in frames], Limits())
            except ProtocolError as error:
                if error.code == PROTOCOL_MISMATCH:
                    raise
                continue
            yield envelope

    def trouble(self) -> Error | None:
        """What the network reported since the last call, if it ends this attempt."""
        for channel, monitor in self._monitors.items():
            while True:
                try:
                    event = recv_monitor_message(monitor, zmq.NOBLOCK)["event"]
                except zmq.Again:
                    break
                if event == zmq.EVENT_CONNECTED:
                    self._reached.add(channel)
                elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._shaken.add(channel)
                elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    return _WRONG_KEY
                elif event in (
                    zmq.EVENT_DISCONNECTED,
                    zmq.EVENT_CLOSED,
                    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
                    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
                ):
                    return self._how_it_ended(channel)
        return None

    def _how_it_ended(self, channel: Channel) -> Error:
        if channel in self._shaken:
            return _LOST
        return _NO_HANDSHAKE if channel in self._reached else _NOBODY
