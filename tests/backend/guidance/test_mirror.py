"""The mirror baseline."""

import numpy as np
import pytest
import torch

from backend.errors import HumanRefError
from backend.guidance import GuidedRays, make_guidance
from backend.guidance.mirror import MirrorGuidance, extend_colors, hide_face

N = 128
SKIN, HAIR, CLOTH = (0.8, 0.6, 0.5), (0.1, 0.05, 0.02), (0.2, 0.3, 0.7)


def _person(lift: int = 0) -> dict[str, np.ndarray]:
    """A round head with a face under hair, on a blue trunk, before a green wall."""
    y, x = np.mgrid[lift : N + lift, :N]
    head = (x - 64) ** 2 + (y - 34) ** 2 < 20**2
    face = (x - 64) ** 2 + ((y - 40) / 1.1) ** 2 < 12**2
    trunk = (np.abs(x - 64) < 30) & (y > 52)
    rgb = np.zeros((N, N, 3), np.float32)
    rgb[:] = (0, 1, 0)
    rgb[trunk], rgb[head], rgb[face] = CLOTH, HAIR, SKIN
    return {
        "rgb": rgb,
        "mask": (head | trunk).astype(np.float32),
        "face": face,
        "head": head,
        "known": np.ones((N, N), bool),
    }


def _field_xy(column: int, row: int) -> tuple[float, float]:
    return (column + 0.5) / N * 2 - 1, 1 - (row + 0.5) / N * 2


def _target(guidance: MirrorGuidance, column: int, row: int, facing: float) -> np.ndarray:
    x, y = _field_xy(column, row)
    points = torch.tensor([[x, y, 0.0]])
    return guidance.target(points, torch.tensor([[0.0, 0.0, facing]]))[0].numpy()


def test_back_shows_the_cloth_at_the_same_place_and_no_face() -> None:
    guidance = MirrorGuidance(**_person(), device=torch.device("cpu"))
    np.testing.assert_allclose(_target(guidance, 80, 90, -1.0), CLOTH, atol=1e-3)
    np.testing.assert_allclose(_target(guidance, 64, 40, 1.0), SKIN, atol=1e-3)
    back = _target(guidance, 64, 40, -1.0)
    assert np.linalg.norm(back - HAIR) < 0.15 < np.linalg.norm(back - SKIN)


def test_a_forehead_and_ears_do_not_pass_for_hair() -> None:
    person = _person()
    y, _ = np.mgrid[:N, :N]
    person["rgb"][person["head"] & (y > 22)] = SKIN
    guidance = MirrorGuidance(**person, device=torch.device("cpu"))
    for column, row in ((64, 40), (50, 34), (64, 28)):
        assert np.linalg.norm(_target(guidance, column, row, -1.0) - HAIR) < 0.2


def test_a_bald_head_keeps_its_skin_behind() -> None:
    person = _person()
    person["rgb"][person["head"]] = SKIN
    guidance = MirrorGuidance(**person, device=torch.device("cpu"))
    np.testing.assert_allclose(_target(guidance, 64, 40, -1.0), SKIN, atol=0.05)


def test_a_face_near_the_upper_edge_is_hidden_too() -> None:
    guidance = MirrorGuidance(**_person(lift=12), device=torch.device("cpu"))
    assert np.linalg.norm(_target(guidance, 64, 26, -1.0) - HAIR) < 0.15


def test_the_wall_never_reaches_the_person() -> None:
    guidance = MirrorGuidance(**_person(), device=torch.device("cpu"))
    for facing in (1.0, -1.0):
        for column in (34, 35, 93, 94, 110):
            color = _target(guidance, column, 100, facing)
            np.testing.assert_allclose(color, CLOTH, atol=1e-3)


def test_legs_below_the_photo_take_the_clothing_s_tone_without_stripes() -> None:
    person = _person()
    person["known"][100:] = False
    person["mask"][100:] = 0
    person["rgb"][94:100, 60:68] = (1, 1, 1)
    guidance = MirrorGuidance(**person, device=torch.device("cpu"))
    np.testing.assert_allclose(_target(guidance, 64, 125, 1.0), CLOTH, atol=0.02)
    np.testing.assert_allclose(_target(guidance, 40, 125, 1.0), CLOTH, atol=0.02)


def test_loss_is_zero_at_the_target_and_grows_away_from_it() -> None:
    guidance = MirrorGuidance(**_person(), device=torch.device("cpu"))
    x, y = _field_xy(80, 90)
    points, normal = torch.tensor([[x, y, 0.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    color = guidance.target(points, normal)
    rays = GuidedRays(180.0, color, torch.ones(1), points, normal)
    assert float(guidance.loss(rays)) == 0.0
    off = GuidedRays(180.0, color + 0.1, torch.ones(1), points, normal)
    assert abs(float(guidance.loss(off)) - 0.01) < 1e-6


def test_hide_face_leaves_a_faceless_picture_alone() -> None:
    person = _person()
    none = np.zeros((N, N), bool)
    assert np.array_equal(hide_face(person["rgb"], none, person["head"]), person["rgb"])


def test_extend_colors_takes_the_nearest_inside_pixel() -> None:
    rgb = np.zeros((9, 9, 3), np.float32)
    rgb[4, 4] = (1, 0, 0)
    inside = np.zeros((9, 9), bool)
    inside[4, 4] = True
    assert (extend_colors(rgb, inside) == (1, 0, 0)).all()


def test_an_unknown_guidance_is_refused() -> None:
    with pytest.raises(HumanRefError) as error:
        make_guidance("magic", **_person(), device=torch.device("cpu"))
    assert error.value.code == "guidance_unknown"
