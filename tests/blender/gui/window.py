"""A real Blender window on a virtual screen, driven with a mouse and looked at with a camera."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1600, 1000


class WindowError(Exception):
    """Blender did not do what a person would have seen it do."""


class Window:
    """Blender of the Debian in ``root``; ``folder`` is seen at the same path on both sides."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._folder = folder
        self._requests = folder / "requests"
        self._requests.mkdir(parents=True)
        self._count = 0
        self._root = root
        self._screen: subprocess.Popen[bytes] | None = None
        self._blender: subprocess.Popen[bytes] | None = None
        self._environment = dict(os.environ)

    # -- life ---------------------------------------------------------------------------------------

    def __enter__(self) -> Window:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._blender is not None and self._blender.poll() is None:
            self.photograph(self._folder / "failed.png")
        self._stop()

    def _start(self) -> None:
        read, write = os.pipe()
        Path("/tmp/.X11-unix").mkdir(mode=0o1777, exist_ok=True)
        self._screen = subprocess.Popen(
            [
                *("Xvfb", "-displayfd", str(write), "-nolisten", "tcp", "+extension", "GLX"),
                *("-screen", "0", f"{WIDTH}x{HEIGHT}x24"),
            ],
            pass_fds=[write],
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise WindowError("Xvfb did not start")
        self._environment["DISPLAY"] = f":{number}"
        bridge = self._folder / "bridge.py"
        bridge.write_text((HERE / "bridge.py").read_text(encoding="utf-8"), encoding="utf-8")
        variables = {
            "DISPLAY": f":{number}",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "BLENDER_USER_RESOURCES": str(self._folder / "user"),
            "XDG_RUNTIME_DIR": str(self._folder / "runtime"),
            "XDG_DATA_HOME": str(self._folder / "data"),
            "HOME": str(self._folder / "home"),
            "LANG": "C.UTF-8",
            "PATH": f"{self._folder / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        for name in ("user", "runtime", "data", "home"):
            (self._folder / name).mkdir(mode=0o700, exist_ok=True)
        self._blender = subprocess.Popen(
            [
                *("bash", str(HERE / "enter_root.sh"), str(self._root), str(self._folder)),
                *("env", "-i", *(f"{name}={value}" for name, value in variables.items())),
                *("blender", "--gpu-backend", "opengl", "-noaudio"),
                *("--window-geometry", "0", "0", str(WIDTH), str(HEIGHT)),
                *("--python", str(bridge), "--", str(self._requests)),
            ],
            stdout=(self._folder / "blender.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.run("value = bpy.app.version_string", timeout=90)

    def _stop(self) -> None:
        if self._blender is not None and self._blender.poll() is None:
            os.killpg(self._blender.pid, signal.SIGKILL)
            self._blender.wait()
        if self._screen is not None:
            self._screen.terminate()
            self._screen.wait()

    # -- Python inside ------------------------------------------------------------------------------

    def run(self, code: str, timeout: float = 30) -> Any:
        """What ``code`` leaves in ``value``, run on Blender's main thread.

        Raises WindowError with Blender's traceback, or where no answer comes.
        """
        self._count += 1
        name = f"{self._count:05d}"
        partial = self._requests / f"{name}.new"
        partial.write_text(code, encoding="utf-8")
        partial.rename(self._requests / f"{name}.request")
        reply = self._requests / f"{name}.reply"
        until = time.monotonic() + timeout
        while not reply.exists():
            if self._blender is None or self._blender.poll() is not None:
                raise WindowError(f"Blender has ended:\n{self.log()[-4000:]}")
            if time.monotonic() > until:
                raise WindowError(f"no answer in {timeout:g} s to:\n{code}\n{self.log()[-4000:]}")
            time.sleep(0.01)
        answer = json.loads(reply.read_text(encoding="utf-8"))
        reply.unlink()
        if "error" in answer:
            raise WindowError(f"{code}\n{answer['error']}")
        return answer["value"]

    def wait_for(self, expression: str, timeout: float = 30) -> Any:
        """The first true value of a Python expression, asked again and again."""
        until = time.monotonic() + timeout
        while True:
            value = self.run(f"value = {expression}")
            if value:
                return value
            if time.monotonic() > until:
                raise WindowError(f"never came true in {timeout:g} s: {expression}")
            time.sleep(0.1)

    def log(self) -> str:
        """What Blender printed."""
        path = self._folder / "blender.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # -- eyes and hand ------------------------------------------------------------------------------

    def photograph(self, path: Path, quality: int | None = None) -> None:
        """The whole screen, as a picture file."""
        options = [] if quality is None else ["-quality", str(quality)]
        subprocess.run(
            ["import", "-window", "root", *options, str(path)], env=self._environment, check=True
        )

    def mouse(self, *actions: str) -> None:
        """Actions of xdotool, one command."""
        subprocess.run(["xdotool", *actions], env=self._environment, check=True)

    def point(self, x: int, y: int) -> None:
        """Move the pointer; ``y`` counts from the top of the screen."""
        self.mouse("mousemove", str(x), str(y))

    def click(self, x: int, y: int) -> None:
        """Move there and press the left button, slowly enough for Blender to notice both."""
        self.point(x - 3, y)
        time.sleep(0.05)
        self.point(x, y)
        time.sleep(0.15)
        self.mouse("mousedown", "1")
        time.sleep(0.05)
        self.mouse("mouseup", "1")
        time.sleep(0.1)
