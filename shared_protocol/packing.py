"""Documents (a body to pose, a finished character) as bytes: the blobs that travel in chunks.

docs/protocol.md, "Documents", specifies the container: magic, header length, MessagePack header, then raw
little-endian arrays that begin at multiples of 64 bytes.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Any, Final, TypeVar, cast

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from .arrays import Arrays, ArraySpec, check_arrays, describe, restore
from .content import from_tree, to_tree
from .documents import BodyTemplate, CharacterData
from .errors import MALFORMED, PROTOCOL_MISMATCH, TOO_LARGE, ProtocolError
from .framing import BufferInfo, Frame
from .limits import Limits
from .messages import BlobRef, Camera, PhotoInfo, Pose
from .skeleton import N_JOINTS
from .tree import pack_tree, unpack_tree
from .version import MAJOR

MAGIC: Final = f"HRDOC{MAJOR}\r\n".encode()
"""A text-mode copy spoils the line ending, and with it the file: at its first bytes."""
ALIGNMENT: Final = 64

_LENGTH: Final = struct.Struct("<I")
_WEIGHT_TOLERANCE: Final = 1e-3
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_REGIONS: Final = 5

TEMPLATE_ARRAYS: Final = (
    ArraySpec("vertices", "float32", ("v", 3)),
    ArraySpec("shape_directions", "float32", ("v", 3, "b")),
    ArraySpec("joints", "float32", (N_JOINTS, 3)),
    ArraySpec("joint_directions", "float32", (N_JOINTS, 3, "b")),
    ArraySpec("faces", "int32", ("f", 3), below="v"),
    ArraySpec("skin_indices", "uint8", ("v", 8), below=N_JOINTS),
    ArraySpec("skin_weights", "float32", ("v", 8)),
    ArraySpec("regions", "uint8", ("v",), below=_REGIONS),
)
CHARACTER_ARRAYS: Final = (
    ArraySpec("vertices", "float32", ("v", 3)),
    ArraySpec("rest_vertices", "float32", ("v", 3)),
    ArraySpec("faces", "int32", ("f", 3), below="v"),
    ArraySpec("colors", "uint8", ("v", 3)),
    ArraySpec("skin_indices", "uint8", ("v", 4), below=N_JOINTS),
    ArraySpec("skin_weights", "float32", ("v", 4)),
    ArraySpec("rest_joints", "float32", (N_JOINTS, 3)),
    ArraySpec("joints", "float32", (N_JOINTS, 3)),
    ArraySpec("uv", "float32", ("c", 2)),
    ArraySpec("texture", "uint8", ("t",)),
)

T = TypeVar("T")


@frozen(kw_only=True)
class TemplateFields:
    """What a body template's header says beside its arrays."""

    model: str
    licence: str


@frozen(kw_only=True)
class CharacterFields:
    """What a character's header says beside its arrays."""

    name: str
    pose: Pose
    camera: Camera
    photo: PhotoInfo


@frozen(kw_only=True)
class _Header:
    type: str
    arrays: tuple[BufferInfo, ...]


def blob_ref(data: Frame) -> BlobRef:
    """The name of ``data`` on the wire."""
    return BlobRef(sha256=sha256(data).hexdigest(), size=memoryview(data).nbytes)


def pack_template(template: BodyTemplate, limits: Limits | None = None) -> bytes:
    """A body template as bytes; the same template gives the same bytes.

    Raises:
        ProtocolError: whatever :func:`unpack_template` would raise.
    """
    arrays = {spec.name: getattr(template, spec.name) for spec in TEMPLATE_ARRAYS}
    fields = TemplateFields(model=template.model, licence=template.licence)
    _check_template(arrays, limits or Limits())
    return _pack("body_template", fields, arrays, limits or Limits())


def unpack_template(data: Frame, limits: Limits | None = None) -> BodyTemplate:
    """The body template in ``data``; its arrays are read-only views of it.

    Raises:
        ProtocolError: ``malformed``, ``too_large``, ``blob_digest``, ``protocol_mismatch``.
    """
    allowed = limits or Limits()
    fields, arrays = _unpack("body_template", data, TemplateFields, TEMPLATE_ARRAYS, allowed)
    _check_template(arrays, allowed)
    return BodyTemplate(model=fields.model, licence=fields.licence, **arrays)


def pack_character(character: CharacterData, limits: Limits | None = None) -> bytes:
    """A character as bytes; the same character gives the same bytes.

    Raises:
        ProtocolError: whatever :func:`unpack_character` would raise.
    """
    arrays = {
        spec.name: getattr(character, spec.name)
        for spec in CHARACTER_ARRAYS
        if spec.name != "texture"
    }
    arrays["texture"] = np.frombuffer(character.texture, np.uint8)
    fields = CharacterFields(
        name=character.name,
        pose=character.pose,
        camera=character.camera,
        photo=character.photo,
    )
    _check_character(arrays, limits or Limits())
    return _pack("character", fields, arrays, limits or Limits())


def unpack_character(data: Frame, limits: Limits | None = None) -> CharacterData:
    """The character in ``data``; its arrays are read-only views of it.

    Raises:
        ProtocolError: ``malformed``, ``too_large``, ``blob_digest``, ``protocol_mismatch``.
    """
    allowed = limits or Limits()
    fields, arrays = _unpack("character", data, CharacterFields, CHARACTER_ARRAYS, allowed)
    _check_character(arrays, allowed)
    texture = arrays.pop("texture").tobytes()
    return CharacterData(
        name=fields.name,
        pose=fields.pose,
        camera=fields.camera,
        photo=fields.photo,
        texture=texture,
        **arrays,
    )


def _pack(kind: str, fields: object, arrays: Arrays, limits: Limits) -> bytes:
    infos, buffers = describe(arrays)
    tree = {"type": kind, "fields": to_tree(fields), "arrays": [asdict(info) for info in infos]}
    header = pack_tree(tree, limits)
    # Read back what was written: a mistake shows where it was made, not at the reader.
    from_tree(unpack_tree(header, limits)["fields"], type(fields), kind)
    pieces: list[bytes | memoryview] = [MAGIC, _LENGTH.pack(len(header)), header]
    end = sum(len(piece) for piece in pieces)
    for buffer in buffers:
        start = _aligned(end)
        pieces += [bytes(start - end), buffer]
        end = start + buffer.nbytes
    _check_size(end, limits)
    return b"".join(pieces)


def _unpack(
    kind: str, data: Frame, cls: type[T], specs: tuple[ArraySpec, ...], limits: Limits
) -> tuple[T, dict[str, NDArray[Any]]]:
    view = memoryview(data).cast("B")
    _check_size(view.nbytes, limits)
    tree, end = _read_header(view, limits)
    header = from_tree(tree, _Header, "Document")
    if header.type != kind:
        raise ProtocolError(MALFORMED, f"A document is a {header.type[:40]!r}, not a {kind!r}.")
    frames = []
    for info in header.arrays:
        start = _aligned(end)
        end = start + info.length
        if info.length < 0 or end > view.nbytes:
            raise ProtocolError(
                MALFORMED, f"{kind}: the file ends before array {info.name[:40]!r}."
            )
        frames.append(view[start:end])
    if end != view.nbytes:
        raise ProtocolError(MALFORMED, f"{kind}: the file goes on after its last array.")
    arrays = restore(header.arrays, tuple(frames), specs, kind)
    return from_tree(tree.get("fields"), cls, kind), arrays


def _read_header(view: memoryview, limits: Limits) -> tuple[dict[str, Any], int]:
    magic = view[: len(MAGIC)]
    if magic != MAGIC:
        if bytes(magic[:5]) == MAGIC[:5] and bytes(magic[6:]) == MAGIC[6:]:
            version = bytes(magic[5:6]).decode("ascii", "replace")
            raise ProtocolError(
                PROTOCOL_MISMATCH,
                f"A document is of version {version}, this side reads version {MAJOR}.",
                "Update the older of add-on and backend.",
            )
        raise ProtocolError(MALFORMED, "A file is no HumanRef document.")
    begin = len(MAGIC) + _LENGTH.size
    if view.nbytes < begin:
        raise ProtocolError(MALFORMED, "A document ends before its header.")
    (length,) = _LENGTH.unpack(view[len(MAGIC) : begin])
    if begin + length > view.nbytes:
        raise ProtocolError(MALFORMED, "A document ends before its header does.")
    return unpack_tree(view[begin : begin + length], limits), begin + length


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.blob_bytes:
        raise ProtocolError(
            TOO_LARGE, f"A document has {size} bytes; at most {limits.blob_bytes} are allowed."
        )


def _check_template(arrays: Arrays, limits: Limits) -> None:
    check_arrays(arrays, TEMPLATE_ARRAYS, limits, "body_template")
    _check_weights(arrays["skin_weights"], "body_template")


def _check_character(arrays: Arrays, limits: Limits) -> None:
    dims = check_arrays(arrays, CHARACTER_ARRAYS, limits, "character")
    _check_weights(arrays["skin_weights"], "character")
    if dims["c"] not in (0, 3 * dims["f"]):
        raise ProtocolError(MALFORMED, "character: uv has neither three rows a face nor none.")
    if dims["t"]:
        if arrays["texture"][: len(_PNG)].tobytes() != _PNG:
            raise ProtocolError(MALFORMED, "character: the texture is no PNG.")
        if not dims["c"]:
            raise ProtocolError(MALFORMED, "character: a texture without uv.")


def _check_weights(weights: NDArray[Any], where: str) -> None:
    low = cast(float, weights.min(initial=0.0))
    off = cast(float, np.abs(weights.sum(axis=1) - 1.0).max(initial=0.0))
    if low < 0.0 or not off <= _WEIGHT_TOLERANCE:
        raise ProtocolError(
            MALFORMED, f"{where}: skin_weights are not all positive with a sum of 1 a vertex."
        )
