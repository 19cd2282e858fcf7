"""Greetings and the door: who a message comes from, and whether it is heard."""

from __future__ import annotations

import time
from typing import get_args

from backend.service.memory import total_memory_mb
from backend.service.options import ServeOptions
from backend.service.post import Asked, Post
from backend.service.security import Guard
from backend.service.sessions import Line, Session, Sessions
from backend.service.wire import Arrival
from backend.service.workers import Workers
from backend.settings import Preset
from shared_protocol.checks import check_version
from shared_protocol.codec import Envelope, MessageError, decode, reply
from shared_protocol.errors import (
    MALFORMED,
    NO_SESSION,
    NOT_ALLOWED,
    RATE_LIMITED,
    ProtocolError,
)
from shared_protocol.messages import FetchChunk, Hello, PutChunk, Welcome
from shared_protocol.version import PROTOCOL

_STARTING = "not known yet: the server is starting"


def _too_often() -> ProtocolError:
    return ProtocolError(
        RATE_LIMITED, "Too many requests in too short a time.", "Slow down.", retryable=True
    )


class Reception:
    """Turns arrivals into messages of known sessions; greets, and refuses everybody else."""

    def __init__(
        self,
        options: ServeOptions,
        guard: Guard,
        sessions: Sessions,
        post: Post,
        workers: Workers,
        version: str,
    ) -> None:
        self._options, self._guard, self._sessions = options, guard, sessions
        self._post, self._workers = post, workers
        self._version = version
        self._memory = total_memory_mb()

    def admit(self, arrival: Arrival) -> Asked | None:
        """The message of an arrival, when somebody else has to deal with it."""
        line, route = arrival.line, arrival.route
        try:
            envelope = decode(arrival.frames, self._options.limits)
        except MessageError as error:
            self._post.refuse(line, route, error, error)
            return None
        try:
            return self._admit(arrival, envelope)
        except ProtocolError as error:
            self._post.refuse(line, route, envelope, error)
            return None

    def _admit(self, arrival: Arrival, envelope: Envelope) -> Asked | None:
        line, route, now = arrival.line, arrival.route, time.monotonic()
        if arrival.owner is None:
            raise ProtocolError(
                NOT_ALLOWED,
                "The key of this client is not allowed here.",
                "Have it allowed with: humanref keys allow",
            )
        content = envelope.content
        if isinstance(content, Hello):
            self._greet(line, route, arrival.owner, envelope, content, now)
            return None
        session = self._sessions.get(envelope.session, arrival.owner, now)
        if session is None:
            raise ProtocolError(
                NO_SESSION,
                "The server does not know this session (any more).",
                "Greet it again.",
                retryable=True,
            )
        session.lines[line] = route
        if not isinstance(content, PutChunk | FetchChunk) and not session.bucket.take(now):
            raise _too_often()
        return Asked(line, route, envelope, session)

    def _greet(
        self, line: Line, route: bytes, owner: str, envelope: Envelope, hello: Hello, now: float
    ) -> None:
        check_version(hello.protocol)
        if not self._guard.knows(hello.token):
            raise ProtocolError(
                NOT_ALLOWED,
                "This client does not have the token of the connection file.",
                "Read the connection file again: the server may have been restarted.",
            )
        if not self._sessions.may_greet(owner, now):
            raise _too_often()
        session = self._sessions.get(hello.session, owner, now) if hello.session else None
        if session is None and line == "data":
            raise ProtocolError(
                NO_SESSION if hello.session else MALFORMED,
                "A session begins on the control line.",
                "Greet the server there first.",
                retryable=True,
            )
        if session is None:
            session = self._sessions.open(owner, hello.client, now)
        session.lines[line] = route
        self._post.welcome(line, route, reply(envelope, self._welcome(session)))

    def _welcome(self, session: Session) -> Welcome:
        facts = self._workers.facts
        return Welcome(
            session=session.id,
            server="humanref",
            server_version=self._version,
            protocol=PROTOCOL,
            limits=self._options.limits,
            device=facts.device if facts else _STARTING,
            memory_mb=self._memory,
            providers=dict(facts.providers) if facts else {},
            bodies=facts.bodies if facts else (),
            presets=get_args(Preset),
            guidances=self._options.guidances,
            ready=self._workers.ready,
        )
