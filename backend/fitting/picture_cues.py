"""What the picture itself shows at a person's landmarks, of which limb is nearer: shading, folds, soles.

Features of EfficientNet-Lite0, which has seen many photos, at the landmarks and in the middle of the
bones. The person is cut out and brought to one size first, so that neither backdrop nor resolution count.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional

from backend.fitting.lifting import BONE_LANDMARKS, LANDMARKS, PLACES
from backend.perception.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0
from backend.perception.subject import OTHER_SIDE

_SIDE = 256
# Lengths of the trunk that the picture is wide: from the feet to raised hands.
_TRUNKS = 4.2
_BACKDROP = (0.75, 0.77, 0.78)
# The network's scales at an eighth and a sixteenth of the picture: 40 and 112 channels.
_SCALES = (2, 3)
_HIPS, _SHOULDERS = (23, 24), (11, 12)


def picture_cues(
    rgb: Float[np.ndarray, "h w 3"],
    mask: Float[np.ndarray, "h w"],
    body: Float[np.ndarray, "33 2"],
) -> Float[np.ndarray, "29 152"] | None:
    """Features at :data:`backend.fitting.lifting.PLACES`; None for a person without a trunk.

    Args:
        rgb: the photo, sRGB in [0, 1].
        mask: silhouette, 0 to 1.
        body: landmarks, photo pixels.

    Raises:
        HumanRefError: ``missing_package``, ``weights_unreadable``.
    """
    hips, shoulders = body[list(_HIPS)].mean(0), body[list(_SHOULDERS)].mean(0)
    trunk = float(np.linalg.norm(shoulders - hips))
    if trunk < 1.0:
        return None
    scale = _SIDE / (_TRUNKS * trunk)
    shift = _SIDE / 2 - scale * hips
    picture = _cut_out(rgb, mask, scale, shift)
    ends = [body[list(pair)].mean(0) for pair in BONE_LANDMARKS]
    places = np.concatenate([body[list(LANDMARKS)], np.stack(ends)]) * scale + shift
    assert len(places) == len(PLACES)
    grid = torch.from_numpy((places / _SIDE * 2.0 - 1.0).astype(np.float32))[None, None]
    with torch.no_grad():
        features = _network()(torch.from_numpy(picture.transpose(2, 0, 1).copy())[None])
        found = [
            functional.grid_sample(features[k], grid, align_corners=False)[0, :, 0].T
            for k in _SCALES
        ]
    return np.asarray(torch.cat(found, 1).numpy())


def mirrored_body(body: Float[np.ndarray, "33 2"], width: int) -> Float[np.ndarray, "33 2"]:
    """The landmarks of the photo's mirror image."""
    return np.asarray(body[OTHER_SIDE] * (-1.0, 1.0) + (width, 0.0))


def _cut_out(
    rgb: Float[np.ndarray, "h w 3"],
    mask: Float[np.ndarray, "h w"],
    scale: float,
    shift: Float[np.ndarray, "2"],
) -> Float[np.ndarray, "n n 3"]:
    """The person on a plain backdrop; photo pixel p lands at p * scale + shift."""
    whole = np.concatenate([rgb, mask[..., None]], -1).astype(np.float32)
    # Halving first: one bilinear step would skip pixels of a large photo.
    factor = 1.0
    while scale / factor < 0.6:
        half = (max(1, whole.shape[1] // 2), max(1, whole.shape[0] // 2))
        whole = np.asarray(cv2.resize(whole, half, interpolation=cv2.INTER_AREA), np.float32)
        factor /= 2.0
    s = scale / factor
    # OpenCV's pixel centres are whole numbers, ours halves.
    matrix = np.array([[s, 0, shift[0] + (s - 1) / 2], [0, s, shift[1] + (s - 1) / 2]])
    turned = cv2.warpAffine(whole, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
    alpha = turned[..., 3:]
    plain = np.array(_BACKDROP, np.float32)
    return np.asarray((turned[..., :3] * alpha + plain * (1.0 - alpha)).clip(0.0, 1.0))


@cache
def _network() -> EfficientNetLite0:
    return load_efficientnet_lite0()
