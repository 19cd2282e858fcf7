"""The line to the backend as a whole: shaking hands, staying in touch, starting again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import zmq
from attrs import evolve

from ..checks import check_version
from ..codec import Envelope
from ..connection import Connection, is_alive, read_connection
from ..errors import NO_BACKEND, NO_SESSION, NOT_ALLOWED, PROTOCOL_MISMATCH, Error, ProtocolError
from ..messages import Bye, Hello, Ping, Pong, Welcome
from .keys import KeyPair
from .link import CHANNELS, UNREACHABLE, Channel, Link
from .reconnect import Backoff
from .timing import Timing

_FINAL = (PROTOCOL_MISMATCH, NOT_ALLOWED)
# Its port may be anybody's by now, and the token is not for them.
_GONE = Error(
    code=NO_BACKEND,
    message="The backend that wrote the connection file is no longer there.",
    hint="Start it again; its jobs continue then.",
    retryable=True,
)
_SILENT = Error(
    code=UNREACHABLE,
    message="The backend has gone silent.",
    hint="It is tried again; jobs go on meanwhile.",
    retryable=True,
)
_STOPPED = Error(
    code=UNREACHABLE,
    message="The backend was stopped.",
    hint="Start it again; its jobs continue then.",
    retryable=True,
)


class Session:
    """Keeps a connection that may go away and come back.

    It is waiting for the next attempt, greeting (``hello`` on both sockets), ready, or refused for good.

    Args:
        source: an address, or the file to read it from before every attempt.
        on_ready: hands were shaken, or the backend's readiness has changed since.
        on_lost: the line is gone; the second argument is None when it is not tried again.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        source: Connection | Path,
        hello: Hello,
        keys: KeyPair | None,
        timing: Timing,
        *,
        on_ready: Callable[[Welcome, bool], None],
        on_lost: Callable[[Error, float | None], None],
    ) -> None:
        self._link = Link(context, poller)
        self._source = source
        self._hello = hello
        self._keys = keys
        self._timing = timing
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._backoff = Backoff(timing.retry_first, timing.retry_longest)
        self._retry_at: float | None = 0.0
        self._id = ""
        self._token = ""
        self._welcome: Welcome | None = None
        self._greeting: Channel = "control"
        self._hello_ids: set[str] = set()
        self._hello_due = 0.0
        self._ready_at = 0.0
        self._ping_due = 0.0
        self._heard: dict[Channel, float] = {}
        self.refusal: Error | None = None
        """Why it is not tried again; None while it is."""
        self.ready = False
        """Whether requests can be sent."""

    # -- sending ------------------------------------------------------------------------------------

    def send(self, channel: Channel, envelope: Envelope) -> bool:
        """Send in the name of this session; False while nothing can be sent.

        Raises:
            ProtocolError: a message above the backend's limits.
        """
        return self.ready and self._link.send(channel, evolve(envelope, session=self._id))

    def tick(self, now: float) -> float:
        """Do what is due; returns when there is more to do."""
        if self.refusal is not None:
            return float("inf")
        if self._retry_at is not None:
            if now < self._retry_at:
                return self._retry_at
            self._open(now)
        elif (trouble := self._link.trouble()) is not None:
            self._lose(trouble, now)
        elif now - self._heard["control"] > self._timing.silent_after:
            self._lose(_SILENT, now)
        if self.refusal is not None or self._retry_at is not None:
            return self._retry_at or float("inf")
        silent_at = self._heard["control"] + self._timing.silent_after
        if not self.ready:
            if now >= self._hello_due:
                self._greet(self._greeting, now)
            return min(self._hello_due, silent_at)
        if now >= self._ping_due:
            self._ping_due = now + self._timing.ping_every
            self.send("control", Envelope(content=Ping()))
        return min(self._ping_due, silent_at)

    def reconnect(self, now: float) -> None:
        """Try again at once, unless hands are shaken."""
        if self.refusal is not None or self._retry_at is not None:
            self.refusal = None
            self._backoff.reset()
            self._retry_at = now

    def data_is_stuck(self, now: float) -> None:
        """Data requests stay unanswered: after a while of silence there the line is made anew."""
        if self.ready and now - self._heard["data"] > self._timing.silent_after:
            self._lose(_SILENT, now)

    def close(self) -> None:
        """Say good-bye where somebody hears it; jobs go on."""
        linger_ms = 0
        if self.ready:
            self.send("control", Envelope(content=Bye(reason="closed")))
            linger_ms = 200
        self.ready = False
        self._link.close(linger_ms)

    # -- receiving ----------------------------------------------------------------------------------

    def receive(self, now: float) -> Iterator[tuple[Channel, Envelope]]:
        """Messages for somebody else; greetings and heartbeats are dealt with here."""
        try:
            for channel in CHANNELS:
                for envelope in self._link.receive(channel):
                    self._heard[channel] = now
                    if not self._keep(channel, envelope, now):
                        yield channel, envelope
        except ProtocolError as error:
            self._refuse(error.as_error())

    def _keep(self, channel: Channel, envelope: Envelope, now: float) -> bool:
        content = envelope.content
        if isinstance(content, Welcome):
            self._greeted(channel, content, now)
        elif isinstance(content, Pong):
            if self._welcome is not None and self.ready and content.ready != self._welcome.ready:
                # Device and providers are known only now: a fresh welcome says them.
                self._say_hello("control")
        elif isinstance(content, Bye):
            self._lose(_STOPPED, now)
        elif isinstance(content, Error):
            return self._keep_error(envelope, content, now)
        else:
            return not self.ready
        return True

    def _keep_error(self, envelope: Envelope, error: Error, now: float) -> bool:
        if error.code in _FINAL:
            self._refuse(error)
        elif error.code == NO_SESSION and envelope.session != self._id:
            # About a session that has been replaced in the meantime.
            return True
        elif error.code == NO_SESSION:
            # The backend has forgotten us: a new greeting on the same line, then all that is open.
            self._id = ""
            self.ready = False
            self._hello_ids.clear()
            self._greet("control", now)
        elif envelope.parent_id in self._hello_ids:
            self._lose(error, now)
        else:
            return False
        return True

    # -- states -------------------------------------------------------------------------------------

    def _open(self, now: float) -> None:
        self._retry_at = None
        self._heard = dict.fromkeys(CHANNELS, now)
        self._hello_ids.clear()
        try:
            source = self._source
            connection = read_connection(source) if isinstance(source, Path) else source
            if isinstance(source, Path) and connection.token and not is_alive(connection):
                raise ProtocolError.of(_GONE)
            self._token = "" if connection.server_key else connection.token
            self._link.open(connection, self._keys)
        except ProtocolError as error:
            self._lose(error.as_error(), now)
            return
        self._greet("control", now)

    def _greet(self, channel: Channel, now: float) -> None:
        """Control first: its welcome brings the session that the data socket belongs to."""
        if channel == "control":
            self._welcome = None
        self._greeting = channel
        self._hello_due = now + self._timing.resend_after / 2
        self._say_hello(channel)

    def _say_hello(self, channel: Channel) -> None:
        hello = Envelope(content=evolve(self._hello, token=self._token, session=self._id))
        self._hello_ids.add(hello.msg_id)
        self._link.send(channel, evolve(hello, session=self._id))

    def _greeted(self, channel: Channel, welcome: Welcome, now: float) -> None:
        if self.ready:
            if channel == "control" and welcome.session == self._id:
                self._welcome = welcome
                self._on_ready(welcome, False)
            return
        try:
            check_version(welcome.protocol)
        except ProtocolError as error:
            self._refuse(error.as_error())
            return
        if channel == "control" and self._welcome is None:
            self._welcome = welcome
            self._id = welcome.session
            self._link.limits = welcome.limits
            self._greet("data", now)
        elif channel == "data" and self._welcome is not None and welcome.session == self._id:
            self.ready = True
            self._ready_at = now
            self._ping_due = now + self._timing.ping_every
            self._on_ready(self._welcome, True)

    def _lose(self, error: Error, now: float) -> None:
        if error.code in _FINAL:
            self._refuse(error)
            return
        if self.ready and now - self._ready_at > self._timing.silent_after:
            # A line that held for a while; one that breaks at once is tried less and less often.
            self._backoff.reset()
        self.ready = False
        self._link.close()
        wait = self._backoff.next()
        self._retry_at = now + wait
        self._on_lost(error, wait)

    def _refuse(self, error: Error) -> None:
        self.ready = False
        self._link.close()
        self.refusal = error
        self._on_lost(error, None)
