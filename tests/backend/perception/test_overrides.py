"""What a user brings is checked for size and sense, and then used as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from perception_support import as_photo, disc_subject, sphere_body
from PIL import Image

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.perception.normals import BodyNormals
from backend.perception.overrides import (
    check_mask_on_person,
    read_caption,
    read_mask,
    read_normals,
    read_regions,
)
from backend.perception.user_normals import UserNormals

HEIGHT, WIDTH = 90, 60


@pytest.fixture
def photo() -> object:
    rgb = np.random.default_rng(0).random((HEIGHT, WIDTH, 3))
    return as_photo(rgb, source_size=(2 * WIDTH, 2 * HEIGHT))


def saved(tmp_path: Path, values: np.ndarray, name: str = "x.png") -> Path:
    path = tmp_path / name
    assert cv2.imwrite(str(path), values[..., ::-1] if values.ndim == 3 else values)
    return path


def block(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 255
    return mask


def code_of(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(HumanRefError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    assert caught.value.message.endswith(".")
    return caught.value.code


def test_masks_of_every_usual_kind(tmp_path: Path, photo: object) -> None:
    wanted = block() / 255.0
    grey = block()
    rgba = np.dstack([np.full((HEIGHT, WIDTH, 3), 77, np.uint8), grey])
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    zero_one = saved(tmp_path, (grey > 0).astype(np.uint8), "zero_one.png")
    sixteen = saved(tmp_path, grey.astype(np.uint16) * 257, "sixteen.png")
    color = saved(tmp_path, np.repeat(grey[..., None], 3, 2), "color.png")
    for path in (saved(tmp_path, grey), zero_one, sixteen, color, tmp_path / "alpha.png"):
        np.testing.assert_allclose(read_mask(path, photo), wanted, atol=1e-3)
    large = saved(tmp_path, block(2 * HEIGHT, 2 * WIDTH), "large.png")
    assert read_mask(large, photo).shape == (HEIGHT, WIDTH)
    assert np.abs(read_mask(large, photo) - wanted).mean() < 0.02


def test_masks_that_make_no_sense(tmp_path: Path, photo: object) -> None:
    assert code_of(read_mask, saved(tmp_path, block(HEIGHT, WIDTH + 1)), photo) == "mask_size"
    assert code_of(read_mask, saved(tmp_path, 0 * block()), photo) == "mask_empty"
    assert code_of(read_mask, saved(tmp_path, 0 * block() + 255), photo) == "mask_full"
    assert code_of(read_mask, tmp_path / "none.png", photo) == "mask_unreadable"
    (tmp_path / "text.png").write_text("text")
    assert code_of(read_mask, tmp_path / "text.png", photo) == "mask_unreadable"
    mask = block().astype(np.float32) / 255
    elsewhere = np.roll(mask, HEIGHT // 2, 0)
    assert code_of(check_mask_on_person, mask, elsewhere, "m.png") == "mask_elsewhere"
    check_mask_on_person(mask, mask, "m.png")


def test_regions(tmp_path: Path, photo: object) -> None:
    mask = block().astype(np.float32) / 255
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[: HEIGHT // 2] = Region.HEAD
    values[HEIGHT // 2 :] = Region.FEET
    values[:, WIDTH // 2] = 0
    regions = read_regions(saved(tmp_path, values), photo, mask)
    assert (regions[mask > 0.5] > 0).all()
    assert (regions[mask <= 0.5] == 0).all()
    assert regions[HEIGHT // 2 - 5, WIDTH // 2] == Region.HEAD
    assert code_of(read_regions, saved(tmp_path, values[1:]), photo, mask) == "regions_size"
    assert code_of(read_regions, saved(tmp_path, values + 9), photo, mask) == "regions_values"
    assert code_of(read_regions, saved(tmp_path, 0 * values), photo, mask) == "regions_empty"
    corner = 0 * values
    corner[:5, :5] = 2
    assert code_of(read_regions, saved(tmp_path, corner), photo, mask) == "regions_elsewhere"


def test_caption() -> None:
    assert read_caption("  a tall\n person ") == "a tall person"
    assert code_of(read_caption, " \n") == "caption_empty"


def dome(sign: float) -> np.ndarray:
    """Unit normals on a disc, zero elsewhere; z has the given sign."""
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y = (u - WIDTH / 2) / 25, (HEIGHT / 2 - v) / 25
    z = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    normals = np.stack([sign * x, y, sign * z], -1)
    normals[np.hypot(x, y) >= 1] = 0
    return normals


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("back", [False, True])
def test_normals_are_decoded(
    tmp_path: Path, photo: object, dtype: type, top: int, back: bool
) -> None:
    truth = dome(-1.0 if back else 1.0)
    path = saved(tmp_path, np.round((truth + 1) / 2 * top).astype(dtype))
    normals, given = read_normals(path, photo, back=back)
    inside = np.linalg.norm(truth, axis=-1) > 0.5
    np.testing.assert_array_equal(given > 0.5, inside)
    error = np.linalg.norm(normals - truth, axis=-1)[inside].max()
    assert error < (0.02 if dtype == np.uint8 else 1e-4)


def test_normals_that_make_no_sense(tmp_path: Path, photo: object) -> None:
    encoded = np.round((dome(1.0) + 1) / 2 * 255).astype(np.uint8)
    path = saved(tmp_path, encoded)
    assert code_of(read_normals, path, photo, back=True) == "normals_values"
    grey = saved(tmp_path, block(), "grey.png")
    assert code_of(read_normals, grey, photo, back=False) == "normals_values"
    flat = saved(tmp_path, 0 * encoded + 127, "flat.png")
    assert code_of(read_normals, flat, photo, back=False) == "normals_values"
    small = saved(tmp_path, encoded[1:], "small.png")
    assert code_of(read_normals, small, photo, back=False) == "normals_size"
    assert code_of(read_normals, tmp_path / "no.png", photo, back=False) == "normals_unreadable"


def test_user_normals_replace_the_bodys_front_and_mirrored_back(tmp_path: Path) -> None:
    size = 64
    subject, crop, frame = disc_subject(size, (40.0, 32.0), 18.0, Region.UPPER)
    subject = replace(subject, photo=replace(subject.photo, source_size=None))
    tilt = np.array([0.28, 0.0, 0.96])
    front = np.zeros((size, size, 3))
    front[16:48, 24:56] = tilt
    back = np.zeros((size, size, 3))
    # Seen from behind, what is at column 40 of the photo is at column 64 - 40 = 24.
    back[16:48, 8:40] = tilt * [1, 1, -1]
    paths = [
        saved(tmp_path, np.round((n + 1) / 2 * 65535).astype(np.uint16), name)
        for n, name in ((front, "f.png"), (back, "b.png"))
    ]
    body = sphere_body(0.5, (0.25, 0.0, 0.0))
    maps = UserNormals(BodyNormals(), *paths).estimate(subject, body, crop, frame, size)
    np.testing.assert_allclose(maps.front[32, 40], tilt, atol=1e-3)
    np.testing.assert_allclose(maps.back[32, 24], tilt * [1, 1, -1], atol=1e-3)
    assert maps.front_weight[32, 40] == pytest.approx(1.0)
    assert maps.back_weight[32, 24] == pytest.approx(1.0)
    assert "f.png" in maps.provider
    only = UserNormals(BodyNormals(), paths[0], None).estimate(subject, body, crop, frame, size)
    plain = BodyNormals().estimate(subject, body, crop, frame, size)
    np.testing.assert_array_equal(only.back, plain.back)
