"""Everything the server keeps on disk, as whole operations for one lane."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backend.service.blobs import BlobStore, disk_error
from backend.service.event_log import EventLog
from backend.service.folders import DataFolder
from backend.service.job_store import JobRecord, JobStore, UnreadJob
from backend.service.jobs import Job
from backend.service.pictures import check_pixels
from backend.service.requests import needed_blobs
from backend.service.worker_messages import OutputFile
from shared_protocol.limits import Limits
from shared_protocol.messages import BlobRef, JobEvent


@dataclass(frozen=True)
class Freed:
    """What a deletion set free."""

    jobs: int
    bytes: int


class Archive:
    """The job store, the blobs and the jobs' own folders; every method may block, so call it on a lane."""

    def __init__(self, folder: DataFolder, limits: Limits, most_of_owner: int = 1 << 62) -> None:
        """``most_of_owner``: bytes of one owner. Raises HumanRefError ``store_unreadable``."""
        self._folder, self._limits = folder, limits
        # A stored result may be a little larger than a message's header may be.
        self._store = JobStore(folder.store, limits)
        self._blobs = BlobStore(folder.blobs, limits, most_of_owner)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def load(self) -> list[Job]:
        """All jobs that are kept, oldest first. Raises HumanRefError ``store_unreadable``."""
        return [
            Job(record, EventLog(record.seq, self._store.events(record.uid)))
            for record in self._store.load()
        ]

    # -- jobs ---------------------------------------------------------------------------------------

    def accept(self, record: JobRecord) -> JobRecord:
        """Write down a new job, whose blobs must be here and not too large as pictures.

        Raises:
            ProtocolError: ``blob_missing``, ``photo_too_large``, ``quota``.
            HumanRefError: ``disk_full``, ``write_failed``.
        """
        blobs = list(needed_blobs(record.request))
        for blob in blobs:
            check_pixels(self._blobs.path(record.owner, blob), self._limits.image_pixels)
        self._blobs.check_quota(record.owner)
        try:
            self._folder.job(record.uid).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise disk_error(error) from error
        self._store.insert(record, {blob.sha256 for blob in blobs})
        return record

    def update(self, record: JobRecord) -> None:
        """Write down a change of state. Raises HumanRefError."""
        self._store.update(record)

    def log(self, uid: str, events: Sequence[JobEvent], dropped: Sequence[int]) -> None:
        """Write down what a job told. Raises HumanRefError."""
        self._store.log(uid, events, dropped)

    def finish(self, record: JobRecord, files: Sequence[OutputFile] = ()) -> None:
        """Take over a job's results, write down its end, and clear its folder.

        Raises:
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
        """
        for file in files:
            if file.path.exists():
                self._blobs.adopt(record.owner, file.blob, file.path)
            else:
                # Two files may have the same content: the first has taken the name.
                self._blobs.path(record.owner, file.blob)
        self._store.update(record, {file.blob.sha256 for file in files})
        self._clear(record.uid)

    def files(self, record: JobRecord) -> dict[str, Path]:
        """SHA-256 -> file of everything a job needs; touches no disk."""
        owner = record.owner
        return {
            blob.sha256: self._blobs.place(owner, blob.sha256)
            for blob in needed_blobs(record.request)
        }

    def has_checkpoint(self, uid: str) -> bool:
        """Whether a fit can be continued."""
        return (self._folder.job(uid) / "checkpoint").is_file()

    # -- blobs --------------------------------------------------------------------------------------

    def put(self, owner: str, blob: BlobRef, offset: int, data: bytes | memoryview) -> int:
        """See :meth:`BlobStore.put`."""
        return self._blobs.put(owner, blob, offset, data)

    def get(self, owner: str, blob: BlobRef, offset: int, length: int) -> bytes:
        """See :meth:`BlobStore.get`."""
        return self._blobs.get(owner, blob, offset, length)

    # -- deletion -----------------------------------------------------------------------------------

    def delete(self, jobs: Sequence[JobRecord | UnreadJob]) -> Freed:
        """Delete jobs, their folders, and the blobs that no other job of their owner needs.

        Raises:
            HumanRefError: the store cannot be written.
        """
        freed = sum(self._delete(job.uid, job.owner) for job in jobs)
        if jobs:
            self._store.scrub()
        return Freed(len(jobs), freed)

    def delete_unread(self, owner: str, uid: str = "") -> Freed:
        """Delete jobs of an owner that only a newer version can read; ``uid``: that one only.

        Raises:
            HumanRefError: the store cannot be written.
        """
        return self.delete(
            [job for job in self._store.unread if job.owner == owner and uid in ("", job.uid)]
        )

    def delete_uploads(self, owner: str) -> int:
        """Delete all blobs that no job of an owner needs; the bytes set free."""
        return self._blobs.sweep(owner, self._store.blobs(owner), time.time() + 1.0)

    def expire(self, owners: set[str], ttl_days: float) -> None:
        """Delete blobs that nobody needs and nobody touched for ``ttl_days``, and unread jobs as old.

        Raises:
            HumanRefError: the store cannot be read or written.
        """
        since = time.time() - ttl_days * 86400.0
        self.delete([job for job in self._store.unread if job.since <= since])
        owners = owners | {job.owner for job in self._store.unread}
        for owner in owners:
            self._blobs.sweep(owner, self._store.blobs(owner), since)
        self._blobs.sweep_strangers(owners, since)

    def clear_strange_folders(self, known: set[str]) -> None:
        """Delete job folders that belong to no job (a kill between two steps left them)."""
        known = known | {job.uid for job in self._store.unread}
        for folder in (self._folder.root / "jobs").iterdir():
            if folder.name not in known:
                self._clear(folder.name)

    def _delete(self, uid: str, owner: str) -> int:
        freed = sum(self._blobs.delete(owner, sha256) for sha256 in self._store.delete(uid))
        return freed + self._clear(uid)

    def _clear(self, uid: str) -> int:
        folder, size = self._folder.job(uid), 0
        for path in folder.rglob("*") if folder.is_dir() else ():
            with suppress(OSError):
                size += path.stat().st_size
        shutil.rmtree(folder, ignore_errors=True)
        return size
