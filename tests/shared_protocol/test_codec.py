"""What a message may not be and in which words it is refused; versions beside each other."""

import time
from typing import Any

import attrs
import msgpack
import numpy as np
import pytest
from wire_samples import LIMITS, envelopes

from shared_protocol import messages as m
from shared_protocol.codec import (
    Envelope,
    MessageError,
    decode,
    encode,
    error_reply,
    new_id,
    reply,
)
from shared_protocol.errors import ProtocolError
from shared_protocol.framing import VERSION_FRAME
from shared_protocol.limits import Limits
from shared_protocol.messages import CONTENT_TYPES


def test_arrays_are_neither_copied_nor_writeable() -> None:
    envelope = envelopes()["preview"]
    frames = encode(envelope, LIMITS)
    assert np.shares_memory(np.frombuffer(frames[2], np.uint8), envelope.buffers["vertices"])
    for dtype in (bytes, bytearray, memoryview):
        copies = [dtype(frame) for frame in frames]
        got = decode(copies, LIMITS).buffers["vertices"]
        assert np.shares_memory(got, np.frombuffer(copies[2], np.uint8))
        assert not got.flags.writeable


def test_arrays_at_odd_addresses_are_aligned() -> None:
    frames = encode(envelopes()["preview"], LIMITS)
    shifted = [memoryview(b"x" + bytes(frame))[1:] for frame in frames]
    assert all(array.flags.aligned for array in decode(shifted, LIMITS).buffers.values())


def test_strided_and_big_endian_arrays_are_sent_as_their_values() -> None:
    envelope = envelopes()["preview"]
    arrays = dict(envelope.buffers)
    arrays["vertices"] = np.asfortranarray(arrays["vertices"]).astype(">f4")
    got = decode(encode(attrs.evolve(envelope, buffers=arrays), LIMITS), LIMITS)
    np.testing.assert_array_equal(got.buffers["vertices"], envelope.buffers["vertices"])


def test_a_preview_may_come_without_faces() -> None:
    envelope = envelopes()["preview"]
    arrays = {k: v for k, v in envelope.buffers.items() if k != "faces"}
    got = decode(encode(attrs.evolve(envelope, buffers=arrays), LIMITS), LIMITS)
    assert set(got.buffers) == {"vertices", "colors"}


def _tree(name: str) -> tuple[dict[str, Any], list[bytes]]:
    frames = [bytes(frame) for frame in encode(envelopes()[name], LIMITS)]
    return msgpack.unpackb(frames[1]), frames


def _decode(tree: dict[str, Any], frames: list[bytes], limits: Limits = LIMITS) -> Envelope:
    return decode([frames[0], msgpack.packb(tree), *frames[2:]], limits)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("submit", {"height_cm": "tall"}, "submit: height_cm should be a number, not text."),
        (
            "submit",
            {"height_cm": True},
            "submit: height_cm should be a number, not true or false.",
        ),
        ("submit", {"seed": True}, "submit: seed should be a whole number, not true or false."),
        ("submit", {"seed": 1.0}, "submit: seed should be a whole number, not a number."),
        ("submit", {"seed": None}, "submit: seed should be a whole number, not nothing."),
        ("submit", {"seed": 2**63}, "A header holds an integer beyond 64 bits."),
        ("submit", {"height_cm": float("nan")}, "A header holds a number that is not finite."),
        ("submit", {"height_cm": float("-inf")}, "A header holds a number that is not finite."),
        (
            "submit",
            {"preset": "best"},
            "submit: preset should be one of draft, standard, paper, not 'best'.",
        ),
        ("submit", {"photo": []}, "submit: photo should be a map, not a list."),
        ("submit", {"maps": {"mask": {"size": 1}}}, "submit: maps.mask.sha256 is missing."),
        (
            "submit",
            {"photo": {"sha256": "../x", "size": 1}},
            "submit: photo has a sha256 that is not 64 lower-case hexadecimal digits.",
        ),
        (
            "result",
            {"files": {"../../.bashrc": {"sha256": "0" * 64, "size": 1}}},
            "result: the content has files whose names are no plain file names.",
        ),
        (
            "estimate",
            {"locked_joints": "left_knee"},
            "estimate: locked_joints should be a list, not text.",
        ),
        (
            "job_list",
            {"jobs": [{"job_id": "a", "kind": "generate"}]},
            "job_list: jobs[0].state is missing; jobs[0].photo_name is missing; "
            "jobs[0].created is missing; and 1 more.",
        ),
        (
            "put_chunk",
            {"offset": 950},
            "A chunk reaches beyond the end of its blob.",
        ),
        ("put_chunk", {"offset": -1}, "put_chunk: the content has an offset outside the blob."),
        ("preview", {"vertex_count": 5}, "preview: the counts are not those of its arrays."),
    ],
)
def test_a_wrong_field_is_named_in_one_sentence(
    name: str, change: dict[str, Any], sentence: str
) -> None:
    tree, frames = _tree(name)
    tree["content"].update(change)
    with pytest.raises(MessageError) as refused:
        _decode(tree, frames)
    assert refused.value.message == sentence
    assert refused.value.code == "malformed"


def test_a_pose_of_the_wrong_size_is_refused() -> None:
    tree, frames = _tree("submit")
    tree["content"]["pose"]["full_pose"].pop()
    with pytest.raises(ProtocolError, match="pose has 164 numbers in full_pose, not 165"):
        _decode(tree, frames)
    tree, frames = _tree("submit")
    tree["content"]["pose"]["transl"].append(0.0)
    with pytest.raises(ProtocolError, match=r"pose\.transl should have 3 entries, not 4"):
        _decode(tree, frames)


def test_the_sender_learns_of_a_mistake_before_anything_is_sent() -> None:
    good = envelopes()["submit"]
    for content in (
        attrs.evolve(good.content, height_cm=float("nan")),
        attrs.evolve(good.content, photo_name="\ud800"),
        attrs.evolve(good.content, seed=np.int64(3)),
        attrs.evolve(good.content, prompt="x" * 10_001),
    ):
        with pytest.raises(ProtocolError):
            encode(attrs.evolve(good, content=content), LIMITS)
    preview = envelopes()["preview"]
    for change in (
        {"vertices": preview.buffers["vertices"].astype(np.float64)},
        {"vertices": preview.buffers["vertices"] * np.float32(np.nan)},
        {"faces": preview.buffers["faces"] + 1},
        {"faces": preview.buffers["faces"] - 1},
        {"colors": preview.buffers["colors"][:3]},
        {"normals": preview.buffers["vertices"]},
    ):
        with pytest.raises(ProtocolError):
            encode(attrs.evolve(preview, buffers={**preview.buffers, **change}), LIMITS)
    with pytest.raises(ProtocolError):
        encode(attrs.evolve(preview, msg_id="../x"), LIMITS)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(header_bytes=100), "submit"),
        (Limits(message_bytes=300), "preview"),
        (Limits(buffers=2), "preview"),
        (Limits(depth=3), "job_status"),
        (Limits(items=100), "submit"),
        (Limits(chunk_bytes=50), "put_chunk"),
        (Limits(chunk_bytes=50), "fetch_chunk"),
        (Limits(blob_bytes=999), "put_chunk"),
        (Limits(vertices=3), "preview"),
        (Limits(text_bytes=20), "error"),
    ],
)
def test_limits_hold_on_both_sides(limits: Limits, name: str) -> None:
    envelope = envelopes()[name]
    with pytest.raises(ProtocolError) as refused:
        encode(envelope, limits)
    assert refused.value.code == "too_large"
    with pytest.raises(ProtocolError) as refused:
        decode(encode(envelope, LIMITS), limits)
    assert refused.value.code == "too_large"


def test_faces_are_limited_with_the_vertices() -> None:
    faces = np.zeros((17, 3), np.int32)
    preview = envelopes()["preview"]
    content = m.Preview(step=0, topology="", vertex_count=4, face_count=17)
    many = attrs.evolve(preview, content=content, buffers={**preview.buffers, "faces": faces})
    with pytest.raises(ProtocolError, match="17 faces; at most 16"):
        encode(many, Limits(vertices=4))


def test_a_changed_buffer_is_noticed() -> None:
    frames = [bytes(frame) for frame in encode(envelopes()["put_chunk"], LIMITS)]
    frames[2] = frames[2][:-1] + b"!"
    with pytest.raises(MessageError) as refused:
        decode(frames, LIMITS)
    assert refused.value.code == "blob_digest"
    assert refused.value.retryable
    assert (refused.value.msg_id, refused.value.session, refused.value.job_id) == (
        "m1",
        "s1",
        "job-1",
    )


@pytest.mark.parametrize("name", sorted(CONTENT_TYPES))
def test_what_a_newer_minor_added_is_passed_over(name: str) -> None:
    tree, frames = _tree(name)
    tree["trace"] = ["new", {"in": 2}]
    tree["content"]["mood"] = {"a": [1, 2.5, None]}
    assert _decode(tree, frames).content == envelopes()[name].content


def test_an_array_of_a_newer_minor_is_passed_over() -> None:
    tree, frames = _tree("preview")
    extra = {**tree["buffers"][0], "name": "normals", "dtype": "float16", "shape": [3]}
    tree["buffers"].insert(0, extra)
    got = _decode(tree, [*frames[:2], b"anything", *frames[2:]])
    assert set(got.buffers) == {"vertices", "colors", "faces"}


@pytest.mark.parametrize("name", sorted(CONTENT_TYPES))
def test_fields_with_defaults_may_be_missing(name: str) -> None:
    tree, frames = _tree(name)
    cls = CONTENT_TYPES[name]
    optional = {f.name for f in attrs.fields(cls) if f.default is not attrs.NOTHING}
    tree["content"] = {k: v for k, v in tree["content"].items() if k not in optional}
    for key in ("parent_id", "session", "job_id", "seq"):
        del tree[key]
    got = _decode(tree, frames)
    bare = {f.name: getattr(got.content, f.name) for f in attrs.fields(cls)}
    assert got.content == cls(**{k: v for k, v in bare.items() if k not in optional})
    assert (got.parent_id, got.session, got.job_id, got.seq) == ("", "", "", 0)


def test_limits_of_an_older_server_keep_their_defaults() -> None:
    tree, frames = _tree("welcome")
    del tree["content"]["limits"]["items"]
    got = _decode(tree, frames).content
    assert isinstance(got, m.Welcome)
    assert got.limits == LIMITS


def test_another_major_is_refused_by_its_first_frame() -> None:
    with pytest.raises(ProtocolError) as refused:
        decode([b"HR2", b"whatever comes then"], LIMITS)
    assert refused.value.code == "protocol_mismatch"
    assert "'2'" in refused.value.message
    assert "1.0" in refused.value.message
    tree, frames = _tree("hello")
    tree["content"]["protocol"] = "2.7"
    with pytest.raises(MessageError, match=r"protocol '2\.7', this side 1\.0") as mismatch:
        _decode(tree, frames)
    assert mismatch.value.code == "protocol_mismatch"
    assert mismatch.value.msg_id == "m1"


def test_an_unknown_type_can_be_answered() -> None:
    tree, frames = _tree("ping")
    tree["type"] = "dance"
    with pytest.raises(MessageError, match="'dance' are not known") as refused:
        _decode(tree, frames)
    assert refused.value.code == "unknown_type"
    answer = error_reply(refused.value, refused.value)
    assert (answer.parent_id, answer.job_id, answer.session) == ("m1", "job-1", "s1")
    got = decode(encode(answer, LIMITS), LIMITS).content
    assert ProtocolError.of(got).as_error() == refused.value.as_error()


def test_replies_name_what_they_answer() -> None:
    ping = envelopes()["ping"]
    pong = reply(ping, m.Pong(ready=True, running_jobs=0, queued_jobs=0), seq=3)
    assert (pong.parent_id, pong.session, pong.job_id, pong.seq) == ("m1", "s1", "job-1", 3)
    assert pong.msg_id not in ("", "m1")
    assert len({new_id() for _ in range(100)}) == 100


def test_an_error_of_any_length_fits() -> None:
    long = ProtocolError("internal", "\udcff" + "x" * 100_000, "y" * 100_000)
    got = decode(encode(error_reply(envelopes()["ping"], long), LIMITS), LIMITS).content
    assert got.message.startswith("?xxx")
    assert len(got.message) == 1000


def test_the_version_frame_is_the_documented_one() -> None:
    assert VERSION_FRAME == b"HR1"


def test_requests_have_shorter_headers() -> None:
    assert LIMITS.of_requests == attrs.evolve(LIMITS, header_bytes=LIMITS.request_bytes)
    assert Limits(header_bytes=100).of_requests.header_bytes == 100
    # Every message of a client fits with room to spare.
    for envelope in envelopes().values():
        assert len(encode(envelope, LIMITS.of_requests)[1]) < LIMITS.request_bytes / 4


def test_the_costliest_request_is_read_in_no_time() -> None:
    header = msgpack.packb({"type": "ping", "msg_id": "a", "content": {"x": [[{}] * 9999] * 6}})
    begin = time.thread_time()
    decode([VERSION_FRAME, header], LIMITS.of_requests)
    assert len(header) > 0.9 * LIMITS.request_bytes
    assert time.thread_time() - begin < 0.1
