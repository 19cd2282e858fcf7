"""What went wrong, in words: a code, a sentence and a hint, with private folders masked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..shared_protocol.errors import Error, ProtocolError


@dataclass(frozen=True)
class Problem:
    """An error as the artist reads it; every text is masked already when made by a class method."""

    code: str
    message: str
    hint: str = ""
    job_id: str = ""

    @classmethod
    def of(cls, error: Error | ProtocolError, job_id: str = "") -> Problem:
        """From an error of the wire."""
        return cls.say(error.code, error.message, error.hint, job_id)

    @classmethod
    def say(cls, code: str, message: str, hint: str = "", job_id: str = "") -> Problem:
        """From words of our own."""
        return cls(code, mask_private_paths(message), mask_private_paths(hint), job_id)

    def as_text(self) -> str:
        """What the copy button puts on the clipboard."""
        lines = [f"[{self.code}] {self.message}", self.hint]
        if self.job_id:
            lines.append(f"Job {self.job_id}")
        return "\n".join(line for line in lines if line)


class ProblemError(Exception):
    """Carries a :class:`Problem` to the operator or the tick that shows it."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.problem = Problem.say(code, message, hint)


def unexpected(error: Exception) -> Problem:
    """An error of ours, in words; its traceback is in Blender's console."""
    reason = (str(error).strip().splitlines() or [""])[0]
    return Problem.say(
        "unexpected",
        f"Something went wrong in the add-on ({type(error).__name__}: {reason}).",
        "The details are in the system console; please report them.",
    )


def mask_private_paths(text: str, home: Path | None = None) -> str:
    """``text`` with home folders as ``~``: error texts end up in screenshots and forum posts.

    Args:
        text: any message.
        home: this user's home folder; found when not given.
    """
    own = str(home or Path.home())
    if len(own) > 1:
        for written in {own, own.replace("\\", "/"), own.replace("\\", "\\\\")}:
            text = re.sub(re.escape(written) + r"(?=[\\/\s'\":;,.)\]]|$)", "~", text)
    # A backend elsewhere has homes of its own.
    return re.sub(r"(?:\b[A-Za-z]:[\\/]+Users[\\/]+|/home/|/Users/)[^\\/\s'\":]+", "~", text)
