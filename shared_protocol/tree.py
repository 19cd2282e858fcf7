"""MessagePack for headers: plain values only, within limits, whatever the bytes."""

from __future__ import annotations

import math
from typing import Any, Final, NoReturn

import msgpack

from .errors import MALFORMED, TOO_LARGE, ProtocolError
from .limits import Limits

_INTEGER: Final = 2**63
"""Integers fit a signed 64-bit word: SQLite and NumPy hold them as they are."""


def pack_tree(tree: dict[str, Any], limits: Limits) -> bytes:
    """``tree`` as MessagePack.

    Raises:
        ProtocolError: ``malformed`` for a value that has no place in a header, ``too_large``.
    """
    try:
        data: bytes = msgpack.packb(tree, use_bin_type=True)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ProtocolError(MALFORMED, f"A header cannot be written: {error}.") from error
    _check_size(len(data), limits)
    return data


def unpack_tree(data: bytes | bytearray | memoryview, limits: Limits) -> dict[str, Any]:
    """The map that ``data`` holds: null, booleans, integers, finite numbers, text, lists and maps.

    Raises:
        ProtocolError: ``malformed``, ``too_large``; never anything else.
    """
    _check_size(len(data), limits)
    try:
        tree = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_map,
            # An announced length is memory at once: without this cap nested lists cost gigabytes.
            max_array_len=limits.items,
            max_map_len=limits.items,
            max_bin_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        long = "exceeds max_array_len" in reason or "exceeds max_map_len" in reason
        code = TOO_LARGE if long else MALFORMED
        raise ProtocolError(code, f"A header is not readable MessagePack: {reason}.") from error
    if type(tree) is not dict:
        raise ProtocolError(MALFORMED, "A header is not a map.")
    _check(tree, limits, 1)
    return tree


def _map(pairs: list[tuple[object, object]]) -> dict[object, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a map has the same key twice")
    return found


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.header_bytes:
        raise ProtocolError(
            TOO_LARGE, f"A header has {size} bytes; at most {limits.header_bytes} are allowed."
        )


def _check(value: Any, limits: Limits, depth: int) -> None:
    kind = type(value)
    if kind is str:
        _check_text(value, limits)
    elif kind is float:
        if not math.isfinite(value):
            _refuse("a number that is not finite")
    elif kind is int:
        if not -_INTEGER <= value < _INTEGER:
            _refuse("an integer beyond 64 bits")
    elif kind is dict:
        _check_depth(depth, limits)
        for key, item in value.items():
            if type(key) is not str:
                _refuse("a map key that is not text")
            _check_text(key, limits)
            _check(item, limits, depth + 1)
    elif kind is list:
        _check_depth(depth, limits)
        for item in value:
            _check(item, limits, depth + 1)
    elif value is not None and kind is not bool:
        _refuse(f"a value of kind {kind.__name__}")


def _check_depth(depth: int, limits: Limits) -> None:
    if depth > limits.depth:
        raise ProtocolError(TOO_LARGE, f"A header is nested deeper than {limits.depth} levels.")


def _check_text(text: str, limits: Limits) -> None:
    # UTF-8 needs at most four bytes a character: short texts need no encoding.
    if 4 * len(text) > limits.text_bytes and len(text.encode()) > limits.text_bytes:
        raise ProtocolError(TOO_LARGE, f"A text has more than {limits.text_bytes} bytes.")


def _refuse(what: str) -> NoReturn:
    raise ProtocolError(MALFORMED, f"A header holds {what}.")
