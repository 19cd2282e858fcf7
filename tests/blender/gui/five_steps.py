"""The five steps of the panel in a real window, clicked through; a picture of each in build/gui/.

`python tests/blender/gui/five_steps.py`, as root, after make_root.sh; `make test-gui` does both.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sidebar import Sidebar
from window import HEIGHT, Window, WindowError

REPOSITORY = Path(__file__).resolve().parents[3]
ROOT = REPOSITORY / "build" / "gui-root"
OUT = REPOSITORY / "build" / "gui"

_HUMANREF = """
import importlib
def part(name):
    return importlib.import_module("bl_ext.user_default.humanref." + name)
session = part("session.current").current_session()
scene = bpy.context.window_manager.windows[0].scene
settings, objects = scene.humanref, scene.objects
characters = part("scene.character").find_characters(scene)
"""

_HEAD = "characters[-1].pose.bones['head'].tail.z"
_WRIST = "characters[-1].pose.bones['{}_wrist'].head"
_ARM_SPAN = f"({_WRIST.format('left')} - {_WRIST.format('right')}).length"


class Steps:
    """One artist's afternoon."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._panel = Sidebar(window)

    def wait(self, code: str, seconds: float) -> object:
        """The first true value of an expression; a problem in the panel ends it."""
        end = time.monotonic() + seconds
        while True:
            value, problem, state = self._window.run(
                f"{_HUMANREF}\nvalue = [{code}, str(session.problem or ''), str(session.link)]"
            )
            if problem:
                raise WindowError(f"while waiting for {code}: {problem}")
            if value:
                return value
            if time.monotonic() > end:
                raise WindowError(f"never came true in {seconds:g} s: {code}; {state}")
            time.sleep(0.05)

    def picture(self, name: str) -> None:
        """Photograph the window as an artist sees it, the pointer out of the way."""
        self._window.point(700, HEIGHT - 10)
        # Tooltips fade and the viewport is drawn once more.
        time.sleep(0.8)
        self._window.photograph(OUT / f"{name}.png")

    # -- the steps ----------------------------------------------------------------------------------

    def backend(self) -> None:
        """Start it with the button; see who computes."""
        self._window.run("for o in list(bpy.data.objects): bpy.data.objects.remove(o)")
        self._panel.open()
        self._panel.press("humanref.start_backend")
        self.wait("session.link.connected and session.link.welcome.ready", 90)
        self.picture("blender-1-backend")

    def photo(self) -> None:
        """As a drop into the viewport does it."""
        photo = OUT / "photo.png"
        shutil.copy(REPOSITORY / "examples" / "photo.png", photo)
        self._window.run(
            "with bpy.context.temp_override(**view()):\n"
            f"    bpy.ops.humanref.open_photo('INVOKE_DEFAULT', filepath={str(photo)!r})"
        )
        self.wait("settings.photo is not None", 5)
        self._window.wait_for(
            "view()['area'].spaces.active.region_3d.view_perspective == 'CAMERA'", 5
        )
        self.picture("blender-2-photo")

    def body(self) -> None:
        """Estimate; turn a bone; fit the rest again."""
        self._panel.press("humanref.estimate")
        self.wait("settings.rig is not None", 60)
        self._window.run(
            f"{_HUMANREF}\n"
            "import math\n"
            "from mathutils import Quaternion\n"
            "rig = settings.rig\n"
            "with bpy.context.temp_override(**view()):\n"
            "    bpy.context.view_layer.objects.active = rig\n"
            "    rig.select_set(True)\n"
            "    bpy.ops.object.mode_set(mode='POSE')\n"
            "bone = rig.pose.bones['left_elbow']\n"
            "bone.rotation_mode = 'QUATERNION'\n"
            "bone.rotation_quaternion = Quaternion((0, 0, 1), 0.3) @ bone.rotation_quaternion\n"
        )
        self.wait("part('scene.posing').edited_joints(settings.rig) == ('left_elbow',)", 5)
        self.picture("blender-3-body")
        self._panel.press("humanref.refit")
        self.wait("part('scene.posing').edited_joints(settings.rig) == ()", 60)

    def generate(self) -> None:
        """Watch it grow."""
        self._window.run(f"{_HUMANREF}\nsettings.preset = 'draft'")
        self._panel.press("humanref.generate")
        self.wait("[o.name for o in objects if 'growing' in o.name]", 60)
        self._panel.to_the_end()
        self.wait("max(job.fraction for job in session.book.active()) > 0.4", 60)
        self.picture("blender-4-generate")

    def result(self) -> None:
        """The character, and its rest pose."""
        found = (
            "part('scene.character').find_characters(bpy.context.window_manager.windows[0].scene)"
        )
        self.wait(f"len({found})", 180)
        self._stand_aside()
        self._panel.to_the_end()
        self.picture("blender-5-result")
        self._panel.press("humanref.rest_pose(pose='T'")
        self.wait(f"{_ARM_SPAN} > 0.65 * {_HEAD}", 10)
        self._stand_aside()
        self.picture("blender-6-rest-pose")

    def stop(self) -> None:
        """Stop the backend with its button."""
        self._panel.press("humanref.stop_backend")
        self.wait("session.link.state == 'off'", 20)

    def _stand_aside(self) -> None:
        """Leave the photo's camera and look at the character from the side."""
        self._window.run(
            f"{_HUMANREF}\n"
            "from mathutils import Euler\n"
            "with bpy.context.temp_override(**view()):\n"
            "    seen = view()['area'].spaces.active.region_3d\n"
            "    seen.view_perspective = 'PERSP'\n"
            "    seen.view_rotation = Euler((1.45, 0, 0.55)).to_quaternion()\n"
            "    characters[-1].select_set(True)\n"
            "    bpy.ops.view3d.view_selected()\n"
            "    bpy.ops.object.select_all(action='DESELECT')\n"
        )
        time.sleep(0.5)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    (addon,) = (REPOSITORY / "build" / "addon").glob("humanref-*-linux_x64.zip")
    shutil.copy(addon, OUT)
    put_humanref_on_path(OUT / "bin")
    try:
        with Window(ROOT, OUT) as window:
            version = window.run("value = bpy.app.version_string")
            print(f"== Blender {version} in a window", flush=True)
            window.run(
                "bpy.ops.extensions.package_install_files("
                f"filepath={str(OUT / addon.name)!r}, repo='user_default', enable_on_install=True)"
            )
            steps = Steps(window)
            each: list[Callable[[], None]] = [
                *(steps.backend, steps.photo, steps.body, steps.generate, steps.result)
            ]
            for step in each:
                began = time.monotonic()
                step()
                print(f"{step.__name__}: {time.monotonic() - began:.1f} s", flush=True)
            steps.stop()
            if "Traceback" in window.log():
                raise WindowError(f"Blender complained:\n{window.log()}")
    except WindowError as error:
        print(f"test-gui failed: {error}", file=sys.stderr)
        return 1
    finally:
        stop_backend(OUT / "runtime" / "humanref" / "backend.json")
    print(f"pictures: {OUT}\n{len(each)} passed, 0 failed")
    return 0


def stop_backend(connection: Path) -> None:
    """End a backend that a failed run has left; one that was stopped has taken its file away."""
    for _ in range(100):
        if not connection.exists():
            return
        with suppress(ProcessLookupError):
            os.kill(json.loads(connection.read_text(encoding="utf-8"))["pid"], signal.SIGTERM)
        time.sleep(0.1)


def put_humanref_on_path(folder: Path) -> None:
    """A `humanref` for the Debian inside: the one of this environment, run outside with all its libraries."""
    command = Path(sys.executable).with_name("humanref")
    folder.mkdir()
    script = folder / "humanref"
    # The root of this process, seen through /proc, is the way out of Blender's root.
    script.write_text(f'#!/bin/sh\nexec chroot /proc/{os.getpid()}/root "{command}" "$@"\n')
    script.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
