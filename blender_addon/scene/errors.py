"""What goes wrong in the scene, in words that a person can act upon."""

from __future__ import annotations


class SceneError(Exception):
    """A request that the scene cannot fulfil.

    Args:
        code: stable snake_case identifier.
        message: one sentence.
        hint: what to do about it.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint
