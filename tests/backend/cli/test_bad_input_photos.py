"""Every bad photo ends in one sentence and exit code 2, every odd but usable one in a pose."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

Write = Callable[[Path, np.ndarray], None]


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def corrupt(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def text(path: Path, picture: np.ndarray) -> None:
    path.write_text("Dear Sir or Madam,\n" * 40)


def empty(path: Path, picture: np.ndarray) -> None:
    path.write_bytes(b"")


def nobody(path: Path, picture: np.ndarray) -> None:
    y, x = np.mgrid[0:400, 0:600]
    sky = np.stack([120 + y / 4, 150 + y / 5, 200 + 20 * np.sin(x / 90)], -1)
    Image.fromarray(sky.astype(np.uint8)).save(path)


def tiny_person(path: Path, picture: np.ndarray) -> None:
    scene = np.full((700, 700, 3), 128, np.uint8)
    small = Image.fromarray(picture[:, 80:400]).resize((56, 90))
    scene[300:390, 300:356] = np.asarray(small)
    Image.fromarray(scene).save(path)


def tiny_picture(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).resize((64, 64)).save(path)


def transparent(path: Path, picture: np.ndarray) -> None:
    alpha = np.zeros((*picture.shape[:2], 1), np.uint8)
    Image.fromarray(np.concatenate([picture, alpha], -1)).save(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("corrupt.png", corrupt),
        ("corrupt.jpg", corrupt),
        ("text.png", text),
        ("empty.jpg", empty),
        ("nobody.png", nobody),
        ("tiny-person.png", tiny_person),
        ("tiny-picture.png", tiny_picture),
        ("transparent.png", transparent),
    ],
)
def test_unusable_photos(
    name: str, write: Write, tmp_path: Path, astronaut: np.ndarray, humanref: Callable
) -> None:
    photo = tmp_path / name
    write(photo, astronaut)
    for command, output in (("estimate", "pose.json"), ("generate", "character.glb")):
        ended = humanref(command, photo, "-o", tmp_path / "new" / output, "--json")
        assert ended.code == 2, ended.err
        error = json.loads(ended.out)["error"]
        assert error["message"]
        assert error["hint"]
        assert f"humanref: {error['message']} {error['hint']}\n" in ended.err
        assert "Traceback" not in ended.err
        assert listing(tmp_path) == [name]


def greyscale_16_bit(path: Path, picture: np.ndarray) -> None:
    grey = picture.astype(np.float64).mean(-1) / 255 * 65535
    Image.fromarray(grey.astype(np.uint16)).save(path)


def cmyk(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).convert("CMYK").save(path)


def exif_rotated_palette_profile(path: Path, picture: np.ndarray) -> None:
    turned = Image.fromarray(np.rot90(picture).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned.save(path, exif=exif, icc_profile=profile, quality=92)


def fifty_megapixels(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).resize((7200, 7200), Image.Resampling.BILINEAR).save(path)


def own_matte(path: Path, picture: np.ndarray) -> None:
    y, x = np.mgrid[0:512, 0:512]
    inside = (np.hypot((x - 225) / 210, (y - 400) / 420) < 1)[..., None]
    Image.fromarray(np.concatenate([picture, inside.astype(np.uint8) * 255], -1)).save(path)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("grey.png", greyscale_16_bit, ("grey", "16")),
        ("cmyk.jpg", cmyk, ("CMYK",)),
        ("turned.jpg", exif_rotated_palette_profile, ("EXIF",)),
        ("huge.jpg", fifty_megapixels, ("MP",)),
        ("matte.png", own_matte, ("alpha",)),
    ],
)
def test_odd_but_usable_photos(
    name: str,
    write: Write,
    said: tuple[str, ...],
    tmp_path: Path,
    astronaut: np.ndarray,
    humanref: Callable,
) -> None:
    photo = tmp_path / name
    write(photo, astronaut)
    ended = humanref("estimate", photo, "-o", tmp_path / "pose.json", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    notes = " ".join(result["warnings"])
    for word in said:
        assert word in notes
    # The lower half of the body is outside every one of these photos.
    assert "left_ankle" in result["fit"]["missing_joints"]
    pose = json.loads((tmp_path / "pose.json").read_text())
    joints = {joint: np.array(xyz) for joint, xyz in pose["joints"].items()}
    camera = pose["camera"]
    # Wherever the photo came from, the head is upright at the same place of the picture.
    scale = 512 / pose["photo"]["width"]
    head = [
        (camera["center_u"] + camera["pixels_per_metre"] * joints["head"][0]) * scale,
        (camera["center_v"] - camera["pixels_per_metre"] * joints["head"][1]) * scale,
    ]
    assert np.hypot(head[0] - 220, head[1] - 150) < 60
    assert listing(tmp_path) == [*sorted([name, "pose.json"])]


def test_of_two_people_the_larger_is_taken_and_the_other_can_be_named(
    tmp_path: Path, astronaut: np.ndarray, humanref: Callable
) -> None:
    small = np.asarray(Image.fromarray(astronaut).resize((340, 340)))[:, ::-1]
    scene = np.full((512, 900, 3), 190, np.uint8)
    scene[:, :512] = astronaut
    scene[-340:, 540:880] = small
    photo = tmp_path / "two.png"
    Image.fromarray(scene).save(photo)
    seen = {}
    for number, words in {"auto": [], "1": ["--person", 1]}.items():
        output = tmp_path / f"{number}.json"
        ended = humanref("estimate", photo, "-o", output, "--json", *words)
        assert ended.code == 0, ended.err
        seen[number] = json.loads(output.read_text())["camera"]["center_u"]
        if number == "auto":
            assert "--person" in " ".join(json.loads(ended.out)["warnings"])
    assert seen["auto"] < 400 < 560 < seen["1"]
    ended = humanref("estimate", photo, "-o", tmp_path / "x.json", "--person", 7)
    assert ended.code == 2
    assert "from 0" in ended.err
