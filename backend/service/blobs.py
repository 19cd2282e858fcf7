"""Photos and results by content: put and fetched in pieces, checked whole, each owner apart.

Nobody's words become a path: owners are hashed and digests are checked to be 64 hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from backend.errors import HumanRefError
from backend.files import is_disk_full, write_error
from backend.service.folders import owner_folder_name
from backend.service.quota import PART, Quota
from shared_protocol.errors import BLOB_DIGEST, BLOB_MISSING, MALFORMED, TOO_LARGE, ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import BlobRef

_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Blobs of all owners under one folder. Not for two threads at once, except :meth:`place`."""

    def __init__(self, root: Path, limits: Limits, most_of_owner: int = 1 << 62) -> None:
        """``most_of_owner``: bytes that uploads and results of one owner may take up."""
        self._root, self._limits = root, limits
        self._quota = Quota(most_of_owner)

    def place(self, owner: str, sha256: str) -> Path:
        """Where a blob is or would be. Raises ProtocolError ``malformed``."""
        if _SHA256.fullmatch(sha256) is None:
            raise ProtocolError(MALFORMED, "A SHA-256 is not 64 lower-case hexadecimal digits.")
        return self._folder(owner) / sha256[:2] / sha256

    def _folder(self, owner: str) -> Path:
        return self._root / owner_folder_name(owner)

    def check_quota(self, owner: str) -> None:
        """Raises ProtocolError ``quota`` when an owner has no room for anything more."""
        self._quota.check(self._folder(owner), 0)

    def path(self, owner: str, blob: BlobRef) -> Path:
        """The file of a whole blob.

        Raises:
            ProtocolError: ``malformed``; ``blob_missing`` when it has not been put.
        """
        path = self.place(owner, blob.sha256)
        try:
            size = path.stat().st_size
        except OSError:
            size = -1
        if size != blob.size:
            raise ProtocolError(
                BLOB_MISSING,
                "The server does not have these bytes (any more).",
                "Send the file again.",
                retryable=True,
            )
        return path

    def put(self, owner: str, blob: BlobRef, offset: int, data: bytes | memoryview) -> int:
        """Append a piece and return where to go on; a piece at another offset is not written.

        Empty ``data`` only asks. The blob appears under its name when it is whole and its digest is
        right; a wrong one is thrown away.

        Raises:
            ProtocolError: ``malformed``, ``too_large``, ``quota``, ``blob_digest``.
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``; the piece is not kept.
        """
        whole = self.place(owner, blob.sha256)
        if not 0 < blob.size <= self._limits.blob_bytes:
            raise ProtocolError(
                TOO_LARGE,
                f"A file of {blob.size} bytes was announced; "
                f"from 1 to {self._limits.blob_bytes} are allowed.",
            )
        if whole.is_file():
            return blob.size
        part = whole.with_name(f"{whole.name}.{blob.size}{PART}")
        present = part.stat().st_size if part.is_file() else 0
        if not len(data) or offset != present:
            return present
        if present + len(data) > blob.size:
            raise ProtocolError(MALFORMED, "A piece goes beyond the end of its file.")
        folder = self._folder(owner)
        if not part.is_file():
            # The whole file's room at once: many that are begun together must not grow beyond it.
            self._quota.check(folder, blob.size)
            self._quota.add(folder, blob.size)
        try:
            self._append(part, data, present)
        except HumanRefError:
            self._quota.recount(folder)
            raise
        if present + len(data) == blob.size and not self._finish(part, whole, blob):
            self._quota.take(folder, blob.size)
            raise ProtocolError(
                BLOB_DIGEST,
                "The bytes that arrived are not those that were announced.",
                "Send the file again.",
                retryable=True,
            )
        return present + len(data)

    def get(self, owner: str, blob: BlobRef, offset: int, length: int) -> bytes:
        """A piece of a whole blob, at most ``chunk_bytes``; empty at its end.

        Raises:
            ProtocolError: ``malformed``, ``blob_missing``.
        """
        path = self.path(owner, blob)
        wanted = max(0, min(length, self._limits.chunk_bytes, blob.size - offset))
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(wanted)
        except OSError as error:
            raise ProtocolError(
                BLOB_MISSING, "These bytes can no longer be read on the server."
            ) from error

    def adopt(self, owner: str, blob: BlobRef, file: Path) -> None:
        """Take over a whole ``file`` whose digest its writer has computed.

        A result counts for the quota and is never refused for it.

        Raises:
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
        """
        place, folder = self.place(owner, blob.sha256), self._folder(owner)
        if not place.is_file():
            self._quota.add(folder, blob.size)
        try:
            _make_folder(place.parent)
            os.replace(file, place)
            # Results count from now for the retention, also where they are as old as the model.
            os.utime(place)
        except OSError as error:
            self._quota.recount(folder)
            raise disk_error(error) from error

    def delete(self, owner: str, sha256: str) -> int:
        """Delete a blob; the bytes that this set free."""
        self._quota.recount(self._folder(owner))
        return _remove(self.place(owner, sha256))

    def sweep(self, owner: str, kept: Set[str], older_than: float) -> int:
        """Delete what no job of an owner needs and nobody touched since ``older_than`` (epoch seconds).

        Unfinished uploads count too. Returns the bytes set free.
        """
        folder = self._folder(owner)
        self._quota.recount(folder)
        freed = 0
        for path in folder.glob("*/*") if folder.is_dir() else ():
            with suppress(OSError):
                if path.name not in kept and path.stat().st_mtime <= older_than:
                    freed += _remove(path)
        return freed

    def sweep_strangers(self, owners: Set[str], older_than: float) -> None:
        """Delete old uploads of owners who have no job at all."""
        known = {owner_folder_name(owner) for owner in owners}
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if folder.name in known:
                continue
            self._quota.recount(folder)
            for path in folder.glob("*/*"):
                with suppress(OSError):
                    if path.stat().st_mtime <= older_than:
                        _remove(path)

    def _append(self, part: Path, data: bytes | memoryview, present: int) -> None:
        try:
            _make_folder(part.parent)
            with part.open("ab") as file:
                file.write(data)
        except OSError as error:
            with suppress(OSError):
                os.truncate(part, present)
            raise disk_error(error) from error

    def _finish(self, part: Path, whole: Path, blob: BlobRef) -> bool:
        """Whether the bytes were right; wrong ones are gone."""
        try:
            with part.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest == blob.sha256:
                os.replace(part, whole)
                return True
        except OSError as error:
            raise disk_error(error) from error
        _remove(part)
        return False


def _remove(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def disk_error(error: OSError) -> HumanRefError:
    """A failed write in words that name no folder of the server."""
    if is_disk_full(error):
        return HumanRefError(
            "disk_full",
            "The server's disk is full.",
            "Free some space there, or forget old jobs, and try again.",
            retryable=True,
        )
    known = write_error(error, Path())
    return HumanRefError(
        known.code, "The server cannot write to its data folder.", "Check its rights and disk."
    )
