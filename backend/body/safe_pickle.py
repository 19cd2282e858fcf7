"""Pickle files without their danger: numbers, text, containers and numpy arrays, nothing else."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from backend.errors import HumanRefError


class _ArrayKind:
    """Stands for ``numpy.ndarray`` inside a pickle: an argument to pass on, nothing to call."""


def _empty_array(kind: object, shape: object, typecode: object) -> np.ndarray:
    """``multiarray._reconstruct``: the array gets its shape and values from its state later."""
    return np.empty(0, np.int8)


def _scalar(dtype: np.dtype, data: bytes | str) -> np.generic:
    """``multiarray.scalar``; frombuffer refuses objects."""
    raw = data.encode("latin1") if isinstance(data, str) else data
    value: np.generic = np.frombuffer(raw, dtype, count=1)[0]
    return value


def _array_from_buffer(
    buffer: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: str
) -> np.ndarray:
    """``numeric._frombuffer`` (protocol 5)."""
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode_latin1(text: str, encoding: str) -> bytes:
    """``_codecs.encode``, by which old protocols carry bytes; only this one encoding."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """``bytes()``: how old protocols write empty bytes."""
    return b""


def _allowed(module: str, name: str) -> Any:
    """Our stand-in for a global that an array's pickle refers to, None for every other global."""
    # numpy moved its core in 2.0, and files remember the place they were written at.
    place = module.replace("numpy._core.", "numpy.core.")
    return {
        ("numpy", "ndarray"): _ArrayKind,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
        ("collections", "OrderedDict"): dict,
        ("_codecs", "encode"): _encode_latin1,
        ("__builtin__", "bytes"): _no_bytes,
    }.get((place, name))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stand_in = _allowed(module, name)
        if stand_in is not None:
            return stand_in
        if module.split(".")[0] == "chumpy":
            raise HumanRefError(
                "parameters_unsafe",
                "The pickle holds chumpy objects, which cannot be read without running their code.",
                "Save the values as plain numpy arrays (np.array(value)), best as .npz.",
            )
        if module.split(".")[0] == "torch":
            raise HumanRefError(
                "parameters_unsafe",
                "The pickle holds torch tensors, which humanref does not read from pickles.",
                "Save the values as plain numpy arrays (value.detach().cpu().numpy()).",
            )
        raise HumanRefError(
            "parameters_unsafe",
            f"The pickle asks for {module}.{name}, which could run code on this computer.",
            "Save the values as plain numpy arrays, best as .npz.",
        )


def load_pickle(data: bytes) -> object:
    """Contents of a pickle made of builtin containers, numbers, text and numpy arrays.

    Raises:
        HumanRefError: ``parameters_unsafe`` for anything else in it.
        ValueError: if it is no pickle, or a damaged one.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except HumanRefError:
        raise
    except Exception as error:
        # A damaged pickle can raise almost anything (IndexError, UnicodeDecodeError, ...).
        raise ValueError(f"not a readable pickle ({error})") from error
