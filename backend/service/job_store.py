"""Jobs on disk: SQLite with a write-ahead log, whole after a kill at any moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from backend.errors import HumanRefError
from shared_protocol.content import from_tree, to_tree
from shared_protocol.errors import Error, ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import (
    Estimate,
    JobEvent,
    JobKind,
    JobState,
    PoseProposed,
    Result,
    Submit,
)
from shared_protocol.tree import pack_tree, unpack_tree

T = TypeVar("T")

Outcome = PoseProposed | Result | Error
_OUTCOMES: dict[str, type[PoseProposed] | type[Result] | type[Error]] = {
    "pose_proposed": PoseProposed,
    "result": Result,
    "error": Error,
}
_REQUESTS: dict[str, type[Estimate] | type[Submit]] = {"estimate": Estimate, "generate": Submit}
_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
    uid TEXT PRIMARY KEY, owner TEXT NOT NULL, job_id TEXT NOT NULL, kind TEXT NOT NULL,
    request BLOB NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, ended REAL,
    attempts INTEGER NOT NULL, seq INTEGER NOT NULL, outcome_type TEXT, outcome BLOB
) WITHOUT ROWID;
CREATE TABLE events (
    uid TEXT NOT NULL, seq INTEGER NOT NULL, event BLOB NOT NULL, PRIMARY KEY (uid, seq)
) WITHOUT ROWID;
CREATE TABLE job_blobs (
    uid TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (uid, sha256)
) WITHOUT ROWID;
CREATE INDEX blobs_by_content ON job_blobs (sha256);
"""


@dataclass(frozen=True)
class JobRecord:
    """A job as it is kept; times in seconds since 1970."""

    uid: str
    owner: str
    job_id: str
    kind: JobKind
    request: Estimate | Submit
    created: float
    state: JobState = "queued"
    ended: float | None = None
    attempts: int = 0
    """How often a worker has begun it."""
    seq: int = 0
    outcome: Outcome | None = None


@dataclass(frozen=True)
class UnreadJob:
    """A job that only a newer humanref can read: as much as is needed to delete it."""

    uid: str
    owner: str
    since: float
    """When it ended or, where it has not, was made; seconds since 1970."""


class JobStore:
    """The table of jobs; for one thread at a time, whichever it is."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Open or make the store.

        Raises:
            HumanRefError: ``store_unreadable``.
        """
        # Own headroom: a log of many events is larger than one message.
        self._limits = limits
        self._unread: dict[str, UnreadJob] = {}
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            # NORMAL survives a killed process; only a power cut may lose the last moments.
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")
            elif version != _VERSION:
                raise sqlite3.DatabaseError(f"its version is {version}")
        except (sqlite3.Error, OSError) as error:
            raise _unreadable(error) from error

    def close(self) -> None:
        """Fold the write-ahead log into the file."""
        self._db.close()

    def insert(self, job: JobRecord, blobs: Iterable[str]) -> None:
        """Keep a new job and the digests of what it needs.

        Raises:
            HumanRefError: ``disk_full``, ``write_failed``; nothing is kept then.
        """
        with self._transaction():
            self._db.execute(
                "INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?,NULL,NULL)",
                (
                    *(job.uid, job.owner, job.job_id, job.kind, self._pack(job.request)),
                    *(job.state, job.created, job.ended, job.attempts, job.seq),
                ),
            )
            self._add_blobs(job.uid, blobs)

    def update(self, job: JobRecord, blobs: Iterable[str] = ()) -> None:
        """Bring state, times, attempts, seq and outcome up to date; ``blobs`` are added.

        Raises:
            HumanRefError: as :meth:`insert`.
        """
        kind = None
        if job.outcome is not None:
            kind = next(k for k, cls in _OUTCOMES.items() if isinstance(job.outcome, cls))
        with self._transaction():
            self._db.execute(
                "UPDATE jobs SET state=?, ended=?, attempts=?, seq=?, outcome_type=?, outcome=? "
                "WHERE uid=?",
                (
                    *(job.state, job.ended, job.attempts, job.seq, kind),
                    *(None if job.outcome is None else self._pack(job.outcome), job.uid),
                ),
            )
            self._add_blobs(job.uid, blobs)

    def log(self, uid: str, events: Sequence[JobEvent], dropped: Sequence[int]) -> None:
        """Add events of a job and delete those that were thinned out.

        Raises:
            HumanRefError: as :meth:`insert`.
        """
        rows = [(uid, event.seq, self._pack(event)) for event in events]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO events VALUES (?,?,?)", rows)
            self._db.executemany(
                "DELETE FROM events WHERE uid=? AND seq=?", [(uid, seq) for seq in dropped]
            )

    def load(self) -> list[JobRecord]:
        """All jobs, oldest first; those that only a newer humanref can read are left out.

        They stay, and :attr:`unread` says which they are.

        Raises:
            HumanRefError: ``store_unreadable``.
        """
        columns = (
            "uid, owner, job_id, kind, request, state, created, ended, attempts, seq, "
            "outcome_type, outcome"
        )
        rows = self._read(f"SELECT {columns} FROM jobs ORDER BY created, uid")
        jobs, self._unread = [], {}
        for row in rows:
            try:
                jobs.append(self._record(row))
            except (ProtocolError, KeyError):
                uid, owner, created, ended = row[0], row[1], row[6], row[7]
                self._unread[uid] = UnreadJob(uid, owner, ended or created)
        return jobs

    @property
    def unread(self) -> tuple[UnreadJob, ...]:
        """What :meth:`load` had to leave out, less what was deleted since."""
        return tuple(self._unread.values())

    def _record(self, row: tuple[Any, ...]) -> JobRecord:
        return JobRecord(
            uid=row[0],
            owner=row[1],
            job_id=row[2],
            kind=row[3],
            request=self._unpack(row[4], _REQUESTS[row[3]]),
            state=row[5],
            created=row[6],
            ended=row[7],
            attempts=row[8],
            seq=row[9],
            outcome=None if row[10] is None else self._unpack(row[11], _OUTCOMES[row[10]]),
        )

    def events(self, uid: str) -> list[JobEvent]:
        """A job's events, oldest first.

        Raises:
            HumanRefError: ``store_unreadable``.
        """
        rows = self._read("SELECT event FROM events WHERE uid=? ORDER BY seq", uid)
        events = []
        for row in rows:
            with suppress(ProtocolError):
                events.append(self._unpack(row[0], JobEvent))
        return events

    def blobs(self, owner: str) -> set[str]:
        """Digests that any job of ``owner`` needs.

        Raises:
            HumanRefError: ``store_unreadable``.
        """
        rows = self._read("SELECT sha256 FROM job_blobs JOIN jobs USING (uid) WHERE owner=?", owner)
        return {row[0] for row in rows}

    def delete(self, uid: str) -> set[str]:
        """Delete a job; the digests that no other job of its owner needs.

        Raises:
            HumanRefError: as :meth:`insert`.
        """
        with self._transaction():
            row = self._db.execute("SELECT owner FROM jobs WHERE uid=?", (uid,)).fetchone()
            own = {
                r[0] for r in self._db.execute("SELECT sha256 FROM job_blobs WHERE uid=?", (uid,))
            }
            for table in ("events", "job_blobs", "jobs"):
                self._db.execute(f"DELETE FROM {table} WHERE uid=?", (uid,))
            freed = own - self.blobs(row[0]) if row else set()
        self._unread.pop(uid, None)
        return freed

    def scrub(self) -> None:
        """Empty the write-ahead log, in which deleted words would otherwise stay for a while.

        Raises:
            HumanRefError: ``store_unreadable``.
        """
        self._read("PRAGMA wal_checkpoint(TRUNCATE)")

    def _read(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _store_error(error) from error

    def _add_blobs(self, uid: str, blobs: Iterable[str]) -> None:
        rows = [(uid, sha256) for sha256 in blobs]
        self._db.executemany("INSERT OR IGNORE INTO job_blobs VALUES (?,?)", rows)

    def _pack(self, content: object) -> bytes:
        data = pack_tree(to_tree(content), self._limits)
        # Read back: what could not be read after a restart is refused while somebody can be told.
        unpack_tree(data, self._limits)
        return data

    def _unpack(self, data: bytes, cls: type[T]) -> T:
        return from_tree(unpack_tree(data, self._limits), cls, "A stored job")


def _unreadable(error: Exception) -> HumanRefError:
    return HumanRefError(
        "store_unreadable",
        f"The list of jobs in the data folder cannot be read ({error}).",
        "Move jobs.sqlite out of the data folder, or give another --data-dir.",
    )


def _store_error(error: sqlite3.Error) -> HumanRefError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return HumanRefError(
            "disk_full",
            "The server's disk is full.",
            "Free some space there, or forget old jobs, and try again.",
            retryable=True,
        )
    return HumanRefError(
        "write_failed",
        f"The server could not write down its jobs ({type(error).__name__}).",
        "Check its disk and data folder.",
        retryable=True,
    )
