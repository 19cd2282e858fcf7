"""Files in pieces, up and down; on data."""

from __future__ import annotations

from attrs import frozen

from .pieces import BlobRef


@frozen(kw_only=True)
class PutChunk:
    """A piece of a blob. Buffers: ``data``. With no data it only asks how much is there already."""

    blob: BlobRef
    offset: int


@frozen(kw_only=True)
class ChunkStored:
    """Reply to ``put_chunk``: go on at ``offset``; whole when it equals the blob's size."""

    blob: BlobRef
    offset: int


@frozen(kw_only=True)
class FetchChunk:
    """Ask for a piece of a blob."""

    blob: BlobRef
    offset: int
    length: int


@frozen(kw_only=True)
class Chunk:
    """Reply to ``fetch_chunk``. Buffers: ``data``."""

    blob: BlobRef
    offset: int
