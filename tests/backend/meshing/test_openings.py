"""An opening down the middle is told from a fabric, a print and plain cloth."""

from __future__ import annotations

import numpy as np
import pytest

from backend.meshing.limbs import TRUNK, LimbMaps
from backend.meshing.openings import opening

N = 256
PIXEL = 2.0 / N
TOP, BOTTOM = 60, 160


@pytest.fixture
def limbs() -> LimbMaps:
    """A trunk .5 m wide, arms beside it."""
    across = np.abs((np.arange(N) + 0.5) * PIXEL - 1.0)[None].repeat(N, 0).astype(np.float32)
    part = np.where(across < 0.25, TRUNK, 2).astype(np.uint8)
    return LimbMaps(part, np.zeros((N, N), np.float32), across)


@pytest.fixture
def cloth() -> np.ndarray:
    worn = np.zeros((N, N), bool)
    worn[TOP:BOTTOM, 80:176] = True
    return worn


def plain() -> np.ndarray:
    return np.full((N, N, 3), 0.4, np.float32)


def with_opening(rgb: np.ndarray, rows: slice = slice(TOP, BOTTOM)) -> np.ndarray:
    """Shirt stripes between two edges, 4 cm wide."""
    open_ = rgb.copy()
    open_[rows, 125:131] = [0.8, 0.1, 0.1]
    open_[rows, 127:129] = [0.9, 0.9, 0.9]
    return open_


def dots(rgb: np.ndarray) -> np.ndarray:
    y, x = np.indices((N, N))
    dotted = rgb.copy()
    dotted[(y % 8 < 4) & (x % 8 < 4)] = [0.9, 0.9, 0.2]
    return dotted


def test_an_opening_is_found_where_it_is(limbs: LimbMaps, cloth: np.ndarray) -> None:
    found = opening(with_opening(plain()), plain(), cloth, limbs)
    middle = np.s_[TOP + 8 : BOTTOM - 8, 125:131]
    assert found[middle].all()
    assert not found[:, :110].any()
    assert not found[:, 146:].any()
    assert not (found & ~cloth).any()


def test_a_fabric_alone_has_none(limbs: LimbMaps, cloth: np.ndarray) -> None:
    for rgb in (plain(), dots(plain())):
        assert not opening(rgb, plain(), cloth, limbs).any()


def test_an_opening_in_a_patterned_fabric_stands_out(limbs: LimbMaps, cloth: np.ndarray) -> None:
    quiet = plain() + 0.25 * (dots(plain()) - plain())
    assert opening(with_opening(quiet), plain(), cloth, limbs).any()


def test_a_short_thing_is_no_opening(limbs: LimbMaps, cloth: np.ndarray) -> None:
    short = slice(TOP + 20, TOP + 40)
    assert not opening(with_opening(plain(), short), plain(), cloth, limbs).any()


def test_what_a_prior_sees_too_stays(limbs: LimbMaps, cloth: np.ndarray) -> None:
    open_ = with_opening(plain())
    assert not opening(open_, open_, cloth, limbs).any()


def test_without_a_trunk_there_is_none(limbs: LimbMaps) -> None:
    nowhere = np.zeros((N, N), bool)
    assert not opening(with_opening(plain()), plain(), nowhere, limbs).any()
