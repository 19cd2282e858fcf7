"""Region pictures go out and come back unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.errors import HumanRefError
from backend.perception.region_files import REGION_COLORS, decode_regions, write_regions


@pytest.fixture
def regions() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (40, 30)).astype(np.uint8)


def test_round_trip(tmp_path: Path, regions: np.ndarray) -> None:
    write_regions(tmp_path / "regions.png", regions)
    image = Image.open(tmp_path / "regions.png")
    np.testing.assert_array_equal(decode_regions(image, "regions.png"), regions)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), REGION_COLORS[regions])


def test_numbers_and_colours_are_read(regions: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_regions(Image.fromarray(regions), "grey"), regions)
    colors = Image.fromarray(REGION_COLORS[regions])
    np.testing.assert_array_equal(decode_regions(colors, "rgb"), regions)
    alpha = np.dstack([REGION_COLORS[regions], np.full(regions.shape, 255, np.uint8)])
    np.testing.assert_array_equal(decode_regions(Image.fromarray(alpha), "rgba"), regions)


def test_other_values_are_refused(regions: np.ndarray) -> None:
    wrong = regions.copy()
    wrong[3, 3] = 7
    for image in (Image.fromarray(wrong), Image.fromarray(REGION_COLORS[regions] // 2 + 9)):
        with pytest.raises(HumanRefError) as caught:
            decode_regions(image, "x.png")
        assert caught.value.code == "regions_values"
