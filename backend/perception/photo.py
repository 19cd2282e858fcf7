"""A file from a user's disk to a :class:`Photo`: upright, sRGB, bounded in size.

Everything a camera or a paint program may hand over ends either as an upright float picture or as
one sentence: greyscale, palettes, own mattes, EXIF rotation, 16 bits, CMYK, colour profiles, 50 MP.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt16
from PIL import Image, ImageCms, UnidentifiedImageError

from backend.errors import HumanRefError
from backend.perception.subject import Photo

MAX_SIDE = 2048
"""Longest side of a photo inside the program, pixels."""
MIN_SIDE = 128
"""A person must be this many pixels tall, so a photo must be too."""
_SOLID_FRACTION = 0.01
"""A matte must hide, and show, at least this share of the picture to mean anything."""

_HINT_FORMAT = "Give a PNG, JPEG, WebP or TIFF picture."
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_photo(path: str | Path) -> Photo:
    """Read a photo: float32 sRGB in [0, 1], EXIF applied, longest side at most 2048 px.

    The decoded original never exists as floats; JPEGs beyond 2048 px are reduced while decoding, so
    memory stays near 4 bytes a pixel of the file.

    Raises:
        HumanRefError: ``photo_missing``, ``photo_unreadable``, ``photo_too_large`` or
            ``photo_too_small``.
    """
    path = Path(path)
    data = _read_bytes(path)
    notes: list[str] = []
    with warnings.catch_warnings():
        # 90-180 MP is large but honest; Pillow still refuses beyond that.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        image, source_size = _decode(path, data, notes)
        alpha_image, image = _split_alpha(image)
        rgb = _to_srgb(path, image, notes)
    if min(source_size) < MIN_SIDE:
        raise HumanRefError(
            "photo_too_small",
            f"{path.name} is {source_size[0]} x {source_size[1]} pixels; the person alone must be "
            f"at least {MIN_SIDE} pixels tall.",
            "Use a larger photo.",
        )
    if max(source_size) > MAX_SIDE:
        megapixels = source_size[0] * source_size[1] / 1e6
        notes.append(
            f"scaled from {source_size[0]} x {source_size[1]} ({megapixels:.0f} MP) to "
            f"{rgb.shape[1]} x {rgb.shape[0]}"
        )
    matte = _meaningful_matte(alpha_image, notes)
    if float(np.ptp(rgb, axis=(0, 1)).max()) < 2 / 255 and matte is None:
        raise HumanRefError(
            "photo_empty", f"{path.name} is one flat colour.", "Give a photo of a person."
        )
    return Photo(
        rgb=rgb,
        name=path.stem,
        digest=hashlib.sha256(data).hexdigest(),
        matte=matte,
        notes=tuple(notes),
        source_size=source_size,
    )


def _read_bytes(path: Path) -> bytes:
    if not path.exists():
        raise HumanRefError(
            "photo_missing", f"There is no file {path}.", "Check the name and the folder."
        )
    if path.is_dir():
        raise HumanRefError(
            "photo_unreadable", f"{path} is a folder, not a picture.", "Name one photo inside it."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HumanRefError(
            "photo_unreadable",
            f"{path} cannot be read: {error.strerror or error}.",
            "Check that you may open the file.",
        ) from error
    if not data:
        raise HumanRefError("photo_unreadable", f"{path.name} is an empty file.", _HINT_FORMAT)
    return data


def _decode(path: Path, data: bytes, notes: list[str]) -> tuple[Image.Image, tuple[int, int]]:
    """Decoded, upright, reduced to at most 2048 px; and the original upright (width, height)."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            notes.append(f"first of {getattr(image, 'n_frames', 1)} frames taken")
        width, height = image.size
        orientation = _orientation(image)
        # draft() decodes JPEGs at 1/2, 1/4 or 1/8 and leaves other formats alone.
        image.draft(None, (MAX_SIDE, MAX_SIDE) if max(image.size) > 2 * MAX_SIDE else image.size)
        image.load()
    except UnidentifiedImageError as error:
        raise HumanRefError(
            "photo_unreadable", f"{path.name} is not a picture that can be read.", _HINT_FORMAT
        ) from error
    except Image.DecompressionBombError as error:
        raise HumanRefError(
            "photo_too_large",
            f"{path.name} has more pixels than can be opened safely (the limit is 178 MP).",
            "Scale it down first: 2048 pixels on the longest side is all that is used.",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError) as error:
        raise HumanRefError(
            "photo_unreadable",
            f"{path.name} is damaged: the picture cannot be decoded to its end.",
            "Export or download it again.",
        ) from error
    image = _reduced(_plain_mode(path, image, notes))
    if orientation in _TRANSPOSED:
        image = image.transpose(_TRANSPOSED[orientation])
        notes.append("turned upright as its EXIF orientation says")
        if orientation >= 5:
            width, height = height, width
    return image, (width, height)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except (OSError, SyntaxError, ValueError, TypeError):
        return 1  # A broken EXIF block says nothing about orientation.


def _plain_mode(path: Path, image: Image.Image, notes: list[str]) -> Image.Image:
    """Modes that can be reduced and colour-converted: L, LA, RGB, RGBA or CMYK."""
    profile = image.info.get("icc_profile")
    mode = image.mode
    if mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        values = np.asarray(image).astype(np.int64)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise HumanRefError(
                "photo_unreadable",
                f"{path.name} holds numbers outside 0 to 65535, not brightness.",
                "Save it as an 8-bit or 16-bit picture.",
            )
        notes.append("16 bits read as 8")
        image = Image.fromarray(_eight_bits(values.astype(np.uint16)))
    elif mode == "F":
        raise HumanRefError(
            "photo_unreadable",
            f"{path.name} holds floating-point numbers, whose brightness is not defined.",
            "Tone-map it and save it as an 8-bit picture.",
        )
    elif "transparency" in image.info or mode in ("PA", "RGBa", "La"):
        image = image.convert("RGBA")
    elif mode in ("1", "L"):
        image = image.convert("L")
    elif mode not in ("LA", "RGB", "RGBA", "CMYK"):
        try:
            image = image.convert("RGB")
        except (ValueError, OSError) as error:
            raise HumanRefError(
                "photo_unreadable",
                f"{path.name} has the colour mode {mode}, which cannot be read.",
                _HINT_FORMAT,
            ) from error
        profile = None
    if profile:
        image.info["icc_profile"] = profile
    return image


def _eight_bits(values: UInt16[np.ndarray, "h w"]) -> np.ndarray:
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _reduced(image: Image.Image) -> Image.Image:
    """Longest side at most 2048 px; colours under a transparent alpha do not bleed out."""
    if max(image.size) <= MAX_SIDE:
        return image
    profile = image.info.get("icc_profile")
    mode = image.mode
    if mode in ("RGBA", "LA"):
        image = image.convert("RGBA").convert("RGBa")
    factor = max(image.size) // (2 * MAX_SIDE)
    if factor > 1:
        image = image.reduce(factor)
    scale = MAX_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.LANCZOS)
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    if profile:
        image.info["icc_profile"] = profile
    return image


def _split_alpha(image: Image.Image) -> tuple[Image.Image | None, Image.Image]:
    if image.mode not in ("RGBA", "LA"):
        return None, image
    profile = image.info.get("icc_profile")
    plain = image.convert("RGB" if image.mode == "RGBA" else "L")
    if profile:
        plain.info["icc_profile"] = profile
    return image.getchannel("A"), plain


def _to_srgb(path: Path, image: Image.Image, notes: list[str]) -> Float[np.ndarray, "h w 3"]:
    if image.mode == "L":
        notes.append("greyscale")
    elif image.mode == "CMYK":
        notes.append("CMYK converted to sRGB")
    profile = image.info.get("icc_profile")
    converted: Image.Image | None = None
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("its colour profile is unreadable; colours read as sRGB")
    if converted is None:
        converted = image.convert("RGB")
    return np.asarray(converted, np.uint8).astype(np.float32) / np.float32(255.0)


def _meaningful_matte(
    alpha: Image.Image | None, notes: list[str]
) -> Float[np.ndarray, "h w"] | None:
    """The alpha channel if it cuts something out; a (nearly) all-opaque alpha says nothing."""
    if alpha is None:
        return None
    matte = np.asarray(alpha, np.uint8).astype(np.float32) / np.float32(255.0)
    shown = float((matte > 0.5).mean())
    if shown < _SOLID_FRACTION:
        raise HumanRefError(
            "photo_empty", "The picture is transparent almost everywhere.", "Give a visible person."
        )
    if shown > 1.0 - _SOLID_FRACTION:
        return None
    notes.append("cut out by its own alpha channel")
    return matte
