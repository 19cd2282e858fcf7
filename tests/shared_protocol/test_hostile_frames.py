"""Whatever arrives: either a message or a ProtocolError, soon, and nothing stays in memory."""

import copy
import gc
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_samples import GOLDEN, LIMITS, envelopes, take_apart

from shared_protocol.arrays import digest
from shared_protocol.codec import MessageError, decode, encode
from shared_protocol.errors import ProtocolError
from shared_protocol.framing import VERSION_FRAME
from shared_protocol.limits import Limits
from shared_protocol.packing import unpack_character, unpack_template
from shared_protocol.version import PROTOCOL

_SAMPLES = [
    take_apart((GOLDEN / PROTOCOL / f"{name}.bin").read_bytes()) for name in sorted(envelopes())
]
_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    -(2**63),
    2**63,
    2**64 - 1,
    0.5,
    float("nan"),
    float("inf"),
    1e308,
    "",
    "x",
    "../../x",
    "\x00",
    "y" * 20_000,
    b"bytes",
    [],
    [[]],
    [1, 2, 3],
    ["a"],
    {},
    {"a": 1},
    {"": None},
    msgpack.ExtType(1, b"x"),
    msgpack.Timestamp(1, 2),
    [0, 2**40],
    [2**32, 2**32],
    [-4, -3],
    [4, 3, 1],
]

Frames = list[bytes]


def _flip(random: random.Random, frames: Frames) -> Frames:
    k = random.randrange(len(frames))
    data = bytearray(frames[k])
    for _ in range(random.choice([1, 1, 2, 8])):
        if data:
            data[random.randrange(len(data))] = random.randrange(256)
    return [*frames[:k], bytes(data), *frames[k + 1 :]]


def _cut(random: random.Random, frames: Frames) -> Frames:
    k = random.randrange(len(frames))
    return [*frames[:k], frames[k][: random.randrange(len(frames[k]) + 1)], *frames[k + 1 :]]


def _insert(random: random.Random, frames: Frames) -> Frames:
    k = random.randrange(len(frames))
    at = random.randrange(len(frames[k]) + 1)
    extra = random.randbytes(random.randrange(1, 40))
    return [*frames[:k], frames[k][:at] + extra + frames[k][at:], *frames[k + 1 :]]


def _shuffle(random: random.Random, frames: Frames) -> Frames:
    return random.choices(frames, k=random.randrange(12))


def _noise(random: random.Random, frames: Frames) -> Frames:
    return [VERSION_FRAME, random.randbytes(random.randrange(200)), *frames[2:]]


def _swap_content(random: random.Random, frames: Frames) -> Frames:
    tree = msgpack.unpackb(frames[1])
    tree["content"] = msgpack.unpackb(random.choice(_SAMPLES)[1])["content"]
    return [frames[0], msgpack.packb(tree), *frames[2:]]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _change_header(random: random.Random, frames: Frames) -> Frames:
    tree = msgpack.unpackb(frames[1])
    for _ in range(random.choice([1, 1, 1, 3])):
        if not tree:
            break
        holder, key = random.choice(list(_places(tree)))
        action = random.randrange(4)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = copy.deepcopy(random.choice(_VALUES))
    return [frames[0], msgpack.packb(tree), *frames[2:]]


def _change_buffer(random: random.Random, frames: Frames) -> Frames:
    """Other bytes with the right digest: what a hostile peer would send."""
    if len(frames) == 2:
        return _change_header(random, frames)
    tree = msgpack.unpackb(frames[1])
    k = random.randrange(len(tree["buffers"]))
    info = tree["buffers"][k]
    size = random.choice([info["length"], info["length"], 0, random.randrange(100)])
    data = random.randbytes(size)
    info["digest"] = digest(data)
    if random.random() < 0.8:
        info["length"] = size
    if random.random() < 0.5:
        info["shape"] = [random.choice([0, 1, 3, 4, 12, size, -1, 2**62, 2**64 - 1])] * (
            random.randrange(4)
        )
    return [frames[0], msgpack.packb(tree), *frames[2 : 2 + k], data, *frames[3 + k :]]


_MUTATIONS: list[Callable[[random.Random, Frames], Frames]] = [
    _flip,
    _cut,
    _insert,
    _shuffle,
    _noise,
    _swap_content,
    _change_header,
    _change_header,
    _change_header,
    _change_buffer,
]


def _hostile(seed: int, count: int) -> Iterator[Frames]:
    source = random.Random(seed)
    for _ in range(count):
        frames = source.choice(_SAMPLES)
        for _ in range(source.choice([1, 1, 2])):
            # A second change may find nothing to change any more: it is then left out.
            try:
                frames = source.choice(_MUTATIONS)(source, frames)
            except (ValueError, TypeError, IndexError, KeyError, msgpack.UnpackException):
                break
        yield frames


def _read(frames: Frames) -> str:
    """What became of it: ``read`` or the error's code."""
    try:
        envelope = decode(frames, LIMITS)
    except MessageError as refused:
        error = refused.as_error()
    else:
        error = None
    if error is not None:
        assert 0 < len(error.message) < 2000
        return error.code
    # What was read can be written: it holds nothing that the checks would not let through.
    encode(envelope, LIMITS)
    return "read"


def test_twenty_thousand_hostile_messages_are_read_or_refused() -> None:
    counts: dict[str, int] = {}
    slowest = 0.0
    for frames in _hostile(seed=1, count=20_000):
        begin = time.thread_time()
        outcome = _read(frames)
        slowest = max(slowest, time.thread_time() - begin)
        counts[outcome] = counts.get(outcome, 0) + 1
    # The mutations reach every kind of refusal, and some leave a message alone.
    assert set(counts) == {
        "read",
        "malformed",
        "too_large",
        "unknown_type",
        "protocol_mismatch",
        "blob_digest",
    }
    assert counts["malformed"] > 5000
    assert counts["read"] > 200
    assert slowest < 0.5


def test_hostile_messages_leave_no_memory_behind() -> None:
    for frames in _hostile(seed=2, count=300):
        _read(frames)
    batch = list(_hostile(seed=3, count=500))
    tracemalloc.start()
    try:
        for frames in batch:
            _read(frames)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(4):
            for frames in batch:
                _read(frames)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A leak of one small object in twenty messages would show.
    assert after - before < 16_000
    assert peak - before < 4_000_000


# 10 500 cases of hypothesis's own choosing; it makes its own smaller ones where one fails.
_THOROUGH = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(_THOROUGH, max_examples=2500)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_frames_are_refused(frames: Frames) -> None:
    with pytest.raises(ProtocolError):
        decode(frames, LIMITS)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(_THOROUGH, max_examples=3000)
@given(st.sampled_from(sorted(envelopes())), _JSON)
def test_any_content_is_read_or_refused(name: str, content: object) -> None:
    tree = {"type": name, "msg_id": "a", "content": content}
    _read([VERSION_FRAME, msgpack.packb(tree)])


@settings(_THOROUGH, max_examples=5000)
@given(
    st.sampled_from(_SAMPLES),
    st.lists(st.sampled_from(_MUTATIONS), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_any_changed_message_is_read_or_refused(
    frames: Frames,
    changes: list[Callable[[random.Random, Frames], Frames]],
    source: random.Random,
) -> None:
    for change in changes:
        # A later change may find nothing to change any more: it is then left out.
        with suppress(ValueError, TypeError, IndexError, KeyError, msgpack.UnpackException):
            frames = change(source, frames)
    _read(frames)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"\x91" * 5000, id="nested-lists"),
        pytest.param(b"\x81\xa1a" * 5000, id="nested-maps"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="a-list-of-four-billion"),
        pytest.param(b"\xdd\x00\x00\x27\x10" * 1000 + bytes(20_000), id="nested-long-lists"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="a-map-of-four-billion"),
        pytest.param(b"\xdb\xff\xff\xff\xff", id="four-billion-letters"),
        pytest.param(b"\xc6\xff\xff\xff\xff", id="four-billion-bytes"),
        pytest.param(b"\xc9\xff\xff\xff\xff\x01", id="an-extension-of-four-billion"),
        pytest.param(b"\xd4\x01x", id="an-extension"),
        pytest.param(b"\xd6\xff\x00\x00\x00\x01", id="a-timestamp"),
        pytest.param(b"\xc1", id="the-byte-that-is-never-used"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x90", id="a-list"),
        pytest.param(b"\x80\x80", id="two-headers"),
        pytest.param(msgpack.packb({"type": "ping", "msg_id": "a"}), id="no-content"),
        pytest.param(b"\x82\xa1a\x01\xa1a\x02", id="a-key-twice"),
        pytest.param(b"\x81\x01\x02", id="a-number-as-key"),
        pytest.param(b"\x81\xc4\x01a\x02", id="bytes-as-key"),
        pytest.param(b"\x81\x90\x02", id="a-list-as-key"),
        pytest.param(b"\x81\xa1a\xa2\xff\xfe", id="text-that-is-not-utf-8"),
        pytest.param(b"\x81\xa1a\xa3\xed\xa0\x80", id="a-lone-surrogate"),
        pytest.param(b"\x81\xa1a\xcb\x7f\xf8" + bytes(6), id="not-a-number"),
        pytest.param(b"\x81\xa1a\xca\x7f\x80\x00\x00", id="infinity"),
    ],
)
def test_msgpack_tricks_are_refused(header: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError) as refused:
            decode([VERSION_FRAME, header], LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.code in ("malformed", "too_large")
    assert peak < 100_000_000


@pytest.mark.parametrize(
    ("shape", "length"),
    [
        ([2**32, 2**32], 0),
        ([2**31, 2, 2**32], 0),
        ([0, 2**62], 0),
        ([0, 2**63 - 1], 0),
        ([-1, -12], 48),
        ([-4, -3], 48),
        ([16, 1], 48),
        ([4, 3, 1], 48),
        ([12], 48),
        ([], 48),
        ([4, 3], 47),
        ([4, 3], -48),
        ([4, 3], 2**63 - 1),
    ],
)
def test_shape_tricks_are_refused(shape: list[int], length: int) -> None:
    frames = [bytes(frame) for frame in encode(envelopes()["preview"], LIMITS)]
    tree = msgpack.unpackb(frames[1])
    tree["buffers"][0].update(shape=shape, length=length)
    if length == 0:
        frames[2] = b""
        tree["buffers"][0]["digest"] = digest(b"")
    with pytest.raises(ProtocolError) as refused:
        decode([frames[0], msgpack.packb(tree), *frames[2:]], LIMITS)
    assert refused.value.code == "malformed"


@pytest.mark.parametrize("index", [-1, 4, 2**31 - 1, -(2**31)])
def test_an_index_beyond_the_vertices_is_refused(index: int) -> None:
    frames = [bytes(frame) for frame in encode(envelopes()["preview"], LIMITS)]
    tree = msgpack.unpackb(frames[1])
    frames[4] = struct.pack("<i", index) + frames[4][4:]
    tree["buffers"][2]["digest"] = digest(frames[4])
    with pytest.raises(ProtocolError, match="index outside 0 to 3"):
        decode([frames[0], msgpack.packb(tree), *frames[2:]], LIMITS)


def test_an_oversized_message_is_refused_before_it_is_read() -> None:
    begin = time.thread_time()
    for frames in ([VERSION_FRAME, bytes(2 << 20)], [VERSION_FRAME, b"\x80", *[b"x"] * 10_000]):
        with pytest.raises(ProtocolError) as refused:
            decode(frames, LIMITS)
        assert refused.value.code == "too_large"
    with pytest.raises(ProtocolError, match="at most 10 are allowed"):
        decode([VERSION_FRAME, b"\x80", b"x" * 8], Limits(message_bytes=10))
    assert time.thread_time() - begin < 0.5


@pytest.mark.parametrize("name", ["body_template", "character"])
def test_hostile_documents_are_read_or_refused(name: str) -> None:
    unpack: Callable[[bytes], object] = {
        "body_template": unpack_template,
        "character": unpack_character,
    }[name]
    data = (GOLDEN / PROTOCOL / f"{name}.bin").read_bytes()
    source = random.Random(4)
    changes = [_flip, _cut, _insert, _shuffle]
    refused = 0
    for _ in range(1500):
        # Changes gather where decisions are made: in the first hundred bytes and the header.
        head = source.choice([20, 100, len(data)])
        (mutated,) = source.choice(changes[:3])(source, [data[:head]])
        try:
            unpack(mutated + data[head:])
        except ProtocolError:
            refused += 1
    assert refused > 1000
