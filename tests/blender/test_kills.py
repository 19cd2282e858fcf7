"""kill -9 of Blender and of the backend in the middle of a job: nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from artist import Artist, mesh_of

OTHER = Path(__file__).with_name("other_blender.py")
posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 on Windows")


@posix
def test_another_blender_takes_up_what_a_killed_one_began(backend: Artist, tmp_path: Path) -> None:
    blend = tmp_path / "work.blend"
    log = tmp_path / "first.log"
    first = subprocess.Popen(
        [sys.executable, str(OTHER), "generate", str(blend)],
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        text=True,
    )
    assert first.stdout is not None
    try:
        said = next((line for line in first.stdout if line.startswith("growing ")), "")
        assert said, log.read_text()
    finally:
        first.kill()
        first.wait()
    job_id = said.split()[1]

    second = subprocess.run(
        [sys.executable, str(OTHER), "reopen", str(blend)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert second.returncode == 0, second.stdout + second.stderr
    facts = json.loads(next(line for line in second.stdout.splitlines() if line.startswith("{")))
    assert facts["bones"] == 55
    assert facts["vertices"] > 3000
    assert facts["stray"] == []
    assert [job_id, "done"] in facts["jobs"]


@posix
def test_a_killed_backend_goes_on_where_it_was(backend: Artist, scene: Any) -> None:
    backend.open_photo()
    backend.settings.preset = "draft"
    job_id = backend.generate()
    backend.wait(backend.live_mesh, "a preview", 90)
    connection = backend.part("shared_protocol.connection")
    file = connection.default_connection_path()
    os.kill(connection.read_connection(file).pid, signal.SIGKILL)
    backend.wait(lambda: backend.session.link.state != "connected", "the loss", 30)

    backend.start_backend()
    backend.wait(backend.characters, "the character", 180)
    assert backend.session.book.get(job_id).state == "done"
    assert backend.live_mesh() is None
    assert len(mesh_of(backend.characters()[0]).data.vertices) > 3000
