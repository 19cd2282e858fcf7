"""Who is connected: sessions by their secret id, never by ZeroMQ's routing id."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal

from backend.service.options import ServeOptions
from backend.service.rates import TokenBucket
from shared_protocol.errors import RATE_LIMITED, ProtocolError

Line = Literal["control", "data"]
_YOUNG = 60.0
"""Seconds of silence after which a session may be pushed out by a new one."""


@dataclass
class Session:
    """One client; a reconnect takes it up again on new lines."""

    id: str
    owner: str
    client: str
    heard: float
    """Monotonic seconds."""
    bucket: TokenBucket
    lines: dict[Line, bytes] = field(default_factory=dict)
    """Routing ids of its newest connections."""
    watched: set[str] = field(default_factory=set)
    """Jobs (uid) that it follows."""
    credits: dict[str, str] = field(default_factory=dict)
    """Job (uid) -> topology that the client holds: one preview may be sent."""
    shown: dict[str, int] = field(default_factory=dict)
    """Job (uid) -> step of the last preview that was sent."""

    def leave(self, uid: str) -> None:
        """Forget a job that is gone."""
        self.watched.discard(uid)
        self.credits.pop(uid, None)
        self.shown.pop(uid, None)


class Sessions:
    """All sessions, bounded in number and in how long they may be silent."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._by_id: dict[str, Session] = {}
        # Owners are bounded by the allow-list.
        self._greetings: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Session]:
        """Everybody."""
        return list(self._by_id.values())

    def open(self, owner: str, client: str, now: float) -> Session:
        """A new session; where there are too many, the one that was silent longest makes room.

        An owner with its share of sessions makes room among its own.

        Raises:
            ProtocolError: ``rate_limited`` when all of those have spoken lately.
        """
        rivals = [session for session in self._by_id.values() if session.owner == owner]
        if len(rivals) < self._options.max_sessions_of_owner:
            rivals = self.all() if len(self) >= self._options.max_sessions else []
        if rivals:
            oldest = min(rivals, key=lambda session: session.heard)
            if now - oldest.heard < _YOUNG:
                raise ProtocolError(
                    RATE_LIMITED,
                    "Too many clients are connected.",
                    "Close one of them, or try again in a minute.",
                    retryable=True,
                )
            self.close(oldest)
        rate = float(self._options.limits.requests_per_second)
        session = Session(
            secrets.token_urlsafe(24), owner, client[:80], now, TokenBucket(rate, rate, now)
        )
        self._by_id[session.id] = session
        return session

    def may_greet(self, owner: str, now: float) -> bool:
        """Whether an owner may greet once more; counts it when it may."""
        rate = self._options.greetings_per_second
        bucket = self._greetings.setdefault(owner, TokenBucket(rate, 6.0 * rate, now))
        return bucket.take(now)

    def get(self, id_: str, owner: str, now: float) -> Session | None:
        """The session of a message, if it is its owner's; it counts as heard of."""
        session = self._by_id.get(id_)
        if session is None or session.owner != owner:
            return None
        session.heard = now
        return session

    def close(self, session: Session) -> None:
        """Forget a session; its jobs go on."""
        self._by_id.pop(session.id, None)

    def expire(self, now: float) -> list[Session]:
        """Close the sessions that were silent for too long."""
        silence = self._options.session_silence
        gone = [s for s in self._by_id.values() if now - s.heard > silence]
        for session in gone:
            self.close(session)
        return gone
