"""Named arrays beside a header: which message has which, and raw bytes to checked arrays and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .errors import BLOB_DIGEST, MALFORMED, TOO_LARGE, ProtocolError
from .framing import BufferInfo
from .limits import Limits
from .messages import Chunk, FetchChunk, Preview, PutChunk

Arrays = Mapping[str, NDArray[Any]]
Dims = dict[str, int]

_DTYPES: Final = {name: np.dtype(name).newbyteorder("<") for name in ("float32", "int32", "uint8")}
_FACES_A_VERTEX: Final = 4
_SIZE_BESIDE_ZERO: Final = 1 << 20


@frozen
class ArraySpec:
    """One array that a message or document may carry."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    """A number is that size; a letter is one size, the same wherever it appears."""
    optional: bool = False
    below: int | str | None = None
    """Every entry is an index: at least 0 and less than this size."""


PREVIEW: Final = (
    ArraySpec("vertices", "float32", ("v", 3)),
    ArraySpec("colors", "uint8", ("v", 3)),
    ArraySpec("faces", "int32", ("f", 3), optional=True, below="v"),
)

MESSAGE_ARRAYS: Final[dict[type, tuple[ArraySpec, ...]]] = {
    Preview: PREVIEW,
    Chunk: (ArraySpec("data", "uint8", ("n",)),),
    PutChunk: (ArraySpec("data", "uint8", ("n",), optional=True),),
}
"""Messages that carry arrays; every other message has none."""


def digest(data: bytes | memoryview) -> str:
    """BLAKE2b-128 in hexadecimal."""
    return blake2b(data, digest_size=16).hexdigest()


def describe(arrays: Arrays) -> tuple[tuple[BufferInfo, ...], list[memoryview]]:
    """What the header says of ``arrays``, and their bytes; contiguous little-endian ones are not copied.

    Raises:
        ProtocolError: ``malformed`` for a dtype that does not travel.
    """
    infos = []
    frames = []
    for name, array in arrays.items():
        dtype = _DTYPES.get(array.dtype.name)
        if dtype is None:
            raise ProtocolError(
                MALFORMED, f"Array {name} is {array.dtype.name}; that does not travel."
            )
        frame = _raw(np.ascontiguousarray(array, dtype))
        infos.append(
            BufferInfo(
                name=name,
                dtype=array.dtype.name,
                shape=array.shape,
                length=frame.nbytes,
                digest=digest(frame),
            )
        )
        frames.append(frame)
    return tuple(infos), frames


def _raw(array: NDArray[Any]) -> memoryview:
    # memoryview.cast refuses shapes with a zero.
    return array.data.cast("B") if array.size else memoryview(b"")


def restore(
    infos: tuple[BufferInfo, ...],
    frames: tuple[memoryview, ...],
    specs: tuple[ArraySpec, ...],
    where: str,
) -> dict[str, NDArray[Any]]:
    """Read-only arrays over ``frames``; arrays that no spec names are passed over.

    Raises:
        ProtocolError: ``malformed`` for a wrong dtype, shape or length, or a name that comes twice;
            ``blob_digest`` for bytes that are not the sender's.
    """
    known = {spec.name: spec for spec in specs}
    arrays: dict[str, NDArray[Any]] = {}
    for info, frame in zip(infos, frames, strict=True):
        spec = known.get(info.name)
        if spec is None:
            continue
        if info.name in arrays:
            raise ProtocolError(MALFORMED, f"{where}: array {info.name} comes twice.")
        arrays[info.name] = _restore(info, frame, spec, f"{where}: array {info.name}")
    return arrays


def _restore(info: BufferInfo, frame: memoryview, spec: ArraySpec, where: str) -> NDArray[Any]:
    if info.dtype != spec.dtype:
        raise ProtocolError(MALFORMED, f"{where} is {info.dtype[:20]}, not {spec.dtype}.")
    if len(info.shape) != len(spec.shape) or any(size < 0 for size in info.shape):
        raise ProtocolError(MALFORMED, f"{where} has a wrong shape.")
    dtype = _DTYPES[spec.dtype]
    length = dtype.itemsize
    for size in info.shape:  # Python's integers do not overflow
        length *= size
    if length != info.length or length != frame.nbytes:
        raise ProtocolError(
            MALFORMED,
            f"{where} has {frame.nbytes} bytes; its shape needs {str(length)[:20]} and its header "
            f"says {info.length}.",
        )
    if digest(frame) != info.digest:
        raise ProtocolError(
            BLOB_DIGEST, f"{where} was changed on its way (its digest differs).", retryable=True
        )
    if 0 in info.shape:
        # NumPy multiplies the sizes that are left, and those may be absurd.
        if max(info.shape) > _SIZE_BESIDE_ZERO:
            raise ProtocolError(MALFORMED, f"{where} has a wrong shape.")
        array = np.zeros(info.shape, dtype)
    else:
        array = np.frombuffer(frame, dtype).reshape(info.shape)
    if not array.flags.aligned:
        array = array.copy()
    array.flags.writeable = False
    return array


def check_arrays(arrays: Arrays, specs: tuple[ArraySpec, ...], limits: Limits, where: str) -> Dims:
    """The sizes behind the letters of ``specs``.

    Raises:
        ProtocolError: ``malformed`` for a missing array, a wrong dtype or shape, a number that is not
            finite, an index out of range; ``too_large`` for too many vertices or faces.
    """
    dims: Dims = {}
    for spec in specs:
        array = arrays.get(spec.name)
        if array is None:
            if spec.optional:
                continue
            raise ProtocolError(MALFORMED, f"{where}: array {spec.name} is missing.")
        _check_shape(array, spec, dims, f"{where}: array {spec.name}")
    _check_counts(dims, limits, where)
    for spec in specs:
        if spec.name in arrays:
            _check_values(arrays[spec.name], spec, dims, f"{where}: array {spec.name}")
    return dims


def _check_shape(array: NDArray[Any], spec: ArraySpec, dims: Dims, where: str) -> None:
    if array.dtype.name != spec.dtype:
        raise ProtocolError(MALFORMED, f"{where} is {array.dtype.name}, not {spec.dtype}.")
    fits = array.ndim == len(spec.shape) and all(
        size == (want if isinstance(want, int) else dims.setdefault(want, size))
        for size, want in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(
            str(dims.get(want, want) if isinstance(want, str) else want) for want in spec.shape
        )
        raise ProtocolError(MALFORMED, f"{where} has shape {array.shape}, not ({wanted}).")


def _check_counts(dims: Dims, limits: Limits, where: str) -> None:
    for letter, name, most in (
        ("v", "vertices", limits.vertices),
        ("f", "faces", _FACES_A_VERTEX * limits.vertices),
    ):
        if dims.get(letter, 0) > most:
            raise ProtocolError(
                TOO_LARGE, f"{where} has {dims[letter]} {name}; at most {most} are allowed."
            )


def _check_values(array: NDArray[Any], spec: ArraySpec, dims: Dims, where: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ProtocolError(MALFORMED, f"{where} holds numbers that are not finite.")
    if spec.below is not None and array.size:
        below = dims[spec.below] if isinstance(spec.below, str) else spec.below
        if int(array.min()) < 0 or int(array.max()) >= below:
            raise ProtocolError(MALFORMED, f"{where} holds an index outside 0 to {below - 1}.")


def check_preview(content: Preview, dims: Dims) -> None:
    """Raises ProtocolError (``malformed``) where the counts and the arrays disagree."""
    if content.vertex_count != dims["v"] or content.face_count != dims.get("f", content.face_count):
        raise ProtocolError(MALFORMED, "preview: the counts are not those of its arrays.")


def check_chunk(content: Chunk | PutChunk, dims: Dims, limits: Limits) -> None:
    """Raises ProtocolError (``malformed``, ``too_large``) for a piece that does not fit its blob."""
    size = dims.get("n", 0)
    if size > limits.chunk_bytes:
        raise ProtocolError(
            TOO_LARGE, f"A chunk has {size} bytes; at most {limits.chunk_bytes} are allowed."
        )
    if content.offset + size > content.blob.size:
        raise ProtocolError(MALFORMED, "A chunk reaches beyond the end of its blob.")
    _check_blob_size(content, limits)


def check_fetch(content: FetchChunk, limits: Limits) -> None:
    """Raises ProtocolError (``too_large``) for a piece longer than a chunk may be."""
    if content.length > limits.chunk_bytes:
        raise ProtocolError(
            TOO_LARGE, f"{content.length} bytes at once; a chunk has at most {limits.chunk_bytes}."
        )
    _check_blob_size(content, limits)


def _check_blob_size(content: Chunk | PutChunk | FetchChunk, limits: Limits) -> None:
    if content.blob.size > limits.blob_bytes:
        raise ProtocolError(
            TOO_LARGE,
            f"A blob has {content.blob.size} bytes; at most {limits.blob_bytes} are allowed.",
        )


_CONTENT_CHECKS: Final[dict[type, Callable[[Any, Dims, Limits], None]]] = {
    Preview: lambda content, dims, _: check_preview(content, dims),
    Chunk: check_chunk,
    PutChunk: check_chunk,
    FetchChunk: lambda content, _, limits: check_fetch(content, limits),
}


def check_message(content: object, arrays: Arrays, limits: Limits, where: str) -> None:
    """All that a message's arrays must satisfy, alone and together with its content.

    Raises:
        ProtocolError: see :func:`check_arrays`.
    """
    dims = check_arrays(arrays, MESSAGE_ARRAYS.get(type(content), ()), limits, where)
    check = _CONTENT_CHECKS.get(type(content))
    if check is not None:
        check(content, dims, limits)
