"""How large a picture file is, from its header alone: before anything is decoded or a job begins."""

from __future__ import annotations

import warnings
from pathlib import Path

from shared_protocol.errors import ProtocolError


def check_pixels(file: Path, most: int) -> None:
    """Refuse a picture of more than ``most`` pixels; what is no picture is the worker's to refuse.

    Raises:
        ProtocolError: ``photo_too_large``.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(file) as image:
                pixels = image.width * image.height
        except Image.DecompressionBombError:
            # Pillow's own limit lies a little below ours: it says no more than that.
            pixels = most + 1
        except Exception:
            # A damaged header raises whatever its format's reader trips over.
            return
    if pixels > most:
        raise ProtocolError(
            "photo_too_large",
            f"A picture has more pixels than this server takes ({most / 1e6:.0f} million).",
            "Scale it down first: 2048 pixels on the longest side is all that is used.",
        )
