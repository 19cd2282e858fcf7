"""The state of the line to the backend, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..shared_protocol.messages import Welcome

LinkState = Literal["off", "starting", "connecting", "connected", "lost", "refused", "stopping"]


@dataclass(frozen=True)
class Link:
    """What the status line shows."""

    state: LinkState = "off"
    detail: str = ""
    """One sentence where something is wrong."""
    welcome: Welcome | None = None
    """Of the newest handshake; kept while the line is lost."""

    @property
    def connected(self) -> bool:
        """Whether requests are answered now."""
        return self.state == "connected"
