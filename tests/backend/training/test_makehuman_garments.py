"""The garment binding against its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.errors import HumanRefError
from backend.training.makehuman import read_garment

GARMENT = """# a comment
name patch
obj_file patch.obj
x_scale 0 1 2.0
z_scale 0 2 4.0
material patch.mhmat
verts 0
3
0 1 2 0.5 0.75 -0.25 0.1 0.2 0.3
vertexboneweights_file patch.mhw
2 1 0 0.2 0.3 0.5 0.0 -1.0 0.0
delete_verts
1 3 - 5 9
"""

OBJ = """v 0 0 0
v 1 0 0
v 0 1 0
vt 0 0
vt 1 0
vt 0 1
f 1/1 2/2 3/3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "patch.mhclo").write_text(GARMENT)
    (tmp_path / "patch.obj").write_text(OBJ)
    (tmp_path / "patch.mhmat").write_text(
        "diffuseTexture patch.png\nnormalmapTexture gone.png\nshininess 0.5\n"
    )
    (tmp_path / "patch.png").write_bytes(b"png")
    return tmp_path


def test_fit_follows_the_binding_formula(folder: Path) -> None:
    garment = read_garment(folder / "patch.mhclo")
    base = np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 0.1, 0.8], [0.5, 0.6, 0.7]])
    fitted = garment.fit(base)
    # Metres to decimetres: the body measures 3 dm in x where the garment expects 2, 8 in z for 4.
    stretch = np.array([1.5, 1.0, 2.0])
    offset = np.array([0.1, 0.2, 0.3]) * stretch / 10
    np.testing.assert_allclose(fitted[0], base[3])
    np.testing.assert_allclose(fitted[1], 0.5 * base[0] + 0.75 * base[1] - 0.25 * base[2] + offset)
    np.testing.assert_allclose(
        fitted[2], 0.2 * base[2] + 0.3 * base[1] + 0.5 * base[0] - [0.0, 0.1, 0.0]
    )


def test_skin_weights_are_a_partition(folder: Path) -> None:
    garment = read_garment(folder / "patch.mhclo")
    weights = garment.skin_weights(np.eye(4))
    assert weights.min() >= 0.0
    np.testing.assert_allclose(weights.sum(1), 1.0)
    np.testing.assert_allclose(weights[1], [0.4, 0.6, 0.0, 0.0])


def test_ranges_and_missing_images(folder: Path) -> None:
    garment = read_garment(folder / "patch.mhclo")
    assert garment.hidden == {1, 3, 4, 5, 9}
    assert garment.maps == {"diffuse": folder / "patch.png"}
    assert garment.mesh.faces == [[0, 1, 2]]


def test_a_torn_file_is_refused(folder: Path) -> None:
    (folder / "patch.mhclo").write_text(GARMENT.replace("\n3\n", "\n"))
    with pytest.raises(HumanRefError, match="2 binding rows, 3 vertices"):
        read_garment(folder / "patch.mhclo")
