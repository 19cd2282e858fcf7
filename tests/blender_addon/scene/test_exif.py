import io

import pytest
from humanref_addon.scene.exif import orientation
from PIL import Image


def _file(kind: str, turn: int | None) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if turn is not None:
        exif[0x0112] = turn
    out = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(out, kind, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_what_a_camera_writes_is_read(kind: str, turn: int) -> None:
    assert orientation(_file(kind, turn)) == turn


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_files_that_say_nothing_are_upright(kind: str) -> None:
    assert orientation(_file(kind, None)) == 1
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, kind)
    assert orientation(out.getvalue()) == 1


def test_broken_files_are_upright() -> None:
    whole = _file("JPEG", 6)
    assert {orientation(whole[:length]) for length in range(len(whole))} == {1, 6}
    assert orientation(b"") == orientation(b"GIF89a") == 1
    assert orientation(b"\xff\xd8\xff\xe1\x00\x10Exif\0\0II*\0\xff\xff\xff\xff") == 1
    assert orientation(whole.replace(b"\x01\x12\x00\x03", b"\x01\x12\x00\x09")) == 1
