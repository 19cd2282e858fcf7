"""Which hash encoding runs: the one place that decides."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from backend.errors import HumanRefError

if TYPE_CHECKING:
    from backend.field.encodings.grid import HashGridLayout
    from backend.field.encodings.protocol import HashEncoding
    from backend.settings import EncodingName

__all__ = ["make_encoding"]


def make_encoding(
    name: EncodingName, layout: HashGridLayout, device: str
) -> tuple[HashEncoding, str]:
    """The encoding to use on ``device`` (``"cpu"``, ``"cuda"``, ``"cuda:0"``), and one line on why.

    Raises:
        HumanRefError: ``encoding_unavailable`` if the named encoding cannot run on that device.
    """
    if name not in ("auto", "reference", "numba", "triton", "tinycudann"):
        raise HumanRefError(
            "encoding_unavailable",
            f"There is no encoding called {name!r}.",
            "Choose 'auto', 'numba', 'triton', 'tinycudann' or 'reference'.",
        )
    on_cpu = device.split(":")[0] == "cpu"
    if name == "reference":
        from backend.field.encodings.reference import ReferenceEncoding

        return ReferenceEncoding(layout), "asked for"
    if on_cpu:
        return _for_cpu(name, layout)
    return _for_gpu(name, layout, device)


def _for_cpu(name: EncodingName, layout: HashGridLayout) -> tuple[HashEncoding, str]:
    if name not in ("auto", "numba"):
        raise HumanRefError(
            "encoding_unavailable",
            f"The {name} encoding runs on an NVIDIA GPU, not on the CPU.",
            "Choose the encoding 'auto' or 'numba'.",
        )
    from backend.field.encodings.numba_cpu import NumbaEncoding

    return NumbaEncoding(layout), "asked for" if name == "numba" else "fastest on a CPU"


def _for_gpu(name: EncodingName, layout: HashGridLayout, device: str) -> tuple[HashEncoding, str]:
    if name == "numba":
        raise HumanRefError(
            "encoding_unavailable",
            f"The numba encoding runs on the CPU, not on {device}.",
            "Choose the encoding 'auto', 'triton' or 'reference'.",
        )
    from backend.field.encodings.reference import ReferenceEncoding
    from backend.field.encodings.tinycudann_cuda import TinyCudaEncoding, installed

    has_triton = find_spec("triton") is not None
    if name == "triton" and not has_triton:
        raise HumanRefError(
            "encoding_unavailable",
            "The triton encoding needs Triton, which is not installed.",
            "Install it (pip install triton; on Windows there is none), or choose 'reference'.",
        )
    slopes: HashEncoding = ReferenceEncoding(layout)
    if has_triton:
        from backend.field.encodings.triton_cuda import TritonEncoding

        slopes = TritonEncoding(layout)
    if name == "triton":
        return slopes, "asked for"
    if name == "tinycudann" or (name == "auto" and installed()):
        why = "asked for" if name == "tinycudann" else "tiny-cuda-nn is installed"
        told = f"{why}; Jacobians by {slopes.name}"
        return TinyCudaEncoding(layout, slopes), told
    if has_triton:
        return slopes, "fastest on a GPU without tiny-cuda-nn"
    return slopes, f"neither tiny-cuda-nn nor Triton is installed: the slow one runs on {device}"
