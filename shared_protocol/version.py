"""The protocol's version, apart from the code's: docs/protocol.md specifies it."""

from typing import Final

MAJOR: Final = 1
"""Grows when an older peer would misunderstand a message; peers of another major part at once."""
MINOR: Final = 0
"""Grows with every added field or message type; an older peer ignores what it does not know."""

PROTOCOL: Final = f"{MAJOR}.{MINOR}"
