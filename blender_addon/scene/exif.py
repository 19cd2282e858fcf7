"""Which way up a picture file wants to be seen: the EXIF orientation, read without a library."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112


def orientation(data: bytes) -> int:
    """1 to 8 as EXIF counts (1 = upright) of a JPEG or PNG file's bytes; 1 where nothing is said."""
    if data[:2] == b"\xff\xd8":
        block = _jpeg_exif(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        block = _png_exif(data)
    else:
        block = b""
    try:
        return _from_tiff(block)
    except struct.error:
        return 1


def _jpeg_exif(data: bytes) -> bytes:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA or length < 2:
            return b""
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _png_exif(data: bytes) -> bytes:
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""


def _from_tiff(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    for index in range(count):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * index)
        if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
            return int(value)
    return 1
