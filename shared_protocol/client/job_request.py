"""A job as its owner asked for it, before its files have gone up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from ..errors import TOO_LARGE, ProtocolError
from ..messages import BlobRef, Estimate, Maps, Submit

Source = Path | bytes
"""A file, or the bytes of one."""


@frozen
class JobRequest:
    """An estimate or a submit with its files still here."""

    kind: Literal["estimate", "generate"]
    job_id: str
    photo: Source
    photo_name: str
    maps: Mapping[str, Source]
    fields: Mapping[str, Any]
    previews: bool

    @property
    def name(self) -> str:
        """The photo's name, for people."""
        if self.photo_name or not isinstance(self.photo, Path):
            return self.photo_name or "photo"
        return self.photo.name

    def sources(self) -> dict[str, Source]:
        """Every file by its role: ``photo`` and the maps."""
        return {"photo": self.photo, **self.maps}

    def content(self, refs: Mapping[str, BlobRef]) -> Estimate | Submit:
        """The message, once the backend has every file; ``refs`` by role."""
        maps = Maps(**{role: ref for role, ref in refs.items() if role != "photo"})
        common = {"photo": refs["photo"], "photo_name": self.name, "maps": maps, **self.fields}
        return Estimate(**common) if self.kind == "estimate" else Submit(**common)


def read_source(source: Source, blob_bytes: int) -> tuple[BlobRef, bytes]:
    """The content of a source and its name on the wire.

    Raises:
        ProtocolError: ``photo_unreadable`` or ``too_large`` (more than ``blob_bytes``).
    """
    if isinstance(source, Path):
        try:
            size = source.stat().st_size
            data = b"" if size > blob_bytes else source.read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ProtocolError(
                "photo_unreadable",
                f"{source} cannot be read ({reason}).",
                "Check the name, and that you may open the file.",
            ) from error
    else:
        data, size = source, len(source)
    if size > blob_bytes:
        raise ProtocolError(
            TOO_LARGE,
            f"The file has {size / 1e6:.0f} MB; the backend takes {blob_bytes / 1e6:.0f} MB.",
            "Make the picture smaller.",
        )
    return BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data)), data
