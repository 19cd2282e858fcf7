"""Every message, with contents drawn at random from its annotations, there and back."""

import types
import typing
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_samples import LIMITS, envelopes

from shared_protocol import messages as m
from shared_protocol.codec import Envelope, decode, encode
from shared_protocol.limits import Limits
from shared_protocol.messages import CONTENT_TYPES

_COUNTS = st.integers(0, 2**63 - 1)
_NUMBERS = st.floats(-1e6, 1e6)
_BLOBS = st.builds(
    m.BlobRef, sha256=st.text("0123456789abcdef", min_size=64, max_size=64), size=_COUNTS
)
_CAMERAS = st.builds(
    m.Camera, pixels_per_metre=st.floats(1e-3, 1e6), center_u=_NUMBERS, center_v=_NUMBERS
)
_NAMES = st.text("abc\u00f6.\u4eba-", min_size=1, max_size=20).filter(
    lambda name: not name.endswith(".")
)
_SMALL_BLOBS = st.builds(
    m.BlobRef,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    size=st.integers(100, LIMITS.blob_bytes),
)


def _numbers(count: int) -> st.SearchStrategy[tuple[float, ...]]:
    # Drawing 165 floats one by one is slow; a few of them, repeated, say as much.
    return st.lists(_NUMBERS, min_size=1, max_size=5).map(lambda few: tuple((few * count)[:count]))


_POSES = st.builds(
    m.Pose,
    model=st.text(max_size=10),
    betas=st.integers(0, 30).flatmap(_numbers),
    full_pose=_numbers(165),
    transl=_numbers(3),
    scale=st.floats(1e-3, 1e6),
)
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
    "protocol": st.integers(0, 99).map(lambda minor: f"1.{minor}"),
    "session": st.text("abcXYZ019_-", min_size=1, max_size=64),
    "job_id": st.text("abcXYZ019_-", min_size=1, max_size=64),
    "offset": st.integers(0, 50),
    "length": st.integers(0, LIMITS.chunk_bytes),
    "width": st.integers(1, 2048),
    "height": st.integers(1, 2048),
    "files": st.dictionaries(_NAMES, _BLOBS, max_size=3),
    "eta": st.none() | st.floats(0, 1e9),
    "seconds": st.floats(0, 1e9),
}


def _of_type(hint: Any) -> st.SearchStrategy[Any]:
    known = {
        m.BlobRef: _BLOBS,
        m.Camera: _CAMERAS,
        m.Pose: _POSES,
        int: _COUNTS,
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        str: st.text(st.characters(codec="utf-8"), max_size=30),
        Limits: st.just(Limits()) | st.just(Limits(vertices=5)),
    }
    if hint in known:
        return known[hint]
    if attrs.has(hint):
        return _of_class(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.none() | _of_type(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        assert arguments[-1] is Ellipsis, hint
        return st.lists(_of_type(arguments[0]), max_size=3).map(tuple)
    assert origin is dict, hint
    return st.dictionaries(st.text(max_size=8), _of_type(arguments[1]), max_size=3)


def _of_class(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    parts = {
        name: _BY_NAME[name] if name in _BY_NAME else _of_type(hint) for name, hint in hints.items()
    }
    if cls in (m.PutChunk, m.Chunk, m.ChunkStored, m.FetchChunk):
        parts["blob"] = _SMALL_BLOBS
    if cls is m.JobEvent:
        parts["notice"] = st.none()
    return st.builds(cls, **parts)


@pytest.mark.parametrize("name", sorted(CONTENT_TYPES))
def test_every_message_arrives_as_it_left(name: str) -> None:
    buffers = envelopes()[name].buffers

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(_of_class(CONTENT_TYPES[name]), st.integers(0, 2**63 - 1))
    def there_and_back(content: m.Content, seq: int) -> None:
        arrays = dict(buffers)
        if isinstance(content, m.Preview):
            content = attrs.evolve(content, vertex_count=4, face_count=2)
        if isinstance(content, m.Chunk | m.PutChunk):
            arrays["data"] = np.arange(50, dtype=np.uint8)
        sent = Envelope(content=content, session="s", job_id="j", seq=seq, buffers=arrays)
        got = decode([bytes(frame) for frame in encode(sent, LIMITS)], LIMITS)
        assert got.content == content
        assert (got.msg_id, got.session, got.job_id, got.seq) == (sent.msg_id, "s", "j", seq)
        assert got.type == name
        assert {k: v.tolist() for k, v in got.buffers.items()} == {
            k: v.tolist() for k, v in arrays.items()
        }

    there_and_back()
