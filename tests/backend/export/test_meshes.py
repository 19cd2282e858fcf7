import errno
import os
import stat

import numpy as np
import pytest
import trimesh
from PIL import Image

from backend.errors import HumanRefError
from backend.export.files import write_whole
from backend.export.meshes import write_obj, write_ply
from backend.export.pictures import write_picture


@pytest.mark.parametrize("write", [write_ply, write_obj])
def test_mesh_files_are_read_back_by_another_reader(write, character, tmp_path):
    mesh = character.mesh
    path = tmp_path / ("a.ply" if write is write_ply else "a.obj")
    write(path, mesh)
    found = trimesh.load(path, process=False, maintain_order=True)
    np.testing.assert_allclose(found.vertices, mesh.vertices, atol=1e-6)
    np.testing.assert_array_equal(found.faces, mesh.faces)
    np.testing.assert_allclose(found.visual.vertex_colors[:, :3] / 255, mesh.colors, atol=5e-3)
    np.testing.assert_allclose(found.vertex_normals, mesh.normals, atol=1e-4)


def test_pictures_are_rounded_not_truncated(tmp_path):
    ramp = np.repeat(np.arange(256)[None] / 255, 4, 0)
    write_picture(tmp_path / "grey.png", ramp)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grey.png"))[0], np.arange(256))
    write_picture(tmp_path / "rgb.png", np.stack([ramp, ramp, 2 * ramp], -1))
    assert np.asarray(Image.open(tmp_path / "rgb.png"))[0, 200].tolist() == [200, 200, 255]


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


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "missing" / "a.ply", tmp_path / "file" / "a.ply"):
        with pytest.raises(HumanRefError, match=r"a\.ply could not be written") as caught:
            write_whole(place, b"x")
        assert caught.value.code == "unwritable"


def test_files_get_ordinary_permissions(tmp_path):
    if os.name == "nt":
        pytest.skip("POSIX permissions")
    write_whole(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    mode = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert mode[0] == mode[1]
