import numpy as np
import pytest
import trimesh
from PIL import Image

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
