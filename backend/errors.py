"""Errors a person is meant to read: what happened, and what to do about it."""


class HumanRefError(Exception):
    """Bad input or a refused request; shown as one sentence plus a hint, never as a traceback.

    Args:
        code: stable snake_case identifier (also sent over the wire), e.g. ``"photo_unreadable"``.
        message: one clear sentence: what is wrong and why.
        hint: one sentence: what the user can do now.
        retryable: whether the same request may succeed later unchanged (disk full, out of memory).
    """

    def __init__(self, code: str, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable


class Cancelled(HumanRefError):  # noqa: N818 (a stop is no error)
    """The user stopped a run; what was done so far is kept in a checkpoint."""

    def __init__(self, message: str = "Stopped.", hint: str = "") -> None:
        super().__init__("cancelled", message, hint)
