"""The body grown to the photo's outline."""

import numpy as np

from backend.optimization.initial_shape import grow_to_silhouette, harmonic_fill

N, P = 65, 256


def _capsule(points: np.ndarray, radius: float) -> np.ndarray:
    q = points.copy()
    q[..., 1] -= np.clip(q[..., 1], -0.5, 0.5)
    return np.linalg.norm(q, axis=-1) - radius


def _grid() -> np.ndarray:
    t = np.linspace(-1, 1, N)
    z, y, x = np.meshgrid(t, t, t, indexing="ij")
    return _capsule(np.stack([x, y, z], -1), 0.2).astype(np.float32)


def _picture() -> tuple[np.ndarray, np.ndarray]:
    t = (np.arange(P) + 0.5) / P * 2 - 1
    return np.meshgrid(t, -t)


def _silhouette(radius: float) -> np.ndarray:
    x, y = _picture()
    return _capsule(np.stack([x, y, 0 * x], -1), radius) < 0


def _grow(mask: np.ndarray, known: np.ndarray | None = None, skin: np.ndarray | None = None):
    nothing = np.zeros((P, P), bool)
    return grow_to_silhouette(
        _grid(),
        _silhouette(0.2),
        np.zeros((P, P), np.float32),
        mask.astype(np.float32),
        np.ones((P, P), bool) if known is None else known,
        nothing if skin is None else skin,
    )


def _front_silhouette(sdf: np.ndarray) -> np.ndarray:
    """Grid nodes (y upwards) covered when seen along z."""
    return (sdf < 0).any(0)


def _at_nodes(mask: np.ndarray) -> np.ndarray:
    t = np.linspace(-1, 1, N)
    column = np.clip(((t + 1) / 2 * P).astype(int), 0, P - 1)
    row = np.clip(((1 - t) / 2 * P).astype(int), 0, P - 1)
    return mask[np.ix_(row, column)]


def test_harmonic_fill_is_linear_between_two_walls() -> None:
    values, fixed = np.zeros((5, 11)), np.zeros((5, 11), bool)
    fixed[:, 0] = fixed[:, -1] = True
    values[:, -1] = 10.0
    np.testing.assert_allclose(
        harmonic_fill(values, fixed), np.tile(np.arange(11.0), (5, 1)), atol=1e-9
    )


def test_a_body_that_fits_its_outline_stays() -> None:
    start = _grow(_silhouette(0.2))
    assert np.abs(start.sdf - _grid()).max() < 0.02
    assert start.tightness.min() > 0.8


def test_a_skirt_exists_from_the_start() -> None:
    x, y = _picture()
    skirt = (y < 0.1) & (y > -0.5) & (np.abs(x) < 0.2 + 0.3 * (0.1 - y))
    mask = _silhouette(0.2) | skirt
    start = _grow(mask)
    wanted, got = _at_nodes(mask), _front_silhouette(start.sdf)
    iou = (wanted & got).sum() / (wanted | got).sum()
    assert iou > 0.9
    body_only = _front_silhouette(_grid())
    assert (wanted & body_only).sum() / (wanted | body_only).sum() < iou - 0.1
    assert start.tightness.min() < 0.3


def test_the_face_does_not_swell_with_the_hair_around_it() -> None:
    skin = np.zeros((P, P), bool)
    x, y = _picture()
    skin[(np.abs(x) < 0.12) & (np.abs(y - 0.5) < 0.12)] = True
    start = _grow(_silhouette(0.3), skin=skin)
    middle, row = start.offset_front.shape[1] // 2, int((1 - 0.5) / 2 * start.offset_front.shape[0])
    assert abs(start.offset_front[row, middle]) < 1e-6
    assert start.offset_back[row, middle] > 0.07


def test_nothing_is_read_outside_the_photo() -> None:
    known = np.ones((P, P), bool)
    known[P // 2 :] = False
    mask = _silhouette(0.3)
    mask[P // 2 :] = False
    start = _grow(mask, known=known)
    lower = start.offset_front[start.offset_front.shape[0] * 3 // 4 :]
    assert np.abs(lower).max() < 1e-6
