import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from backend.cli.output import OutputFiles, check_inputs, check_outputs, check_suffix
from backend.errors import HumanRefError


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refusal(call: object, *args: object, **options: object) -> str:
    with pytest.raises(HumanRefError) as refused:
        call(*args, **options)  # type: ignore[operator]
    return refused.value.code


def test_files_appear_together_under_their_own_names(tmp_path: Path) -> None:
    outputs = [tmp_path / "new" / "deep" / "a.glb", tmp_path / "kept" / "a.png"]
    with OutputFiles() as files:
        for path in outputs:
            staged = files.stage(path)
            assert staged.suffix == path.suffix
            staged.write_text(path.name)
            assert not path.exists()
        assert files.commit() == outputs
    assert tree(tmp_path) == ["kept", "kept/a.png", "new", "new/deep", "new/deep/a.glb"]
    assert outputs[1].read_text() == "a.png"


def write_and_fail(folder: Path, error: BaseException) -> None:
    with OutputFiles() as files:
        files.stage(folder / "old.glb").write_text("half")
        files.stage(folder / "new" / "deep" / "a.png").write_text("half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), HumanRefError("x", "y"), OSError(5, "io")])
def test_nothing_is_left_when_the_work_fails(tmp_path: Path, error: BaseException) -> None:
    old = tmp_path / "old.glb"
    old.write_text("old")
    with pytest.raises(type(error)):
        write_and_fail(tmp_path, error)
    assert tree(tmp_path) == ["old.glb"]
    assert old.read_text() == "old"


def test_a_folder_that_got_other_files_is_kept(tmp_path: Path) -> None:
    with OutputFiles() as files:
        files.stage(tmp_path / "new" / "a.glb").write_text("half")
        (tmp_path / "new" / "a.glb.checkpoint").write_text("kept")
    assert tree(tmp_path) == ["new", "new/a.glb.checkpoint"]


def test_a_writer_that_fails_is_told_by_the_place_asked_for(tmp_path: Path) -> None:
    final = tmp_path / "a.glb"

    def write() -> None:
        with OutputFiles() as files:
            raise HumanRefError("disk_full", f"No room for {files.stage(final)}.", "Free some.")

    with pytest.raises(HumanRefError) as refused:
        write()
    assert refused.value.message == f"No room for {final}."


def test_a_failed_move_puts_every_old_file_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a.glb", tmp_path / "run.json"
    first.write_text("old a")
    second.write_text("old run")
    real = os.replace

    def locked(source: Path, target: Path) -> None:
        if Path(source).name == "run.json" and Path(target) == second:
            raise PermissionError(errno.EACCES, "open in another program", str(target))
        real(source, target)

    with OutputFiles() as files:
        files.stage(first).write_text("new a")
        files.stage(second).write_text("new run")
        monkeypatch.setattr(os, "replace", locked)
        assert refusal(files.commit) == "unwritable"
        monkeypatch.undo()
    assert (first.read_text(), second.read_text()) == ("old a", "old run")
    assert tree(tmp_path) == ["a.glb", "run.json"]


@pytest.mark.parametrize("stop_at", range(1, 5))
@pytest.mark.parametrize("moved", [False, True], ids=["before the move", "after the move"])
def test_ctrl_c_between_two_moves_puts_every_old_file_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, moved: bool
) -> None:
    """The moves are: a.glb away, a.glb in, b.png in (new), run.json away, run.json in."""
    old = {"a.glb": "old a", "run.json": "old run"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    real, calls = os.replace, 0

    def stopped(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls != stop_at or moved:
            real(source, target)
        if calls == stop_at:
            raise KeyboardInterrupt

    def work() -> None:
        with OutputFiles() as files:
            for name in ("a.glb", "b.png", "run.json"):
                files.stage(tmp_path / name).write_text(f"new {name}")
            monkeypatch.setattr(os, "replace", stopped)
            files.commit()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old


def test_an_old_file_that_cannot_be_put_back_is_kept_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "a.glb"
    old.write_text("old")
    real = os.replace

    def only_away(source: Path, target: Path) -> None:
        if Path(target) == old:
            raise PermissionError(errno.EACCES, "open in another program", str(target))
        real(source, target)

    def work() -> None:
        with OutputFiles() as files:
            files.stage(old).write_text("new")
            files.commit()

    monkeypatch.setattr(os, "replace", only_away)
    with pytest.raises(HumanRefError) as refused:
        work()
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file() and "old" in path.read_text()]
    assert str(kept) in refused.value.hint


def test_outputs_are_checked_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, plain = tmp_path / "photo.png", tmp_path / "taken.glb"
    photo.write_text("photo")
    plain.write_text("taken")
    before = tree(tmp_path)
    options = {"force": False, "needed_bytes": 1}
    new = tmp_path / "new" / "a.glb"
    check_outputs([new], [photo], force=False, needed_bytes=1)
    assert refusal(check_outputs, [plain], [photo], **options) == "output_exists"
    check_outputs([plain], [photo], force=True, needed_bytes=1)
    assert refusal(check_outputs, [photo], [photo], force=True, needed_bytes=1) == "output_is_input"
    assert refusal(check_outputs, [new, new], [], **options) == "output_clash"
    inside = tmp_path / "b.glb" / "run.json"
    assert refusal(check_outputs, [tmp_path / "b.glb", inside], [], **options) == "output_clash"
    assert refusal(check_outputs, [tmp_path], [], **options) == "output_folder"
    assert refusal(check_outputs, [tmp_path / ("a" * 300)], [], **options) == "write_failed"
    # Root may write everywhere; nobody can make a folder inside a regular file.
    assert refusal(check_outputs, [plain / "sub" / "a.glb"], [], **options) == "unwritable"
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    assert refusal(check_outputs, [new], [], force=False, needed_bytes=10**6) == "disk_full"
    assert tree(tmp_path) == before


def test_names_and_inputs(tmp_path: Path) -> None:
    check_suffix(Path("a.GLB"), (".glb", ".ply"), "the output")
    assert refusal(check_suffix, Path("a.fbx"), (".glb", ".ply"), "x") == "output_format"
    assert refusal(check_suffix, Path("a"), (".json",), "x") == "output_format"
    check_inputs({"--mask": None})
    assert refusal(check_inputs, {"--mask": tmp_path / "none.png"}) == "file_missing"
    assert refusal(check_inputs, {"the photo": tmp_path}) == "file_missing"
    assert refusal(check_inputs, {"the photo": tmp_path / ("a" * 300)}) == "file_unreadable"


def test_places_that_may_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = tmp_path / "photo.png"
    photo.write_text("photo")

    def forbidden(path: Path, *_: object, **__: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", forbidden)
        assert refusal(check_inputs, {"the photo": photo}) == "file_unreadable"
    monkeypatch.setattr(Path, "is_dir", forbidden)
    options = {"force": False, "needed_bytes": 1}
    assert refusal(check_outputs, [tmp_path / "a.glb"], [], **options) == "unwritable"
