"""A Blender of its own that undoes and redoes while a mesh grows and after it was imported.

Undo makes every reference of Python invalid, those of fixtures as well: hence a process for it alone.
Prints "well" at its end.
"""

import importlib
import tempfile
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
from installed import disable, enabled
from scene_data import SceneData, make_arrays
from test_ui_arrivals import Postman, live


def tell(postman: Postman) -> None:
    while_it_grows(postman)
    after_the_import(postman)


def while_it_grows(postman: Postman) -> None:
    bpy.ops.ed.undo_push(message="start")
    postman.ask("first", "generate")
    postman.preview("first")
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="cube")
    postman.preview("first", 2)
    assert bpy.ops.ed.undo() == {"FINISHED"}
    postman.arrivals.after_undo()
    assert [job.job_id for job in postman.jobs.open_jobs()] == ["first"]
    postman.preview("first", 3)
    assert len(live()) == 1
    assert np.isclose(live()[0].data.vertices[1].co.length, 3.0)
    postman.arrivals.end("first")
    assert live() == []
    # The step that comes back was made while the mesh grew: it must not bring the mesh back.
    assert bpy.ops.ed.redo() == {"FINISHED"}
    postman.arrivals.after_undo()
    assert live() == []


def after_the_import(postman: Postman) -> None:
    bpy.ops.ed.undo_push(message="start")
    postman.ask("second", "generate")
    postman.preview("second")
    postman.result("second")
    assert len(postman.characters()) == 1
    assert bpy.ops.ed.undo() == {"FINISHED"}
    postman.arrivals.after_undo()
    assert postman.characters() == []
    assert live() == []
    found = postman.jobs.find("second")
    assert found is not None
    # Undone on purpose: it must not come back by itself, only from the job list.
    assert found[1].delivered


def main(addon: ModuleType) -> None:
    def part(name: str) -> ModuleType:
        return importlib.import_module(f"{addon.__name__}.{name}")

    with tempfile.TemporaryDirectory() as folder:
        data = SceneData(addon, make_arrays(Path(folder) / "scene.npz"))
    tell(Postman(part, part("session.current").current_scene_jobs(), data))


if __name__ == "__main__":
    main(enabled())
    disable()
    print("well", flush=True)
