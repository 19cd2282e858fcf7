"""Which hash encoding runs: the one place that decides."""

from __future__ import annotations

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
    from backend.field.encodings.reference import ReferenceEncoding

    on_cpu = device.split(":")[0] == "cpu"
    if name == "reference":
        return ReferenceEncoding(layout), "asked for"
    if name == "numba" and not on_cpu:
        raise HumanRefError(
            "encoding_unavailable",
            f"The numba encoding runs on the CPU, not on {device}.",
            "Choose the encoding 'auto' or 'reference'.",
        )
    if name == "numba" or (name == "auto" and on_cpu):
        from backend.field.encodings.numba_cpu import NumbaEncoding

        return NumbaEncoding(layout), "asked for" if name == "numba" else "fastest on a CPU"
    if name == "auto":
        return ReferenceEncoding(layout), f"the only encoding of this version that runs on {device}"
    raise HumanRefError(
        "encoding_unavailable",
        f"There is no encoding called {name!r}.",
        "Choose 'auto', 'numba' or 'reference'.",
    )
