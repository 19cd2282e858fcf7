"""Messages to frames and back: the only door to the wire. Everything is checked on both sides of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from attrs import Factory, asdict, evolve, field, frozen

from .arrays import MESSAGE_ARRAYS, Arrays, check_message, describe, restore
from .content import from_tree, to_tree
from .errors import MALFORMED, UNKNOWN_TYPE, Error, ProtocolError
from .framing import VERSION_FRAME, Frame, Split, split
from .limits import Limits
from .messages import CONTENT_TYPES, Content
from .tree import pack_tree

TYPE_NAMES: Final[dict[type, str]] = {cls: name for name, cls in CONTENT_TYPES.items()}

_ERROR_TEXT: Final = 1000


def new_id() -> str:
    """A fresh message, session or job id: 32 hexadecimal digits."""
    return secrets.token_hex(16)


@frozen(kw_only=True, eq=False)
class Envelope:
    """A message and what the wire says about it."""

    content: Content
    msg_id: str = field(factory=new_id)
    parent_id: str = ""
    """Of the message that this one answers."""
    session: str = ""
    job_id: str = ""
    seq: int = 0
    """Of a job's pushed events, growing from 1; 0 for everything else."""
    buffers: Arrays = Factory(dict)
    """Arrays as docs/protocol.md lists them; those of a decoded message are read-only views of its frames."""

    @property
    def type(self) -> str:
        """The header's ``type``."""
        return TYPE_NAMES[type(self.content)]


class MessageError(ProtocolError):
    """A message that cannot be used; the ids are those of its header, empty where it is unreadable."""

    def __init__(self, error: ProtocolError, msg_id: str, session: str, job_id: str) -> None:
        super().__init__(error.code, error.message, error.hint, retryable=error.retryable)
        self.msg_id = msg_id
        self.session = session
        self.job_id = job_id


def encode(envelope: Envelope, limits: Limits) -> list[bytes | memoryview]:
    """Frames for ``send_multipart``; buffers are views of the arrays, not copies.

    Arrays must not change until the frames are sent (``copy=False``) or copied.

    Raises:
        ProtocolError: whatever :func:`decode` would raise at the other end.
    """
    cls = type(envelope.content)
    if cls not in TYPE_NAMES:
        raise ProtocolError(MALFORMED, f"{cls.__name__} is no message.")
    infos, buffers = describe(envelope.buffers)
    tree: dict[str, Any] = {
        "type": envelope.type,
        "msg_id": envelope.msg_id,
        "parent_id": envelope.parent_id,
        "session": envelope.session,
        "job_id": envelope.job_id,
        "seq": envelope.seq,
        "content": to_tree(envelope.content),
        "buffers": [asdict(info) for info in infos],
    }
    frames: list[bytes | memoryview] = [VERSION_FRAME, pack_tree(tree, limits), *buffers]
    # Read back what was written: a mistake shows where it was made, not at the peer.
    read = split([*frames[:1], frames[1], *buffers], limits)
    content = _content(read)
    check_message(content, envelope.buffers, limits, envelope.type)
    strange = set(envelope.buffers) - {spec.name for spec in MESSAGE_ARRAYS.get(cls, ())}
    if strange:
        raise ProtocolError(MALFORMED, f"{envelope.type}: no array {sorted(strange)[0]} exists.")
    return frames


def decode(frames: Sequence[Frame], limits: Limits) -> Envelope:
    """The message in ``frames``, checked.

    Raises:
        MessageError: a ProtocolError with the sender's ids: ``protocol_mismatch``, ``unknown_type``,
            ``malformed``, ``too_large``, ``blob_digest``; never anything else, whatever the bytes.
    """
    try:
        parts = split(frames, limits)
    except ProtocolError as error:
        raise MessageError(error, "", "", "") from error
    header = parts.header
    try:
        content = _content(parts)
        specs = MESSAGE_ARRAYS.get(type(content), ())
        arrays = restore(header.buffers, parts.buffers, specs, header.type)
        check_message(content, arrays, limits, header.type)
    except ProtocolError as error:
        raise MessageError(error, header.msg_id, header.session, header.job_id) from error
    return Envelope(
        content=content,
        msg_id=header.msg_id,
        parent_id=header.parent_id,
        session=header.session,
        job_id=header.job_id,
        seq=header.seq,
        buffers=arrays,
    )


def _content(parts: Split) -> Content:
    name = parts.header.type
    cls = CONTENT_TYPES.get(name)
    if cls is None:
        raise ProtocolError(
            UNKNOWN_TYPE,
            f"Messages of type {name[:40]!r} are not known here.",
            "The other side is newer; what it asked for needs an update on this side.",
        )
    content: Content = from_tree(parts.content, cls, name)
    return content


def reply(
    to: Envelope | MessageError, content: Content, buffers: Arrays | None = None, *, seq: int = 0
) -> Envelope:
    """An answer to ``to``: same session and job, ``parent_id`` its message."""
    return Envelope(
        content=content,
        parent_id=to.msg_id,
        session=to.session,
        job_id=to.job_id,
        seq=seq,
        buffers=buffers or {},
    )


def error_reply(to: Envelope | MessageError, error: ProtocolError | Error) -> Envelope:
    """The ``error`` message that refuses ``to``; a long text is cut so that it always fits."""
    content = error.as_error() if isinstance(error, ProtocolError) else error
    cut = evolve(content, message=_cut(content.message), hint=_cut(content.hint))
    return reply(to, cut)


def _cut(text: str) -> str:
    # Lone surrogates (file names) have no UTF-8.
    clean = text.encode(errors="replace").decode()
    return clean if len(clean) <= _ERROR_TEXT else clean[: _ERROR_TEXT - 1] + "…"
