"""Every case of a bad or unusual photo ends as the right pixels or as one sentence."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from backend.errors import HumanRefError
from backend.perception.photo import MAX_SIDE, load_photo


def picture(width: int = 200, height: int = 300) -> np.ndarray:
    """Upright test card: red grows to the right, green downwards, a blue mark top left."""
    v, u = np.mgrid[:height, :width]
    card = np.stack([u * 255 // width, v * 255 // height, 0 * u], -1).astype(np.uint8)
    card[: height // 4, : width // 4, 2] = 255
    return card


def saved(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Path:
    path = tmp_path / name
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def refused(path: Path, code: str) -> HumanRefError:
    with pytest.raises(HumanRefError) as caught:
        load_photo(path)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    return caught.value


def test_plain_rgb_is_exact(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(picture()), "plain.png")
    photo = load_photo(path)
    np.testing.assert_allclose(photo.rgb, picture() / 255.0, atol=1e-6)
    assert photo.matte is None
    assert photo.notes == ()
    assert photo.source_size == (200, 300)
    assert photo.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    # How a camera stores the upright picture for each EXIF value.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](picture())
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    photo = load_photo(saved(tmp_path, image, "turned.png", exif=exif))
    np.testing.assert_allclose(photo.rgb, picture() / 255.0, atol=1e-6)
    assert photo.source_size == (200, 300)


def test_greyscale(tmp_path: Path) -> None:
    grey = picture()[..., 0]
    photo = load_photo(saved(tmp_path, Image.fromarray(grey), "grey.png"))
    np.testing.assert_allclose(photo.rgb, np.repeat(grey[..., None], 3, 2) / 255.0, atol=1e-6)
    assert "greyscale" in photo.notes


def test_sixteen_bit_grey_keeps_its_tones(tmp_path: Path) -> None:
    tones = np.linspace(0, 65535, 256 * 256).reshape(256, 256).astype(np.uint16)
    photo = load_photo(saved(tmp_path, Image.fromarray(tones), "deep.png"))
    np.testing.assert_allclose(photo.rgb[..., 0], tones / 65535.0, atol=0.6 / 255)


def test_palette_with_transparent_colour(tmp_path: Path) -> None:
    indices = np.zeros((200, 200), np.uint8)
    indices[50:150, 50:150] = 1
    image = Image.fromarray(indices)
    image.putpalette([10, 20, 30, 200, 100, 50])
    photo = load_photo(saved(tmp_path, image, "palette.png", transparency=0))
    assert photo.matte is not None
    np.testing.assert_array_equal(photo.matte, indices.astype(np.float32))
    np.testing.assert_allclose(photo.rgb[100, 100] * 255, [200, 100, 50], atol=0.01)


def test_own_matte_is_used_and_an_opaque_one_is_not(tmp_path: Path) -> None:
    alpha = np.zeros((300, 200), np.uint8)
    alpha[100:200, 50:150] = 128
    alpha[120:180, 60:140] = 255
    rgba = np.dstack([picture(), alpha])
    photo = load_photo(saved(tmp_path, Image.fromarray(rgba), "matte.png"))
    assert photo.matte is not None
    np.testing.assert_allclose(photo.matte, alpha / 255.0, atol=1e-6)
    rgba[..., 3] = 255
    rgba[0, :20, 3] = 0
    photo = load_photo(saved(tmp_path, Image.fromarray(rgba), "opaque.png"))
    assert photo.matte is None
    rgba[..., 3] = 0
    refused(saved(tmp_path, Image.fromarray(rgba), "gone.png"), "photo_empty")


def test_colours_under_transparency_do_not_bleed_when_scaled(tmp_path: Path) -> None:
    rgba = np.zeros((4096, 1024, 4), np.uint8)
    rgba[..., :3] = [255, 0, 255]
    rgba[1001:3001, 201:801] = [20, 200, 20, 255]
    photo = load_photo(saved(tmp_path, Image.fromarray(rgba), "large.png"))
    assert photo.matte is not None
    shown = photo.rgb[photo.matte > 0.1]
    np.testing.assert_allclose(
        shown, np.broadcast_to([20 / 255, 200 / 255, 20 / 255], shown.shape), atol=0.15
    )


def test_cmyk(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((200, 200, 3), [200, 40, 40], np.uint8))
    image.paste((40, 40, 200), (0, 0, 100, 100))
    photo = load_photo(saved(tmp_path, image.convert("CMYK"), "print.jpg", quality=98))
    np.testing.assert_allclose(photo.rgb[150, 150] * 255, [200, 40, 40], atol=6)
    np.testing.assert_allclose(photo.rgb[50, 50] * 255, [40, 40, 200], atol=6)


def test_colour_profile_is_converted(tmp_path: Path) -> None:
    # Lab white as a profile's own meaning: an image tagged Lab-like would be wrong untouched, so
    # tag sRGB data with a profile that swaps nothing and one that is broken.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path, Image.fromarray(picture()), "tagged.png", icc_profile=srgb)
    np.testing.assert_allclose(load_photo(path).rgb, picture() / 255.0, atol=1.5 / 255)
    path = saved(tmp_path, Image.fromarray(picture()), "broken.png", icc_profile=b"not a profile")
    photo = load_photo(path)
    np.testing.assert_allclose(photo.rgb, picture() / 255.0, atol=1e-6)
    assert any("profile" in note for note in photo.notes)


def test_lab_picture_needs_a_real_conversion(tmp_path: Path) -> None:
    lab = ImageCms.profileToProfile(
        Image.fromarray(picture()),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    path = saved(tmp_path, lab, "lab.tif")
    rgb = load_photo(path).rgb
    # 8-bit Lab is coarse in saturated corners; read as if it were RGB, it would be far off.
    assert np.abs(rgb - picture() / 255.0).mean() < 0.02


def test_fifty_megapixels_stay_small_in_memory(tmp_path: Path) -> None:
    image = Image.fromarray(picture(868, 576)).resize((8680, 5760), Image.Resampling.NEAREST)
    path = saved(tmp_path, image, "huge.jpg", quality=60)
    del image
    tracemalloc.start()
    photo = load_photo(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(photo.rgb.shape) == MAX_SIDE
    assert photo.rgb.shape[:2] == (1359, 2048)
    assert photo.source_size == (8680, 5760)
    assert any("50 MP" in note for note in photo.notes)
    assert peak < 8 * photo.rgb.nbytes
    np.testing.assert_allclose(photo.rgb[1000, 2000] * 255, [249, 187, 0], atol=6)


def test_a_pixel_bomb_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, "PNG")
    path = tmp_path / "bomb.png"
    path.write_bytes(buffer.getvalue())
    refused(path, "photo_too_large")


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture()), Image.new("RGB", (200, 300), "white")]
    path = saved(
        tmp_path, frames[0], "moving.webp", save_all=True, append_images=frames[1:], lossless=True
    )
    photo = load_photo(path)
    np.testing.assert_allclose(photo.rgb, picture() / 255.0, atol=2 / 255)
    assert any("first of 2" in note for note in photo.notes)


def test_files_that_are_no_photos(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.png", "photo_missing")
    refused(tmp_path, "photo_unreadable")
    empty = tmp_path / "empty.png"
    empty.touch()
    refused(empty, "photo_unreadable")
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    refused(text, "photo_unreadable")
    whole = saved(tmp_path, Image.fromarray(picture()), "whole.jpg").read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole[: len(whole) // 2])
    refused(cut, "photo_unreadable")
    png = saved(tmp_path, Image.fromarray(picture()), "whole.png").read_bytes()
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(png[: len(png) // 2])
    refused(damaged, "photo_unreadable")
    refused(saved(tmp_path, Image.fromarray(picture(100, 300)), "tiny.png"), "photo_too_small")
    refused(saved(tmp_path, Image.new("RGB", (300, 300), "red"), "flat.png"), "photo_empty")
    floats = Image.fromarray(np.linspace(0, 9, 90000).reshape(300, 300).astype(np.float32))
    refused(saved(tmp_path, floats, "floats.tif"), "photo_unreadable")
