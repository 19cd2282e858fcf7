"""Tests inside Blender as a Python module, against the extension as it was installed from its zip.

`make test-blender` runs them; elsewhere there is no bpy and nothing is collected.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
EXIT_STATUS = pytest.StashKey[int]()

if importlib.util.find_spec("bpy") is None:
    collect_ignore_glob = ["*"]
else:
    # Blender reads these once, while it is imported.
    SCRATCH = Path(tempfile.mkdtemp(prefix="humanref-blender-"))
    os.environ["BLENDER_USER_RESOURCES"] = str(SCRATCH / "blender")
    os.environ["XDG_RUNTIME_DIR"] = str(SCRATCH / "runtime")
    os.environ["XDG_DATA_HOME"] = str(SCRATCH / "data")
    for name in ("blender", "runtime", "data"):
        (SCRATCH / name).mkdir(mode=0o700)

    from scene_fixtures import data  # noqa: F401


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if "SCRATCH" not in globals():
        return
    import bpy

    shutil.rmtree(SCRATCH, ignore_errors=True)
    if bpy.app.version < (4, 3):
        # As a module, 4.2 crashes at exit once its own glTF exporter has run, with no add-on as well.
        # test_installed.py looks at our exits in processes of their own.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash.get(EXIT_STATUS, 3))


def pytest_sessionstart(session: pytest.Session) -> None:
    # Before the test modules are imported: the extension's wheels are theirs to import as well.
    if "SCRATCH" in globals():
        from installed import install

        install(built_zip())


def built_zip() -> Path:
    """The extension for this system, as `make addon` left it."""
    system = {"linux": "linux_x64", "darwin": "macos_*", "win32": "windows_x64"}[sys.platform]
    found = sorted((REPOSITORY / "build" / "addon").glob(f"humanref-*-{system}.zip"))
    assert len(found) == 1, f"expected one zip of {system}: {found}; run `make addon`"
    return found[0]


@pytest.fixture(scope="session")
def addon_zip() -> Path:
    """The extension for this system, as `make addon` left it."""
    return built_zip()


@pytest.fixture(scope="session")
def addon() -> Iterator[ModuleType]:
    """The installed and enabled add-on's package, disabled again at the end."""
    from installed import disable, enabled

    yield enabled()
    # Blender 4.2 crashes and 4.5 hangs at exit while one of our classes is registered.
    disable()


@pytest.fixture
def scene(addon: ModuleType) -> Iterator[Any]:
    """An empty scene of its own, the one that is shown."""
    import bpy

    before = bpy.context.window.scene if bpy.context.window else bpy.context.scene
    fresh = bpy.data.scenes.new("test")
    bpy.context.window.scene = fresh
    yield fresh
    if fresh.name in bpy.data.scenes:
        bpy.context.window.scene = before
        bpy.data.scenes.remove(fresh)


@pytest.fixture(scope="session")
def backend(addon: ModuleType) -> Iterator[Any]:
    """An artist whose backend runs: the `humanref` command of HUMANREF_PYTHON's environment."""
    from artist import Artist, backend_on_path

    backend_on_path()
    artist = Artist(addon)
    artist.start_backend()
    yield artist
    artist.session.stop_backend()
