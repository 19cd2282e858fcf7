"""The extension in this Blender, put there the way an artist does: install from disk, enable."""

import importlib
from pathlib import Path
from types import ModuleType

import addon_utils
import bpy

PACKAGE = "bl_ext.user_default.humanref"


def install(zip_path: Path) -> ModuleType:
    """Install and enable; the package's module."""
    result = bpy.ops.extensions.package_install_files(
        filepath=str(zip_path), repo="user_default", enable_on_install=True
    )
    assert result == {"FINISHED"}, result
    return enabled()


def enabled() -> ModuleType:
    """The package's module of the extension that was installed before."""
    if PACKAGE not in bpy.context.preferences.addons:
        addon_utils.enable(PACKAGE, default_set=True, handle_error=_raise)
    assert PACKAGE in bpy.context.preferences.addons
    return importlib.import_module(PACKAGE)


def disable() -> None:
    """Unregister everything of ours."""
    addon_utils.disable(PACKAGE, default_set=True, handle_error=_raise)


def _raise(error: BaseException) -> None:
    raise error
