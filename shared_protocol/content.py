"""Plain maps to message contents and back, strictly: cattrs with hooks that convert nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import ClassValidationError, IterableValidationError, transform_error
from cattrs.errors import IterableValidationNote
from cattrs.gen import make_dict_structure_fn
from cattrs.preconf.msgpack import MsgpackConverter, make_converter

from .checks import CHECKS
from .errors import MALFORMED, ProtocolError

T = TypeVar("T")

_Hook = Callable[[Any, Any], Any]
_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_SHOWN_PROBLEMS = 3


def to_tree(content: object) -> dict[str, Any]:
    """The fields of an attrs instance as a map of plain values."""
    tree: dict[str, Any] = _converter().unstructure(content)
    return tree


def from_tree(tree: object, cls: type[T], where: str) -> T:
    """``tree`` as a ``cls``: fields that this version does not know are passed over.

    Raises:
        ProtocolError: ``malformed`` with the fields that are missing or wrong, in one sentence;
            ``protocol_mismatch`` where two versions do not fit.
    """
    try:
        return _converter().structure(tree, cls)
    except ProtocolError:
        raise
    except (ClassValidationError, IterableValidationError) as error:
        problems = transform_error(error, "$", _problem)
    except (ValueError, TypeError, KeyError) as error:
        problems = [f"{_problem(error, None)} @ $"]
    sentences = [_sentence(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    rest = len(problems) - len(sentences)
    more = f"; and {rest} more" if rest > 0 else ""
    raise ProtocolError(MALFORMED, f"{where}: {'; '.join(sentences)}{more}.")


def _problem(error: BaseException, _type: type | None) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    return str(error)


def _sentence(problem: str) -> str:
    text, _, path = problem.rpartition(" @ ")
    name = path.removeprefix("$").removeprefix(".")
    return f"{name} {text}" if name else f"the content {text}"


@cache
def _converter() -> MsgpackConverter:
    converter = make_converter()
    for kind in (bool, int, str):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _number)
    # A whole number in a float's place would come back as a float: other bytes for the same content.
    converter.register_unstructure_hook(float, float)
    factory = converter.register_structure_hook_factory
    factory(_is_optional, lambda cls: _optional(cls, converter))
    factory(_is_tuple, lambda cls: _tuple(cls, converter))
    factory(_is_literal, _literal)
    factory(_is_map, lambda cls: _map(cls, converter))
    factory(attrs.has, lambda cls: _record(cls, converter))
    return converter


def _exactly(value: Any, cls: Any) -> Any:
    if type(value) is not cls:
        raise TypeError(f"should be {_NAMES[cls]}, not {_kind(value)}")
    return value


def _number(value: Any, _: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise TypeError(f"should be a number, not {_kind(value)}")


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return {bool: "true or false", int: "a number", float: "a number", str: "text"}.get(
        type(value), "a list" if isinstance(value, list | tuple) else "a map"
    )


def _is_optional(cls: Any) -> bool:
    arguments = get_args(cls)
    return get_origin(cls) in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments


def _optional(cls: Any, converter: MsgpackConverter) -> _Hook:
    (inner,) = (argument for argument in get_args(cls) if argument is not NoneType)
    hook = converter.get_structure_hook(inner)
    return lambda value, _: None if value is None else hook(value, inner)


def _is_tuple(cls: Any) -> bool:
    return get_origin(cls) is tuple


def _tuple(cls: Any, converter: MsgpackConverter) -> _Hook:
    arguments = get_args(cls)
    endless = arguments[-1] is Ellipsis
    inner = arguments[0]
    if any(argument is not inner for argument in arguments[1:] if argument is not Ellipsis):
        raise TypeError(f"{cls} mixes types")  # no message has one
    hook = converter.get_structure_hook(inner)

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise TypeError(f"should be a list, not {_kind(value)}")
        if not endless and len(value) != len(arguments):
            raise ValueError(f"should have {len(arguments)} entries, not {len(value)}")
        return tuple(_items(enumerate(value), hook, inner))

    return structure


def _is_literal(cls: Any) -> bool:
    return get_origin(cls) is Literal


def _literal(cls: Any) -> _Hook:
    known = get_args(cls)

    def structure(value: Any, _: Any) -> str:
        text: str = _exactly(value, str)
        if text not in known:
            raise ValueError(f"should be one of {', '.join(known)}, not {text[:40]!r}")
        return text

    return structure


def _is_map(cls: Any) -> bool:
    return get_origin(cls) is dict


def _map(cls: Any, converter: MsgpackConverter) -> _Hook:
    _, inner = get_args(cls)
    hook = converter.get_structure_hook(inner)

    def structure(value: Any, _: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise TypeError(f"should be a map, not {_kind(value)}")
        return dict(zip(value, _items(value.items(), hook, inner), strict=True))

    return structure


def _items(pairs: Any, hook: _Hook, inner: Any) -> list[Any]:
    """Every item structured; the first bad one is reported with its place."""
    found = []
    for place, item in pairs:
        try:
            found.append(hook(item, inner))
        except Exception as error:
            if isinstance(error, ProtocolError):
                raise
            error.add_note(IterableValidationNote(f"at {place}", place, inner))
            raise IterableValidationError("in a list or map", [error], inner) from None
    return found


def _record(cls: Any, converter: MsgpackConverter) -> _Hook:
    plain: _Hook = make_dict_structure_fn(cls, converter)
    check = CHECKS.get(cls)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise TypeError(f"should be a map, not {_kind(value)}")
        record = plain(value, cls)
        if check is not None:
            check(record)
        return record

    return structure
