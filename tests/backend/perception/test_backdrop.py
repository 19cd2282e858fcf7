"""Uniform backgrounds are found by colour, exactly."""

from __future__ import annotations

import cv2
import numpy as np
from perception_support import as_photo

from backend.perception.backdrop import DETECTION_GREY, detection_picture, find_backdrop


def figure() -> np.ndarray:
    """A pale top over trousers that differ from black by 9 levels and more, with a gap."""
    rgb = np.zeros((300, 300, 3), np.uint8)
    rgb[60:150, 100:200] = 180
    rgb[150:280, 100:140] = 9
    rgb[150:280, 160:200] = 14
    rgb[240:280, 140:160] = 9
    return rgb


def test_black_trousers_on_black_are_not_backdrop() -> None:
    rgb = figure()
    found = find_backdrop(as_photo(rgb))
    assert found is not None
    assert found.hard_cut
    np.testing.assert_array_equal(found.empty, (rgb == 0).all(-1))


def test_a_cast_shadow_is_not_a_hard_cut() -> None:
    rgb = np.full((300, 300, 3), 255, np.uint8)
    v, u = np.mgrid[:300, :300]
    shade = 255 - 90 * np.exp(-(((u - 150) / 50) ** 2 + ((v - 260) / 9) ** 2))
    rgb[:] = shade[..., None].astype(np.uint8)
    rgb[80:260, 120:180] = (40, 60, 120)
    found = find_backdrop(as_photo(rgb))
    assert found is not None
    assert not found.hard_cut


def test_jpeg_noise_stays_backdrop() -> None:
    rgb = figure() + np.uint8(60)
    _, coded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 85])
    found = find_backdrop(as_photo(cv2.imdecode(coded, cv2.IMREAD_COLOR)))
    assert found is not None
    far = np.ones((300, 300), bool)
    far[40:300, 80:220] = False
    assert found.empty[far].mean() > 0.99
    assert not found.empty[70:140, 110:190].any()


def test_a_scene_has_no_backdrop() -> None:
    v, u = np.mgrid[:300, :300]
    scene = np.stack([u * 0.8, v * 0.8, 0 * u + 90], -1).astype(np.uint8)
    assert find_backdrop(as_photo(scene)) is None


def test_detectors_see_cut_out_people_on_grey() -> None:
    rgb = figure()
    photo = as_photo(rgb)
    shown = detection_picture(photo, find_backdrop(photo))
    grey = round(DETECTION_GREY * 255)
    assert (np.abs(shown[(rgb == 0).all(-1)].astype(int) - grey) <= 1).all()
    np.testing.assert_array_equal(shown[(rgb > 0).any(-1)], rgb[(rgb > 0).any(-1)])
    matte = np.full((300, 300), 0.25, np.float32)
    shown = detection_picture(as_photo(rgb, matte=matte), None)
    np.testing.assert_allclose(shown[100, 150], 0.25 * 180 + 0.75 * 127.5, atol=1)
