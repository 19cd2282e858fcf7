"""Captions say what is worn."""

from __future__ import annotations

import numpy as np
import pytest
from perception_support import Seen, as_photo

from backend.body.model import Region
from backend.perception.caption import TemplateCaption
from backend.perception.color_names import color_name, dominant_color, hair_name
from backend.perception.parsing import LandmarkParsing


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((250, 250, 250), "white"),
        ((15, 15, 18), "black"),
        ((128, 128, 128), "grey"),
        ((70, 90, 130), "blue"),
        ((25, 30, 60), "dark blue"),
        ((150, 190, 230), "light blue"),
        ((190, 30, 35), "red"),
        ((90, 20, 30), "dark red"),
        ((240, 170, 190), "pink"),
        ((220, 110, 40), "orange"),
        ((200, 160, 40), "yellow"),
        ((180, 165, 130), "beige"),
        ((100, 65, 40), "brown"),
        ((40, 120, 60), "green"),
        ((110, 60, 150), "purple"),
    ],
)
def test_colours_have_their_usual_names(rgb: tuple[int, int, int], name: str) -> None:
    assert color_name(np.array(rgb) / 255.0) == name


def test_every_colour_has_a_name() -> None:
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3), -1).reshape(-1, 3)
    assert all(color_name(color) for color in grid)
    assert all(hair_name(color) for color in grid)


def test_stripes_do_not_mix_into_a_third_colour() -> None:
    stripes = np.tile([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.1, 0.1, 0.4]], (100, 1))
    assert color_name(dominant_color(stripes)) == "white"


def test_the_example(seen: Seen) -> None:
    marks = seen.detection.landmarks
    regions = LandmarkParsing().parse(seen.photo, seen.mask, marks)
    sentence = TemplateCaption().caption(seen.photo, regions, marks)
    assert "blue trousers" in sentence
    assert sentence.startswith("a person with black hair in a ")
    painted = seen.photo.rgb.copy()
    painted[regions == Region.LOWER] = [0.75, 0.1, 0.1]
    sentence = TemplateCaption().caption(as_photo(painted), regions, marks)
    assert "red trousers" in sentence


def test_bare_shins_make_shorts(seen: Seen) -> None:
    marks = seen.detection.landmarks
    regions = LandmarkParsing().parse(seen.photo, seen.mask, marks)
    assert marks.face is not None
    cheek = marks.face[50].astype(int)
    painted = seen.photo.rgb.copy()
    painted[regions == Region.LOWER] = [0.75, 0.1, 0.1]
    shins = np.zeros(regions.shape, bool)
    shins[int(marks.body[[25, 26], 1].mean()) :] = True
    painted[shins & (regions == Region.LOWER)] = painted[cheek[1], cheek[0]]
    assert "red shorts" in TemplateCaption().caption(as_photo(painted), regions, marks)


def test_nothing_is_said_of_what_is_not_shown(seen: Seen) -> None:
    marks = seen.detection.landmarks
    regions = LandmarkParsing().parse(seen.photo, seen.mask, marks)
    regions[regions >= Region.LOWER] = Region.BACKGROUND
    sentence = TemplateCaption().caption(seen.photo, regions, marks)
    assert "trousers" not in sentence
    assert "shoes" not in sentence
