"""What an artist does in the panel, as functions; the session's tick stands in for Blender's timer."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy

EXAMPLE = Path(__file__).parents[2] / "examples" / "photo.png"


class Artist:
    """At a Blender with the add-on in ``package``, looking at the scene that is shown."""

    def __init__(self, package: ModuleType) -> None:
        self._package = package.__name__

    def part(self, name: str) -> ModuleType:
        """A module of the add-on, ``scene.rig``."""
        return importlib.import_module(f"{self._package}.{name}")

    @property
    def session(self) -> Any:
        """The add-on's session."""
        return self.part("session.current").current_session()

    @property
    def settings(self) -> Any:
        """What the panel shows of the scene."""
        return bpy.context.scene.humanref

    # -- time ---------------------------------------------------------------------------------------

    def wait(self, until: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Let Blender's timers run until something is true. Problems that arrive meanwhile end it."""
        session = self.session
        end = time.monotonic() + seconds
        while True:
            session.tick()
            value = until()
            if value:
                return value
            problem = session.problem
            assert problem is None, f"while waiting for {what}: {problem}"
            assert time.monotonic() < end, f"{what}: not in {seconds:g} s; {self.state()}"
            time.sleep(0.01)

    def wait_for_problem(self, seconds: float = 60) -> Any:
        """The next problem that the panel would show."""
        session = self.session
        end = time.monotonic() + seconds
        while session.problem is None:
            assert time.monotonic() < end, f"no problem in {seconds:g} s; {self.state()}"
            session.tick()
            time.sleep(0.01)
        problem = session.problem
        session.dismiss_problem()
        return problem

    def state(self) -> str:
        """For messages: the line and the jobs."""
        session = self.session
        return f"{session.link}; {session.book.all()}; log: {session.log_tail()}"

    # -- the five steps -----------------------------------------------------------------------------

    def start_backend(self, seconds: float = 60) -> None:
        """Press Start; wait for a connection and a warm worker."""
        assert bpy.ops.humanref.start_backend() == {"FINISHED"}
        self.wait(self._warm, "the backend", seconds)

    def _warm(self) -> bool:
        link = self.session.link
        return bool(link.connected and link.welcome.ready)

    def open_photo(self, path: Path = EXAMPLE) -> None:
        """Choose a photo from a file."""
        assert bpy.ops.humanref.open_photo(filepath=str(path)) == {"FINISHED"}

    def estimate(self, seconds: float = 60) -> Any:
        """Press Estimate; the rig that comes."""
        before = self.settings.rig
        assert bpy.ops.humanref.estimate() == {"FINISHED"}
        self.wait(lambda: self.settings.rig not in (None, before), "the body", seconds)
        return self.settings.rig

    def generate(self) -> str:
        """Press Generate; the new job's id."""
        known = {job.job_id for job in self.session.book.all()}
        assert bpy.ops.humanref.generate() == {"FINISHED"}
        return next(job.job_id for job in self.session.book.all() if job.job_id not in known)

    def characters(self) -> list[Any]:
        """Armatures of finished characters in the scene."""
        return list(self.part("scene.character").find_characters(bpy.context.scene))

    def live_mesh(self) -> Any:
        """The growing mesh, if it is in the scene."""
        growing = [o for o in bpy.context.scene.objects if "(growing)" in o.name]
        return growing[0] if growing else None


def backend_on_path() -> None:
    """As after an installation: the terminal finds the ``humanref`` command."""
    folder = Path(os.environ["HUMANREF_PYTHON"]).parent
    assert (folder / "humanref").exists() or (folder / "humanref.exe").exists(), folder
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def mesh_of(armature: Any) -> Any:
    """The mesh that an armature moves."""
    found = [o for o in bpy.data.objects if o.type == "MESH" and o.find_armature() == armature]
    assert len(found) == 1, found
    return found[0]


def evaluated_vertices(mesh: Any) -> Any:
    """(v, 3) float32, world, as Blender shows them: after bones and modifiers."""
    import numpy as np

    bpy.context.view_layer.update()
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    vertices = np.empty(len(shown.data.vertices) * 3, np.float32)
    shown.data.vertices.foreach_get("co", vertices)
    matrix = np.array(shown.matrix_world, np.float32)
    return vertices.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
