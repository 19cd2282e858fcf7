"""Fixtures of the scene tests; conftest.py imports them once Blender may be imported."""

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import pytest
from scene_data import SceneData, make_arrays

_KINDS = (
    "collections",
    "objects",
    "meshes",
    "armatures",
    "cameras",
    "materials",
    "images",
    "actions",
)


@cache
def _arrays() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return make_arrays(Path(folder) / "scene.npz")


@pytest.fixture
def data(addon: ModuleType, scene: Any) -> Iterator[SceneData]:
    """The backend's bodies and character, a fresh scene to put them in, and a clean file afterwards."""
    kinds = [getattr(bpy.data, name) for name in _KINDS]
    before = [{block.name for block in kind} for kind in kinds]
    yield SceneData(addon, _arrays())
    if bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for kind, known in zip(kinds, before, strict=True):
        new = [block for block in kind if block.name not in known]
        for block in new:
            kind.remove(block)
