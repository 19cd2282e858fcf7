"""Inside the windowed Blender: runs the code that the test leaves in a folder, on the main thread.

`blender --python bridge.py -- FOLDER`. A request is a file NAME.request of Python; the variable `value`
it leaves goes back as JSON in NAME.reply.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import bpy

FOLDER = Path(sys.argv[sys.argv.index("--") + 1])


def view(kind="VIEW_3D", region="WINDOW"):
    """The window, its first area of this kind and that area's region, for temp_override."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == kind)
    found = next(item for item in area.regions if item.type == region)
    return {"window": window, "area": area, "region": found}


def answer():
    for request in sorted(FOLDER.glob("*.request")):
        code = request.read_text(encoding="utf-8")
        request.unlink()
        names = {"bpy": bpy, "view": view, "value": None}
        try:
            exec(compile(code, request.name, "exec"), names)
            reply = {"value": names["value"]}
        except Exception:
            reply = {"error": traceback.format_exc()}
        partial = request.with_suffix(".partial")
        partial.write_text(json.dumps(reply), encoding="utf-8")
        os.replace(partial, request.with_suffix(".reply"))
    return 0.02


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(answer, persistent=True)
