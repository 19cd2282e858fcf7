"""Another Blender with the installed extension, for the tests that kill one.

`other_blender.py generate FILE.blend`: ask for a character, save, say "growing JOB", go on until killed.
`other_blender.py reopen FILE.blend`: open the file and wait for the character; say what came, as JSON.
"""

import json
import sys
import time
from pathlib import Path

import bpy
from artist import Artist, backend_on_path, evaluated_vertices, mesh_of
from installed import disable, enabled


def generate(artist: Artist, blend: Path) -> None:
    artist.start_backend()
    artist.open_photo()
    artist.settings.preset = "draft"
    job_id = artist.generate()
    artist.wait(artist.live_mesh, "a preview", 90)
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    print(f"growing {job_id}", flush=True)
    while True:
        artist.session.tick()
        time.sleep(0.01)


def reopen(artist: Artist, blend: Path) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    artist.start_backend()
    artist.wait(artist.characters, "the character of the Blender that died", 180)
    character = artist.characters()[0]
    facts = {
        "bones": len(character.data.bones),
        "vertices": len(evaluated_vertices(mesh_of(character))),
        "stray": [o.name for o in bpy.data.objects if "(growing)" in o.name],
        "jobs": [(job.job_id, job.state) for job in artist.session.book.all()],
    }
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    backend_on_path()
    run = {"generate": generate, "reopen": reopen}[sys.argv[1]]
    run(Artist(enabled()), Path(sys.argv[2]))
    disable()
