"""Whole files or none, and what is said when a write fails."""

import errno
import os
import stat
from pathlib import Path

import pytest

from backend.errors import HumanRefError
from backend.files import write_error, write_whole


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(HumanRefError, match="disk is full") as caught:
        write_whole(path, b"new")
    assert caught.value.code == "disk_full"
    assert caught.value.retryable
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_ctrl_c_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "missing" / "a.ply", tmp_path / "file" / "a.ply"):
        with pytest.raises(HumanRefError, match=r"a\.ply could not be written") as caught:
            write_whole(place, b"x")
        assert caught.value.code == "write_failed"


def test_files_get_ordinary_permissions(tmp_path):
    if os.name == "nt":
        pytest.skip("POSIX permissions")
    write_whole(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    mode = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert mode[0] == mode[1]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk_full"), (errno.EROFS, "unwritable"), (errno.EIO, "write_failed")],
)
def test_failed_writes_in_words(number: int, code: str) -> None:
    error = write_error(OSError(number, os.strerror(number)), Path("a.glb"))
    assert error.code == code
    assert "a.glb" in error.message
    assert error.hint
