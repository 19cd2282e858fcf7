"""What a message content must satisfy beyond its types, one function a class, one table.

A check raises ValueError with the rest of a sentence that begins with the field's name. Here is what
would break a reader; whether a request makes sense (a height, a joint's name) is the server's to say, with
its own codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import fields

from .errors import PROTOCOL_MISMATCH, ProtocolError
from .limits import Limits
from .messages import (
    Accepted,
    BlobRef,
    BodyInfo,
    Camera,
    Chunk,
    ChunkStored,
    FetchChunk,
    Fit,
    Forgotten,
    Hello,
    JobEvent,
    JobStatus,
    JobSummary,
    PhotoInfo,
    Pong,
    Pose,
    Preview,
    Progress,
    PutChunk,
    Result,
    Status,
    Welcome,
)
from .skeleton import N_JOINTS
from .version import MAJOR, PROTOCOL

_ID: Final = re.compile(r"[0-9A-Za-z_-]{0,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_FAR: Final = 1e6
"""Metres, radians, betas or pixels; a million squared is still exact enough in float32."""
_BETAS: Final = 400
_FILE_NAME_BYTES: Final = 200


def is_id(text: str) -> bool:
    """Whether ``text`` can name a message, session or job: safe in a file name, or empty."""
    return _ID.fullmatch(text) is not None


def check_version(protocol: str) -> tuple[int, int]:
    """Major and minor of a peer's ``major.minor``.

    Raises:
        ProtocolError: ``protocol_mismatch`` for another major or no version at all.
    """
    match = _VERSION.fullmatch(protocol)
    if match is None or int(match[1]) != MAJOR:
        raise mismatch(protocol)
    return int(match[1]), int(match[2])


def mismatch(theirs: str) -> ProtocolError:
    """The refusal of a peer that speaks protocol ``theirs``."""
    return ProtocolError(
        PROTOCOL_MISMATCH,
        f"The other side speaks protocol {theirs[:20]!r}, this side {PROTOCOL}.",
        "Update the older of the two: add-on and backend need the same first number.",
    )


def is_file_name(name: str) -> bool:
    """Whether ``name`` is one plain file name, on every system."""
    return (
        name not in ("", ".", "..")
        and not any(sign in '/\\:*?"<>|' or ord(sign) < 32 or ord(sign) == 127 for sign in name)
        and not name.endswith((".", " "))
        and len(name.encode()) <= _FILE_NAME_BYTES
    )


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _not_negative(record: Any, *names: str) -> None:
    for name in names:
        _require(getattr(record, name) >= 0, f"has a negative {name}")


def _near(numbers: Iterable[float], name: str) -> None:
    _require(all(-_FAR <= x <= _FAR for x in numbers), f"has {name} beyond a million")


def _session(record: Hello | Welcome) -> None:
    _require(is_id(record.session), "has a session that is no id")
    check_version(record.protocol)


def _welcome(record: Welcome) -> None:
    _session(record)
    _require(record.session != "", "has an empty session")
    _not_negative(record, "memory_mb")


def _limits(record: Limits) -> None:
    for field in fields(Limits):
        _require(getattr(record, field.name) > 0, f"allows no {field.name}")


def _blob(record: BlobRef) -> None:
    _require(
        _SHA256.fullmatch(record.sha256) is not None,
        "has a sha256 that is not 64 lower-case hexadecimal digits",
    )
    _not_negative(record, "size")


def _pose(record: Pose) -> None:
    count = len(record.full_pose)
    _require(count == 3 * N_JOINTS, f"has {count} numbers in full_pose, not {3 * N_JOINTS}")
    _require(len(record.betas) <= _BETAS, f"has more than {_BETAS} betas")
    _near((*record.betas, *record.full_pose, *record.transl), "numbers")
    _require(0 < record.scale <= _FAR, "has a scale that is not positive")


def _camera(record: Camera) -> None:
    _require(0 < record.pixels_per_metre <= _FAR, "has pixels_per_metre that are not positive")
    _near((record.center_u, record.center_v), "a centre")


def _photo(record: PhotoInfo) -> None:
    _require(record.width > 0 and record.height > 0, "has no pixels")
    _require(_SHA256.fullmatch(record.sha256) is not None, "has a bad sha256")


def _fit(record: Fit) -> None:
    _not_negative(record, "seconds")


def _offset(record: PutChunk | ChunkStored | Chunk) -> None:
    _require(0 <= record.offset <= record.blob.size, "has an offset outside the blob")


def _fetch(record: FetchChunk) -> None:
    _require(0 <= record.offset <= record.blob.size, "has an offset outside the blob")
    _not_negative(record, "length")


def _result(record: Result) -> None:
    strange = [name for name in record.files if not is_file_name(name)]
    _require(not strange, "has files whose names are no plain file names")
    _not_negative(record, "faces", "seconds")


def _event(record: JobEvent) -> None:
    # A newer minor may log what this one does not know: both missing is allowed.
    _require(record.progress is None or record.notice is None, "has two contents")
    _not_negative(record, "seq")


def _progress(record: Progress) -> None:
    _not_negative(record, "step", "total")
    if record.eta is not None:
        _not_negative(record, "eta")


def _summary(record: JobSummary) -> None:
    _require(record.job_id != "" and is_id(record.job_id), "has a job_id that is no id")
    _not_negative(record, "step", "total")


CHECKS: Final[dict[type, Callable[[Any], None]]] = {
    Accepted: lambda record: _not_negative(record, "position"),
    BlobRef: _blob,
    BodyInfo: lambda record: _not_negative(record, "n_betas"),
    Camera: _camera,
    Chunk: _offset,
    ChunkStored: _offset,
    FetchChunk: _fetch,
    Fit: _fit,
    Forgotten: lambda record: _not_negative(record, "jobs", "bytes"),
    Hello: _session,
    JobEvent: _event,
    JobStatus: lambda record: _not_negative(record, "seq", "position"),
    JobSummary: _summary,
    Limits: _limits,
    PhotoInfo: _photo,
    Pong: lambda record: _not_negative(record, "running_jobs", "queued_jobs"),
    Pose: _pose,
    Preview: lambda record: _not_negative(record, "step", "vertex_count", "face_count"),
    Progress: _progress,
    PutChunk: _offset,
    Result: _result,
    Status: lambda record: _not_negative(record, "since_seq"),
    Welcome: _welcome,
}
