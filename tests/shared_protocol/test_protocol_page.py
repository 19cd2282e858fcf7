"""docs/protocol.md against the code, both ways: types, fields, defaults, arrays, limits, codes, bytes."""

import re
import types
import typing
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from wire_samples import LIMITS

import shared_protocol.errors as errors
from shared_protocol import messages as m
from shared_protocol.arrays import MESSAGE_ARRAYS, ArraySpec
from shared_protocol.codec import Envelope, decode, encode
from shared_protocol.connection import Connection
from shared_protocol.framing import BufferInfo, Header
from shared_protocol.limits import Limits
from shared_protocol.messages import CONTENT_TYPES
from shared_protocol.packing import (
    ALIGNMENT,
    CHARACTER_ARRAYS,
    MAGIC,
    TEMPLATE_ARRAYS,
    CharacterFields,
    TemplateFields,
)
from shared_protocol.version import PROTOCOL

_PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
_PLAIN = {str: "text", int: "integer", float: "number", bool: "boolean"}
_PIECES = (m.BlobRef, m.Pose, m.Camera, m.PhotoInfo, m.Fit, m.Maps, m.BodyInfo)
_SECTIONS: dict[str, type] = {
    **{f"`{name}`": cls for name, cls in CONTENT_TYPES.items()},
    **{cls.__name__: cls for cls in (*_PIECES, m.JobEvent, m.JobSummary)},
}
_TABLES: dict[str, type] = {
    **_SECTIONS,
    "Header": Header,
    "Buffers": BufferInfo,
    "8. Limits": Limits,
    "11. Connection file": Connection,
}


def _section(title: str) -> str:
    """The text under a heading, up to the next heading of any level."""
    (found,) = re.findall(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", _PAGE, re.MULTILINE | re.DOTALL
    )
    return str(found)


def _table(text: str, first: str) -> list[list[str]]:
    """Rows, without the head, of the table whose head begins with ``first``."""
    rows: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] == first:
            inside = True
        elif inside and not line.startswith("|"):
            break
        elif inside and not line.startswith("|---"):
            rows.append(cells)
    return rows


def _type(hint: Any) -> str:
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " / ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return _type(next(a for a in arguments if a is not type(None))) + " or null"
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {_type(arguments[0])}"
    if origin is tuple:
        return f"list of {len(arguments)} {_type(arguments[0])}s"
    if origin is dict:
        return f"map to {_type(arguments[1])}"
    return str(hint.__name__)


def _default(value: Any) -> str:
    if value is attrs.NOTHING:
        return "required"
    if isinstance(value, attrs.Factory) or attrs.has(type(value)):
        return "`{}`"
    known = {None: "null", True: "true", False: "false", "": "empty", (): "`[]`"}
    if type(value) in (type(None), bool, str, tuple) and value in known:
        return known[value]
    return f"`{value}`"


@pytest.mark.parametrize("title", sorted(_TABLES))
def test_every_field_is_on_the_page_with_its_type_and_default(title: str) -> None:
    cls = _TABLES[title]
    hints = typing.get_type_hints(cls)
    wanted = [
        [f"`{field.name}`", _type(hints[field.name]), _default(field.default)]
        for field in attrs.fields(cls)
    ]
    rows = _table(_section(title), "Field")
    assert [row[:3] for row in rows] == wanted
    assert all(len(row) == 4 and row[3] for row in rows)


def test_the_page_describes_no_other_message_or_piece() -> None:
    assert set(re.findall(r"^#### (.+)$", _PAGE, re.MULTILINE)) == set(_SECTIONS)
    listed = [row[0].strip("`") for row in _table(_section("7. Messages"), "Type")]
    assert sorted(listed) == sorted(CONTENT_TYPES)


def _spec(row: list[str]) -> ArraySpec:
    shape = tuple(
        int(size) if size.isdigit() else size for size in re.findall(r"[a-z0-9]+", row[2])
    )
    below = re.search(r"Each from 0 to below (\w+)\.", row[3])
    return ArraySpec(
        name=row[0].strip("`"),
        dtype=row[1],
        shape=shape,
        optional="left out" in row[3],
        below=None if below is None else int(below[1]) if below[1].isdigit() else below[1],
    )


def test_every_array_is_on_the_page() -> None:
    for name, cls in CONTENT_TYPES.items():
        rows = _table(_section(f"`{name}`"), "Array")
        assert tuple(map(_spec, rows)) == MESSAGE_ARRAYS.get(cls, ()), name
    for title, specs in (("body_template", TEMPLATE_ARRAYS), ("character", CHARACTER_ARRAYS)):
        assert tuple(map(_spec, _table(_section(title), "Array"))) == specs


def test_every_field_of_a_document_is_on_the_page() -> None:
    for title, cls in (("body_template", TemplateFields), ("character", CharacterFields)):
        hints = typing.get_type_hints(cls)
        wanted = [[f"`{field.name}`", _type(hints[field.name])] for field in attrs.fields(cls)]
        assert [row[:2] for row in _table(_section(title), "`fields`")] == wanted
    assert "`HRDOC1\\r\\n`" in _section("10. Documents")
    assert MAGIC == b"HRDOC1\r\n"
    assert f"multiple of {ALIGNMENT}" in _section("10. Documents")


def test_every_error_code_is_on_the_page() -> None:
    codes = [value for name, value in vars(errors).items() if name.isupper()]
    assert [row[0].strip("`") for row in _table(_section("9. Errors"), "Code")] == codes
    # What the prose names in the manner of a code, a field or a type is one of them.
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", _PAGE))
    fields = {name for cls in _TABLES.values() for name in attrs.fields_dict(cls)}
    arrays = {spec.name for spec in (*TEMPLATE_ARRAYS, *CHARACTER_ARRAYS)}
    others = {
        "photo_unreadable",
        "photo_too_large",
        "no_person",
        "option_out_of_range",
        "body_template",
    }
    others |= {"shared_protocol", "anny_smplx55"}
    assert named - fields - arrays - others - set(CONTENT_TYPES) <= set(codes)


def test_the_page_is_of_this_version() -> None:
    assert _PAGE.startswith(f"# HumanRef wire protocol, version {PROTOCOL}\n")
    assert _table(_section("13. Versions"), "Version")[-1][0] == PROTOCOL


def test_the_bytes_on_the_page_are_those_of_the_message() -> None:
    frames = [bytes.fromhex(block) for block in re.findall(r"```hex\n(.*?)```", _PAGE, re.DOTALL)]
    for k, frame in enumerate(frames):
        assert f"Frame {k}, {len(frame)} bytes" in _PAGE
    shown = decode(frames, LIMITS)
    content = m.PutChunk(
        blob=m.BlobRef(
            sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", size=3
        ),
        offset=0,
    )
    assert (shown.content, shown.msg_id, shown.session) == (content, "m1", "s1")
    data = {"data": np.frombuffer(b"abc", np.uint8)}
    again = Envelope(content=content, msg_id="m1", session="s1", buffers=data)
    assert list(map(bytes, encode(again, LIMITS))) == frames
