"""Text that was made elsewhere, made fit for a message."""

from __future__ import annotations

_MOST = 1000


def plain(text: str, most: int = _MOST) -> str:
    """``text`` with at most ``most`` characters that all have UTF-8 (file names may not)."""
    clean = text.encode(errors="replace").decode()
    return clean if len(clean) <= most else clean[: most - 1] + "…"
