"""What Blender knows this add-on by."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

ROOT = __package__
"""``bl_ext.<repository>.humanref`` once installed: the key of its preferences and data folder."""


@cache
def addon_version() -> str:
    """The version in the manifest."""
    manifest = Path(__file__).parent / "blender_manifest.toml"
    return str(tomllib.loads(manifest.read_text("utf-8"))["version"])
