"""Blobs on the client's disk, each under the SHA-256 of its content; what is half there goes on later."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import BLOB_DIGEST, DISK_FULL, ProtocolError
from ..messages import BlobRef

_PART = ".part"
_READ = 1 << 20
_DAY = 86_400.0


class BlobCache:
    """Whole blobs ``<sha256>`` and beginnings ``<sha256>.part``, in one folder.

    Several programs may use the folder: a file appears whole or not, and a beginning is written by the
    program that has locked it. Blobs unused for ``max_age`` days go, and the longest unused ones while
    the folder holds more than ``max_bytes``.
    """

    def __init__(self, folder: Path, max_bytes: int, max_age: float = 30.0) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age = max_age * _DAY

    def find(self, ref: BlobRef) -> Path | None:
        """The whole blob, checked again; None when it is not here."""
        path = self._folder / ref.sha256
        try:
            if path.stat().st_size != ref.size or _digest(path) != ref.sha256:
                path.unlink()
                return None
            os.utime(path)
        except OSError:
            return None
        return path

    def begin(self, ref: BlobRef) -> PartialBlob:
        """A place to write a blob to, at the end of what is there already.

        Raises:
            ProtocolError: ``disk_full``, ``cache_unwritable``.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return PartialBlob(self._folder, ref)
        except OSError as error:
            raise _in_words(error, self._folder) from error

    def prune(self) -> None:
        """Remove what is old, and the longest unused above the size; never what was used in this minute."""
        now = time.time()
        files = []
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(OSError):
                    status = path.stat()
                    files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for used, size, path in sorted(files, key=lambda file: file[0]):
            if now - used < 60.0 or (total <= self._max_bytes and now - used <= self._max_age):
                continue
            with suppress(OSError):
                path.unlink()
                total -= size

    def clear(self) -> None:
        """Remove everything but beginnings that are being written."""
        with suppress(OSError):
            for path in list(self._folder.iterdir()):
                with suppress(OSError):
                    if path.suffix != _PART or _is_free(path):
                        path.unlink()


class PartialBlob:
    """The beginning of a blob on disk, locked for this program."""

    def __init__(self, folder: Path, ref: BlobRef) -> None:
        self._ref = ref
        self._final = folder / ref.sha256
        self._path = folder / (ref.sha256 + _PART)
        self._file = self._open()
        self._digest = hashlib.sha256()
        self.offset = 0
        """Bytes that are there."""
        self._file.seek(0)
        while piece := self._file.read(_READ):
            self._digest.update(piece)
            self.offset += len(piece)
        if self.offset > ref.size:
            self.restart()

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises ProtocolError ``disk_full`` or ``cache_unwritable``."""
        rest = memoryview(data)
        try:
            # Unbuffered, so that what counts as here is here; a nearly full disk takes less than all.
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _in_words(error, self._final.parent) from error
        self._digest.update(data)
        self.offset += len(data)

    def restart(self) -> None:
        """Throw away what is there."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.offset = 0

    def finish(self) -> Path:
        """Check the whole and give it its name.

        Raises:
            ProtocolError: ``blob_digest`` (what was there is gone then), ``disk_full``,
                ``cache_unwritable``.
        """
        if self._digest.hexdigest() != self._ref.sha256:
            self.restart()
            raise ProtocolError(
                BLOB_DIGEST, "A file from the backend arrived damaged.", "Fetch it again."
            )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            # Windows renames no open file; the lock goes with the handle, and the content is checked.
            self._file.close()
            os.replace(self._path, self._final)
        except OSError as error:
            raise _in_words(error, self._final.parent) from error
        return self._final

    def close(self) -> None:
        """Let go; what is there stays for the next time."""
        with suppress(OSError):
            self._file.close()

    def _open(self) -> BinaryIO:
        file = self._path.open("a+b", buffering=0)
        if not _lock(file):
            # Another program fetches the same: we do so for ourselves.
            file.close()
            self._path = self._path.with_name(f"{self._ref.sha256}.{secrets.token_hex(4)}{_PART}")
            file = self._path.open("a+b", buffering=0)
            _lock(file)
        return file


def _lock(file: BinaryIO) -> bool:
    """Take the file for this program until it is closed; False where another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # A byte far behind the end: the content stays readable for everybody.
            file.seek(1 << 40)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_free(path: Path) -> bool:
    with path.open("r+b") as file:
        return _lock(file)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_words(error: OSError, folder: Path) -> ProtocolError:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return ProtocolError(
            DISK_FULL,
            f"The disk is full: a result could not be kept in {folder}.",
            "Free some space, then fetch the result again.",
            retryable=True,
        )
    reason = error.strerror or type(error).__name__
    return ProtocolError(
        "cache_unwritable",
        f"A result could not be kept in {folder} ({reason}).",
        "Choose another folder for results.",
        retryable=True,
    )
