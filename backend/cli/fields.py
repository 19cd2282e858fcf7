"""How options look in ``--help``."""

from __future__ import annotations

from typing import Annotated, Any

from tyro.conf import arg


def optional(metavar: str) -> Any:
    """An option that may be left out; its help does not say "default: None"."""
    return arg(metavar=metavar, help_behavior_hint="")


Flag = Annotated[bool, arg(help_behavior_hint="")]
