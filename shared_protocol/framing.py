"""Frames of one message: version, header, raw buffers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from attrs import frozen

from .checks import is_id, mismatch
from .content import from_tree
from .errors import MALFORMED, TOO_LARGE, ProtocolError
from .limits import Limits
from .tree import unpack_tree
from .version import MAJOR

Frame: TypeAlias = bytes | bytearray | memoryview

VERSION_FRAME: Final = f"HR{MAJOR}".encode()
"""First frame of every message: who cannot read the rest still learns why."""

_VERSION: Final = re.compile(rb"HR([0-9]{1,4})")


@frozen(kw_only=True)
class BufferInfo:
    """What the header says of one raw frame."""

    name: str
    dtype: str
    """NumPy name; little-endian on the wire."""
    shape: tuple[int, ...]
    length: int
    """Bytes."""
    digest: str
    """BLAKE2b-128 of the bytes, 32 hexadecimal digits."""


@frozen(kw_only=True)
class Header:
    """The envelope as it travels; ``content`` is read apart, by ``type``."""

    type: str
    msg_id: str
    parent_id: str = ""
    session: str = ""
    job_id: str = ""
    seq: int = 0
    buffers: tuple[BufferInfo, ...] = ()


@frozen(kw_only=True)
class Split:
    """One message taken apart, its content and buffers still unread."""

    header: Header
    content: object
    buffers: tuple[memoryview, ...]


def check_sizes(frames: Sequence[Frame], limits: Limits) -> None:
    """Raises ProtocolError (``malformed``, ``too_large``) for too few, too many or too long frames."""
    if len(frames) < 2:
        raise ProtocolError(MALFORMED, f"A message has {len(frames)} frames; it needs at least 2.")
    if len(frames) - 2 > limits.buffers:
        raise ProtocolError(
            TOO_LARGE,
            f"A message has {len(frames) - 2} buffers; at most {limits.buffers} are allowed.",
        )
    total = sum(memoryview(frame).nbytes for frame in frames)
    if total > limits.message_bytes:
        raise ProtocolError(
            TOO_LARGE, f"A message has {total} bytes; at most {limits.message_bytes} are allowed."
        )


def split(frames: Sequence[Frame], limits: Limits) -> Split:
    """Check version and sizes, read the header.

    Raises:
        ProtocolError: ``protocol_mismatch``, ``malformed``, ``too_large``.
    """
    if frames:
        _check_version(frames[0])
    check_sizes(frames, limits)
    tree = unpack_tree(frames[1], limits)
    header = from_tree(tree, Header, "Header")
    for name in ("msg_id", "parent_id", "session", "job_id"):
        if not is_id(getattr(header, name)):
            raise ProtocolError(
                MALFORMED,
                f"Header: {name} is no id (at most 64 letters, digits, hyphens and underscores).",
            )
    if not header.msg_id or header.seq < 0:
        raise ProtocolError(MALFORMED, "Header: msg_id is empty or seq is negative.")
    if len(header.buffers) != len(frames) - 2:
        raise ProtocolError(
            MALFORMED,
            f"A header announces {len(header.buffers)} buffers and {len(frames) - 2} came.",
        )
    return Split(
        header=header,
        content=tree.get("content"),
        buffers=tuple(memoryview(frame).cast("B") for frame in frames[2:]),
    )


def _check_version(frame: Frame) -> None:
    if frame == VERSION_FRAME:
        return
    match = _VERSION.fullmatch(bytes(frame[:8]))
    if match is None:
        raise ProtocolError(
            MALFORMED,
            "A message does not begin like one of HumanRef's.",
            "Check that the address is a HumanRef backend's.",
        )
    raise mismatch(match[1].decode())
