"""A backend as on another machine: keys, an encrypted line, and who is not let in."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from artist import Artist
from installed import PACKAGE


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the server's connection file and the keys of anna (allowed) and otto (not)."""
    folder = tmp_path_factory.mktemp("remote")
    humanref = Path(os.environ["HUMANREF_PYTHON"]).with_name("humanref")

    def run(*words: object) -> None:
        command = [humanref, "keys", *map(str, words), "--data-dir", folder / "data"]
        subprocess.run(command, check=True, capture_output=True)

    run("server")
    for name in ("anna", "otto"):
        run("client", name, "--to", folder)
    run("allow", folder / "anna.key")
    file = folder / "server.json"
    command = [humanref, "serve", "--curve", "--connection-file", file]
    server = subprocess.Popen([*command, "--data-dir", folder / "data"])
    try:
        end = time.monotonic() + 60
        while not file.exists():
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield folder
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def artist(addon: Any, remote: Path) -> Iterator[Artist]:
    """With the preferences of somebody who uses that machine."""
    artist = Artist(addon)
    artist.session.disconnect()
    preferences = bpy.context.preferences.addons[PACKAGE].preferences
    preferences.location = "remote"
    preferences.remote_file = str(remote / "server.json")
    yield artist
    artist.session.disconnect()
    artist.session.dismiss_problem()
    preferences.location = "local"
    preferences.remote_file = preferences.key_file = ""


def use_key(path: Path | str) -> None:
    bpy.context.preferences.addons[PACKAGE].preferences.key_file = str(path)


def test_an_allowed_key_opens_the_line(artist: Artist, remote: Path) -> None:
    use_key(remote / "anna.key_secret")
    assert bpy.ops.humanref.connect() == {"FINISHED"}
    artist.wait(lambda: artist.session.link.connected, "the remote backend", 30)


@pytest.mark.parametrize("key", ["otto.key_secret", ""])
def test_no_other_key_does(key: str, artist: Artist, remote: Path) -> None:
    use_key(remote / key if key else "")
    assert bpy.ops.humanref.connect() == {"FINISHED"}
    problem = artist.wait_for_problem(30)
    assert "key" in f"{problem.message} {problem.hint}"
    assert artist.session.link.state == "refused"


def test_a_key_file_that_is_none_is_said_in_words(artist: Artist, tmp_path: Path) -> None:
    bad = tmp_path / "letter.key_secret"
    bad.write_text("Dear Sir or Madam")
    use_key(bad)
    with pytest.raises(RuntimeError, match=r"\["):
        bpy.ops.humanref.connect()
    problem = artist.session.problem
    assert problem is not None
    assert problem.message
    assert problem.hint
