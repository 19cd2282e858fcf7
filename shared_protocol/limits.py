"""What one peer may ask of the other; the server says its own in ``welcome``."""

from __future__ import annotations

from attrs import evolve, frozen


@frozen(kw_only=True)
class Limits:
    """Checked before sending and again on arrival. ZeroMQ's own limit only cuts the line silently."""

    header_bytes: int = 1 << 20
    """MessagePack header of one message."""
    request_bytes: int = 64 << 10
    """The same for messages to the server: it reads them before it knows who sent them."""
    buffers: int = 8
    """Raw frames of one message."""
    message_bytes: int = 64 << 20
    """All frames of one message together."""
    depth: int = 8
    """Nesting of the header."""
    items: int = 10_000
    """Entries of any one list or map of the header."""
    chunk_bytes: int = 4 << 20
    """Largest piece of a blob in one message."""
    blob_bytes: int = 256 << 20
    """Largest blob (a photo, a result)."""
    image_pixels: int = 180_000_000
    """Pixels of a photo or map."""
    vertices: int = 2_000_000
    """Vertices of any mesh on the wire; a mesh has at most four times as many faces."""
    text_bytes: int = 10_000
    """UTF-8 bytes of any one string."""
    open_jobs: int = 16
    """Unfinished jobs of one owner."""
    requests_per_second: int = 200
    """Control messages of one session, averaged over a second; chunks are not counted."""

    @property
    def of_requests(self) -> Limits:
        """What the server allows messages to itself: shorter headers, else the same."""
        return evolve(self, header_bytes=min(self.header_bytes, self.request_bytes))
