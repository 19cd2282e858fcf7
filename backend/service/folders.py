"""The data folder: what lies where, private to its user, used by one server at a time."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from backend.errors import HumanRefError
from backend.files import write_error


def default_data_dir() -> Path:
    """The user's own data folder on this system; nothing is created."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "humanref"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "humanref"
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG rules tell programs to pass over a relative path.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "humanref"


def make_private(folder: Path) -> Path:
    """``folder``, made where it is missing, readable by its owner only.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise write_error(error, folder) from error
    return folder


def owner_folder_name(owner: str) -> str:
    """A file name for an owner (``local`` or a CURVE key), the same on every file system."""
    return hashlib.blake2b(owner.encode(), digest_size=16).hexdigest()


def job_uid(owner: str, job_id: str) -> str:
    """The name of a job inside the server: safe as a file name whatever the client called it."""
    return hashlib.blake2b(f"{owner}\0{job_id}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class DataFolder:
    """The places inside a data folder."""

    root: Path

    @property
    def store(self) -> Path:
        """SQLite file of the jobs."""
        return self.root / "jobs.sqlite"

    @property
    def blobs(self) -> Path:
        """Photos and results by content."""
        return self.root / "blobs"

    @property
    def logs(self) -> Path:
        """The server's log."""
        return self.root / "logs"

    def has_room(self, least: int) -> bool:
        """Whether ``least`` bytes are free on its disk."""
        try:
            return shutil.disk_usage(self.root).free >= least
        except OSError:
            return False

    def job(self, uid: str) -> Path:
        """A job's own folder: its checkpoint, and results that are being written."""
        return self.root / "jobs" / uid

    def create(self) -> None:
        """Make the folders, private to the user.

        Raises:
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
        """
        for folder in (self.root, self.blobs, self.logs, self.root / "jobs"):
            make_private(folder)


class FolderLock:
    """Holds a data folder for one server; the system lets go of it when the process dies."""

    def __init__(self, folder: DataFolder) -> None:
        self._path = folder.root / "lock"
        self._file: IO[bytes] | None = None

    def __enter__(self) -> FolderLock:
        """Raises HumanRefError ``already_running`` when another server holds the folder."""
        try:
            file = self._path.open("a+b")
        except OSError as error:
            raise write_error(error, self._path) from error
        try:
            _lock(file)
        except OSError as error:
            file.close()
            raise HumanRefError(
                "already_running",
                "Another humanref server uses this data folder already.",
                "Use that one, stop it first, or give another --data-dir.",
            ) from error
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes]) -> None:
    """Raises OSError when somebody else has the lock."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        locking: Any = msvcrt
        locking.locking(file.fileno(), locking.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
