"""A small base body, a tiny assets folder in MakeHuman's layout, and a few packed people, all made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ellipsoid_people import write_people
from PIL import Image
from toy_people import ToyBase, write_garment

from backend.body.model import Region
from backend.events import ignore_events
from backend.training.prior_store import PeopleSplit, pack_folders


@pytest.fixture(scope="session")
def toy_base() -> ToyBase:
    return ToyBase()


@pytest.fixture(scope="session")
def toy_assets(toy_base: ToyBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("assets")
    regions, points = toy_base.body.regions, toy_base.shape({}).vertices
    trunk = np.isin(regions, (Region.UPPER, Region.LOWER)) & (np.abs(points[:, 0]) < 0.5)
    eyes = toy_base.shape({}).head("eye.L")
    head = regions == Region.HEAD
    holes = np.full((8, 8, 4), 255, np.uint8)
    holes[::2, ::2, 3] = 0
    holes[..., :3] = 120
    cloth = np.full((4, 4, 4), 200, np.uint8)
    for name in ("a_suit", "b_suit", "c_suit", "d_suit"):
        write_garment(root / "clothes" / name, toy_base, trunk, cloth if name != "b_suit" else None)
    write_garment(root / "clothes" / "shoes01", toy_base, regions == Region.FEET, cloth)
    for name in ("long", "short"):
        scalp = head & (points[:, 1] > eyes[1] + 0.03)
        write_garment(root / "hair" / name, toy_base, scalp, holes)
    brow = head & (np.abs(points[:, 1] - eyes[1] - 0.02) < 0.02) & (points[:, 2] > eyes[2])
    write_garment(root / "eyebrows" / "brow1", toy_base, brow, holes)
    write_garment(root / "eyelashes" / "lash1", toy_base, brow, holes)
    globe = np.linalg.norm(np.abs(points) * [1, 0, 0] + points * [0, 1, 1] - eyes, axis=1) < 0.02
    write_garment(root / "eyes" / "high-poly", toy_base, globe, None)
    (root / "eyes" / "materials").mkdir()
    Image.fromarray(cloth).save(root / "eyes" / "materials" / "brown_eye.png")
    return root


@pytest.fixture(scope="session")
def people_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("ellipsoids"), train=2, validation=1)


@pytest.fixture(scope="session")
def packed(people_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PeopleSplit:
    return pack_folders([people_folder], tmp_path_factory.mktemp("packed"), ignore_events)
