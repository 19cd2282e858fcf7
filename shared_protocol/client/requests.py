"""Requests and their replies: sent again until they are answered, which every request allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define
from numpy.typing import NDArray

from ..codec import Envelope
from ..errors import RATE_LIMITED, SHUTTING_DOWN, Error, ProtocolError
from ..limits import Limits
from ..messages import Content
from .link import Channel
from .timing import Timing

OnReply = Callable[[Envelope], None]
OnError = Callable[[Error], None]
Send = Callable[[Channel, Envelope], bool]

_PATIENCE = 0.2
"""Seconds until a full socket, or a backend that asked us to slow down, is tried again."""


@define
class _Request:
    channel: Channel
    envelope: Envelope
    on_reply: OnReply
    on_error: OnError
    due: float = 0.0
    times: int = 0


class Requests:
    """Everything that was asked and not yet answered.

    Args:
        send: hands a message to the line; False where it takes none (then it is tried again).
    """

    def __init__(self, send: Send, timing: Timing) -> None:
        self._send = send
        self._timing = timing
        self._open: dict[str, _Request] = {}
        self.limits = Limits()
        """What the backend takes; its own once hands were shaken."""

    def ask(
        self,
        channel: Channel,
        content: Content,
        on_reply: OnReply,
        on_error: OnError,
        *,
        job_id: str = "",
        buffers: Mapping[str, NDArray[Any]] | None = None,
    ) -> str:
        """Note a request; it goes out with the next :meth:`tick`. Returns its id."""
        envelope = Envelope(content=content, job_id=job_id, buffers=buffers or {})
        self._open[envelope.msg_id] = _Request(channel, envelope, on_reply, on_error)
        return envelope.msg_id

    def forget(self, msg_id: str) -> None:
        """Nobody waits for this reply any more."""
        self._open.pop(msg_id, None)

    def answer(self, envelope: Envelope, now: float) -> bool:
        """Give a reply to who asked; False where nobody did (any more)."""
        request = self._open.get(envelope.parent_id)
        if request is None:
            return False
        if isinstance(envelope.content, Error):
            if envelope.content.code in (RATE_LIMITED, SHUTTING_DOWN):
                request.due = now + 5 * _PATIENCE
                return True
            del self._open[envelope.parent_id]
            request.on_error(envelope.content)
            return True
        del self._open[envelope.parent_id]
        request.on_reply(envelope)
        return True

    def restart(self) -> None:
        """On a new line everything that was not answered goes out again."""
        for request in self._open.values():
            request.due, request.times = 0.0, 0

    def fail_all(self, error: Error) -> None:
        """The backend refused us for good."""
        requests = list(self._open.values())
        self._open.clear()
        for request in requests:
            request.on_error(error)

    def stalled(self, channel: Channel, times: int) -> bool:
        """Whether some request of ``channel`` was sent ``times`` times in vain."""
        return any(r.channel == channel and r.times > times for r in self._open.values())

    def tick(self, now: float) -> float:
        """Send what is due; returns when there is more to do (infinity: nothing waits)."""
        timing = self._timing
        for msg_id, request in list(self._open.items()):
            if request.due > now or msg_id not in self._open:
                continue
            if request.times >= timing.resend_times:
                del self._open[msg_id]
                request.on_error(_no_reply(request.envelope.type))
                continue
            try:
                sent = self._send(request.channel, request.envelope)
            except ProtocolError as error:
                del self._open[msg_id]
                request.on_error(error.as_error())
                continue
            if sent:
                wait = min(timing.resend_longest, timing.resend_after * 2.0**request.times)
                request.due, request.times = now + wait, request.times + 1
            else:
                request.due = now + _PATIENCE
        return min((request.due for request in self._open.values()), default=float("inf"))


def _no_reply(kind: str) -> Error:
    return Error(
        code="no_reply",
        message=f"The backend is there, but does not answer ({kind}).",
        hint="Try again; restart the backend if it stays so.",
        retryable=True,
    )
