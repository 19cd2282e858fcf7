"""A disk that fills up in the middle of the export: all or nothing, through the real command."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend import pipeline, results
from backend.cli import generate_command
from backend.files import write_whole

OLD = {"old.glb": b"old glb", "kept/mesh.ply": b"old ply", "kept/notes.txt": b"not ours"}


def full(path: Path) -> None:
    """What a full disk does to a writer of ours."""

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as disk:
        disk.setattr(os, "replace", no_space)
        write_whole(path, b"half")


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that is done at once; staging, commit and clean-up stay the command's own."""
    result = SimpleNamespace(character=None, providers={"guidance": "none"})

    def generate(*_: object, checkpoint: Path, **__: object) -> SimpleNamespace:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_bytes(b"the fit")
        return result

    monkeypatch.setattr(pipeline, "estimate", lambda *_: None)
    monkeypatch.setattr(pipeline, "generate", generate)
    numbers = {"faces": 1, "joints": 55, "height_m": 1.75}
    monkeypatch.setattr(results, "result_numbers", lambda *_: numbers)


def fill_at(monkeypatch: pytest.MonkeyPatch, failing: str | None) -> None:
    """Let the disk fill up while the file ``failing`` is written."""

    def write(path: Path) -> None:
        full(path) if path.name == failing else write_whole(path, b"new")

    writers = {name: write for name in generate_command.ARTIFACTS if name != "run.json"}
    monkeypatch.setattr(results, "write_character", lambda path, *_: write(path))
    monkeypatch.setattr(results, "result_files", lambda *_: writers)
    if failing == "run.json":

        def report(self: object, path: Path) -> None:
            full(path)

        monkeypatch.setattr(generate_command.RunReport, "write", report)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def places(folder: Path, glb: str) -> tuple[str, ...]:
    return ("-o", str(folder / glb), "--artifacts", str(folder / "kept"), "--device", "cpu")


@pytest.mark.parametrize("failing", ["a.glb", "turntable.png", "run.json"])
def test_a_full_disk_leaves_no_new_file(
    failing: str,
    portrait: Path,
    tmp_path: Path,
    fitted: None,
    humanref: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill_at(monkeypatch, failing)
    folder = tmp_path / "new"
    ended = humanref("generate", portrait, *places(folder, "deep/a.glb"))
    assert ended.code == 2
    assert "disk is full" in ended.err
    # The fit is not lost with the export: --resume writes it once there is space.
    assert "--resume" in ended.err
    asked_for = folder / ("deep" if failing == "a.glb" else "kept") / failing
    assert f"{asked_for} could not be written" in ended.err
    assert contents(folder) == {"deep/a.glb.checkpoint": b"the fit"}
    assert sorted(path.name for path in folder.rglob("*")) == ["a.glb.checkpoint", "deep"]


@pytest.mark.parametrize("failing", ["old.glb", "turntable.png", "run.json"])
def test_a_full_disk_leaves_the_old_files_of_a_forced_run(
    failing: str,
    portrait: Path,
    tmp_path: Path,
    fitted: None,
    humanref: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "work"
    for name, data in OLD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    fill_at(monkeypatch, failing)
    ended = humanref("generate", portrait, *places(folder, "old.glb"), "--force")
    assert ended.code == 2
    assert "disk is full" in ended.err
    assert contents(folder) == {**OLD, "old.glb.checkpoint": b"the fit"}


def test_with_space_the_same_command_writes_everything(
    portrait: Path,
    tmp_path: Path,
    fitted: None,
    humanref: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill_at(monkeypatch, None)
    folder = tmp_path / "new"
    ended = humanref("generate", portrait, *places(folder, "a.glb"))
    assert ended.code == 0, ended.err
    made = contents(folder)
    assert set(made) == {"a.glb", *(f"kept/{name}" for name in generate_command.ARTIFACTS)}
    assert made["a.glb"] == b"new"
