"""How much of the disk the blobs of each owner take up, counted once and then kept in step."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from shared_protocol.errors import QUOTA, ProtocolError

PART = ".part"
"""Suffix of an unfinished upload, ``SHA256.SIZE.part``: SIZE bytes are kept for it."""
_LEAST = 64 << 10
"""A file counts as this much at least: it costs more than its bytes, and a folder of millions hangs."""


class Quota:
    """For one thread at a time."""

    def __init__(self, most: int) -> None:
        """``most``: bytes of one owner."""
        self._most = most
        self._used: dict[Path, int] = {}

    def check(self, folder: Path, more: int) -> None:
        """Refuse ``more`` bytes for the owner of ``folder`` where that would be too much.

        Raises:
            ProtocolError: ``quota``.
        """
        used = self.used(folder)
        wanted = used + max(more, _LEAST)
        if wanted > self._most:
            raise ProtocolError(
                QUOTA,
                f"Your files on this server take up {used / 1e9:.1f} GB; {self._most / 1e9:.1f} GB "
                "are allowed.",
                "Forget old jobs there, then try again.",
            )

    def used(self, folder: Path) -> int:
        """What an owner's folder counts as, bytes."""
        if folder not in self._used:
            files = folder.glob("*/*") if folder.is_dir() else ()
            self._used[folder] = sum(map(_weight, files))
        return self._used[folder]

    def add(self, folder: Path, size: int) -> None:
        """A file of ``size`` bytes, or room for one, was added."""
        self._used[folder] = self.used(folder) + max(size, _LEAST)

    def take(self, folder: Path, size: int) -> None:
        """A file of ``size`` bytes, or room for one, is gone."""
        self._used[folder] = max(0, self.used(folder) - max(size, _LEAST))

    def recount(self, folder: Path) -> None:
        """Who knows what is there: it is counted anew when somebody asks."""
        self._used.pop(folder, None)


def _weight(file: Path) -> int:
    size = 0
    with suppress(OSError, ValueError, IndexError):
        kept = file.suffix == PART
        size = int(file.name.split(".")[1]) if kept else file.stat().st_size
    return max(size, _LEAST)
