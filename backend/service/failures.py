"""Failures in the words of the wire."""

from __future__ import annotations

from backend.errors import HumanRefError
from shared_protocol.errors import INTERNAL, WORKER_DIED, Error, ProtocolError


def as_error(error: Exception) -> Error:
    """Any exception as a client may read it; one of ours says no more than its type."""
    if isinstance(error, ProtocolError):
        return error.as_error()
    if isinstance(error, HumanRefError):
        return Error(
            code=error.code, message=error.message, hint=error.hint, retryable=error.retryable
        )
    return Error(
        code=INTERNAL,
        message=f"Something went wrong in humanref ({type(error).__name__}).",
        hint="The server's log has the details; please report them.",
    )


def is_known(error: Exception) -> bool:
    """Whether an exception was meant for people."""
    return isinstance(error, ProtocolError | HumanRefError)


def died(message: str) -> Error:
    """A process that ended under its job."""
    return Error(
        code=WORKER_DIED,
        message=message,
        hint="Try again; with less memory, use the draft preset.",
        retryable=True,
    )
