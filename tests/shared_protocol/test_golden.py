"""Bytes of every published protocol version stay readable, and this version writes the same ones."""

from pathlib import Path

import pytest
from wire_samples import GOLDEN, LIMITS, envelopes, golden, join, take_apart

from shared_protocol.codec import Envelope, decode, encode
from shared_protocol.messages import CONTENT_TYPES
from shared_protocol.packing import (
    pack_character,
    pack_template,
    unpack_character,
    unpack_template,
)
from shared_protocol.version import MAJOR, PROTOCOL

_FILES = sorted(GOLDEN.glob(f"{MAJOR}.*/*.bin"))
_MESSAGES = [path for path in _FILES if path.stem in CONTENT_TYPES]


def test_this_version_has_golden_bytes_of_everything() -> None:
    names = {path.name for path in _FILES if path.parent.name == PROTOCOL}
    assert names == set(golden())
    assert set(envelopes()) == set(CONTENT_TYPES)


@pytest.mark.parametrize("path", _MESSAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_messages_are_read(path: Path) -> None:
    envelope = decode(take_apart(path.read_bytes()), LIMITS)
    assert envelope.type == path.stem
    wanted = envelopes()[path.stem]
    assert (envelope.msg_id, envelope.parent_id, envelope.session) == ("m1", "m0", "s1")
    assert (envelope.job_id, envelope.seq) == ("job-1", 7)
    assert set(envelope.buffers) == set(wanted.buffers)
    for name, array in wanted.buffers.items():
        assert envelope.buffers[name].dtype == array.dtype
        assert envelope.buffers[name].tolist() == array.tolist()
    if path.parent.name == PROTOCOL:
        assert envelope.content == wanted.content


def test_this_version_writes_its_golden_bytes() -> None:
    made = golden()
    for path in _FILES:
        if path.parent.name == PROTOCOL:
            assert path.read_bytes() == made[path.name], path.name


def test_reading_and_writing_gives_the_same_bytes() -> None:
    for path in _MESSAGES:
        if path.parent.name == PROTOCOL:
            data = path.read_bytes()
            read = decode(take_apart(data), LIMITS)
            again = Envelope(
                content=read.content,
                msg_id=read.msg_id,
                parent_id=read.parent_id,
                session=read.session,
                job_id=read.job_id,
                seq=read.seq,
                buffers=read.buffers,
            )
            assert join(encode(again, LIMITS)) == data, path.name
    folder = GOLDEN / PROTOCOL
    body = (folder / "body_template.bin").read_bytes()
    person = (folder / "character.bin").read_bytes()
    assert pack_template(unpack_template(body)) == body
    assert pack_character(unpack_character(person)) == person
