"""Errors as they travel: a stable code, one sentence, one hint, and whether to try again."""

from __future__ import annotations

from typing import Final

from attrs import frozen


@frozen(kw_only=True)
class Error:
    """Content of an ``error`` message. Pipeline codes (``photo_unreadable`` ...) pass through as they are."""

    code: str
    message: str
    hint: str = ""
    retryable: bool = False


class ProtocolError(Exception):
    """A message that breaks the protocol, or a request that was refused."""

    def __init__(self, code: str, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable

    @staticmethod
    def of(error: Error) -> ProtocolError:
        """The exception that carries ``error``."""
        return ProtocolError(error.code, error.message, error.hint, retryable=error.retryable)

    def as_error(self) -> Error:
        """The content of the message that reports this."""
        return Error(code=self.code, message=self.message, hint=self.hint, retryable=self.retryable)


# The server's or a peer's; docs/protocol.md says what each means.
MALFORMED: Final = "malformed"
TOO_LARGE: Final = "too_large"
UNKNOWN_TYPE: Final = "unknown_type"
PROTOCOL_MISMATCH: Final = "protocol_mismatch"
NOT_ALLOWED: Final = "not_allowed"
NO_SESSION: Final = "no_session"
BLOB_MISSING: Final = "blob_missing"
BLOB_DIGEST: Final = "blob_digest"
JOB_UNKNOWN: Final = "job_unknown"
JOB_CONFLICT: Final = "job_conflict"
TOO_MANY_JOBS: Final = "too_many_jobs"
RATE_LIMITED: Final = "rate_limited"
DISK_FULL: Final = "disk_full"
QUOTA: Final = "quota"
WORKER_DIED: Final = "worker_died"
OUT_OF_MEMORY: Final = "out_of_memory"
SHUTTING_DOWN: Final = "shutting_down"
INTERNAL: Final = "internal"

# The client's own, before there is a server to say anything.
NO_BACKEND: Final = "no_backend"
