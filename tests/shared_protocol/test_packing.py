"""Documents there and back, and every file that is not one."""

import struct
from typing import Any

import attrs
import msgpack
import numpy as np
import pytest
from wire_samples import LIMITS, character, template

from shared_protocol.arrays import digest
from shared_protocol.errors import ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.packing import (
    ALIGNMENT,
    CHARACTER_ARRAYS,
    TEMPLATE_ARRAYS,
    blob_ref,
    pack_character,
    pack_template,
    unpack_character,
    unpack_template,
)


def test_a_template_arrives_as_it_left() -> None:
    sent = template()
    got = unpack_template(pack_template(sent))
    assert (got.model, got.licence) == (sent.model, sent.licence)
    for spec in TEMPLATE_ARRAYS:
        array = getattr(got, spec.name)
        np.testing.assert_array_equal(array, getattr(sent, spec.name))
        assert array.dtype == spec.dtype
        assert array.flags.aligned
        assert not array.flags.writeable


def test_a_character_arrives_as_it_left() -> None:
    sent = character()
    got = unpack_character(pack_character(sent))
    for field in attrs.fields(type(sent)):
        value = getattr(sent, field.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(got, field.name), value)
        else:
            assert getattr(got, field.name) == value
    plain = attrs.evolve(sent, uv=np.zeros((0, 2), np.float32), texture=b"")
    got = unpack_character(pack_character(plain))
    assert got.uv.shape == (0, 2)
    assert got.texture == b""


def test_every_array_of_a_document_is_listed() -> None:
    for document, specs in ((template(), TEMPLATE_ARRAYS), (character(), CHARACTER_ARRAYS)):
        arrays = {
            field.name
            for field in attrs.fields(type(document))
            if isinstance(getattr(document, field.name), np.ndarray)
        }
        assert {spec.name for spec in specs} - {"texture"} == arrays


def test_arrays_begin_where_the_specification_says() -> None:
    data = pack_template(template())
    assert data[:8] == b"HRDOC1\r\n"
    (length,) = struct.unpack("<I", data[8:12])
    end = 12 + length
    for info in msgpack.unpackb(data[12:end])["arrays"]:
        start = -(-end // ALIGNMENT) * ALIGNMENT
        assert not any(data[end:start])
        end = start + info["length"]
        assert digest(data[start:end]) == info["digest"]
    assert end == len(data)


def test_a_blob_is_named_by_its_sha256() -> None:
    ref = blob_ref(b"abc")
    assert ref.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert ref.size == 3
    assert blob_ref(memoryview(b"abc")) == ref


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"faces": np.full((2, 3), 4, np.int32)}, "array faces holds an index outside 0 to 3"),
        ({"faces": np.full((2, 3), -1, np.int32)}, "array faces holds an index outside 0 to 3"),
        ({"skin_indices": np.full((4, 4), 55, np.uint8)}, "an index outside 0 to 54"),
        ({"skin_weights": np.full((4, 4), 0.2, np.float32)}, "a sum of 1 a vertex"),
        (
            {"skin_weights": np.array([[2, -1, 0, 0]] * 4, np.float32)},
            "not all positive with a sum of 1",
        ),
        ({"vertices": np.full((4, 3), np.nan, np.float32)}, "vertices holds numbers that are not"),
        ({"rest_vertices": np.zeros((5, 3), np.float32)}, r"shape \(5, 3\), not \(4, 3\)"),
        ({"joints": np.zeros((54, 3), np.float32)}, r"shape \(54, 3\), not \(55, 3\)"),
        ({"colors": np.zeros((4, 3), np.float32)}, "colors is float32, not uint8"),
        ({"uv": np.zeros((5, 2), np.float32)}, "neither three rows a face nor none"),
        ({"uv": np.zeros((0, 2), np.float32)}, "a texture without uv"),
        ({"texture": b"GIF89a"}, "the texture is no PNG"),
    ],
)
def test_a_wrong_character_is_refused_before_it_is_written(
    change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ProtocolError, match=sentence):
        pack_character(attrs.evolve(character(), **change))


def _with_header(data: bytes, **change: Any) -> bytes:
    (length,) = struct.unpack("<I", data[8:12])
    tree = {**msgpack.unpackb(data[12 : 12 + length]), **change}
    header = msgpack.packb(tree)
    body = data[-(-(12 + length) // ALIGNMENT) * ALIGNMENT :]
    return (data[:8] + struct.pack("<I", len(header)) + header).ljust(
        -(-(12 + len(header)) // ALIGNMENT) * ALIGNMENT, b"\0"
    ) + body


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (lambda data: b"", "malformed", "no HumanRef document"),
        (lambda data: b"glTF" + data[4:], "malformed", "no HumanRef document"),
        (lambda data: data.replace(b"\r\n", b"\n", 1), "malformed", "no HumanRef document"),
        (
            lambda data: data[:5] + b"2" + data[6:],
            "protocol_mismatch",
            "of version 2, this side reads version 1",
        ),
        (lambda data: data[:10], "malformed", "ends before its header"),
        (lambda data: data[:100], "malformed", "ends before its header does"),
        (lambda data: data[:-1], "malformed", "ends before array 'texture'"),
        (lambda data: data + b"x", "malformed", "goes on after its last array"),
        (lambda data: data[:-1] + b"X", "blob_digest", "texture was changed"),
        (lambda data: _with_header(data, type="song"), "malformed", "is a 'song'"),
        (lambda data: _with_header(data, fields={}), "malformed", "name is missing"),
        (lambda data: _with_header(data, arrays=[]), "malformed", "after its last array"),
    ],
)
def test_a_file_that_is_no_character_is_refused(spoil: Any, code: str, sentence: str) -> None:
    with pytest.raises(ProtocolError, match=sentence) as refused:
        unpack_character(spoil(pack_character(character())))
    assert refused.value.code == code


def test_one_document_is_not_taken_for_another() -> None:
    with pytest.raises(ProtocolError, match="is a 'body_template', not a 'character'"):
        unpack_character(pack_template(template()))


def test_what_a_newer_minor_added_is_passed_over() -> None:
    data = _with_header(pack_character(character()), made_by="a newer one")
    assert unpack_character(data).name == "a"


@pytest.mark.parametrize(
    "limits", [Limits(blob_bytes=1000), Limits(vertices=3), Limits(header_bytes=500)]
)
def test_limits_hold_for_documents(limits: Limits) -> None:
    with pytest.raises(ProtocolError) as refused:
        pack_character(character(), limits)
    assert refused.value.code == "too_large"
    with pytest.raises(ProtocolError) as refused:
        unpack_character(pack_character(character(), LIMITS), limits)
    assert refused.value.code == "too_large"
