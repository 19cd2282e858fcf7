"""The mirror baseline."""

import numpy as np
import pytest
import torch

from backend.errors import HumanRefError
from backend.guidance import GuidedRays, make_guidance
from backend.guidance.mirror import (
    MirrorAnchor,
    MirrorGuidance,
    NoGuidance,
    extend_colors,
    hide_face,
)
from backend.guidance.objections import Objections

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


def test_a_painted_face_in_a_hood_leaves_the_hood_behind() -> None:
    """The face is darker than its forehead: as far from its middle tone as skin is from hair elsewhere."""
    person = _person()
    y, x = np.mgrid[:N, :N]
    person["rgb"][(x - 64) ** 2 + ((y - 36) / 1.2) ** 2 < 13**2] = SKIN
    person["rgb"][person["face"] & (y > 32) & (y < 48)] = (0.16, 0.12, 0.1)
    hidden = hide_face(person["rgb"], person["face"], person["head"])
    assert np.linalg.norm(hidden[person["head"]] - HAIR, axis=-1).max() < 0.3


def test_a_chin_gives_way_to_the_neck_below_it() -> None:
    person = _person()
    y, _ = np.mgrid[:N, :N]
    lips, neck = (0.9, 0.1, 0.1), (0.6, 0.4, 0.3)
    low = person["head"] & (y > 48)
    person["rgb"][low & ~person["face"]] = neck
    person["rgb"][low & person["face"]] = lips
    hidden = hide_face(person["rgb"], person["face"], person["head"])[50:52, 60:69]
    assert np.linalg.norm(hidden - neck, axis=-1).max() < 0.2


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


def _rays(guidance: MirrorGuidance, change: float) -> GuidedRays:
    points = torch.tensor([[0.0, 0.0, -0.1], [0.1, -0.2, -0.1]])
    normal = torch.tensor([[0.0, 0.0, -1.0]]).expand(2, 3)
    color = guidance.target(points, normal) + change
    return GuidedRays(180.0, color, torch.ones(2), points, normal)


def test_an_anchor_paints_first_then_keeps_what_nothing_objects_to() -> None:
    mirror = MirrorGuidance(**_person(), device=torch.device("cpu"))  # type: ignore[arg-type]
    objections = Objections(torch.device("cpu"))
    anchor = MirrorAnchor(mirror, steps=10, weight=0.5, objections=objections)
    generator = torch.Generator().manual_seed(0)
    assert anchor.azimuth(0, generator) is not None
    rays = _rays(mirror, 0.6)
    assert torch.equal(anchor.loss(rays), mirror.loss(rays))
    assert anchor.azimuth(10, generator) is not None
    # However far it is: a pattern that has not been painted yet is not given up.
    torch.testing.assert_close(anchor.loss(rays), 0.5 * mirror.loss(rays))
    half = torch.full((2,), 0.5)
    objections.add(rays.points, rays.normal, half, torch.ones(2))
    torch.testing.assert_close(anchor.loss(rays), 0.25 * mirror.loss(rays))
    silent = MirrorAnchor(mirror, steps=10, weight=0.0, objections=objections)
    assert silent.azimuth(10, generator) is None


def test_objections_are_of_one_side_and_their_mean() -> None:
    objections = Objections(torch.device("cpu"))
    point = torch.tensor([[0.25, -0.5, 0.0]])
    front, back = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    for share in (0.2, 0.6):
        objections.add(point, back, torch.tensor([share]), torch.ones(1))
    assert float(objections.at(point, back)) == pytest.approx(0.4, abs=1e-5)
    assert float(objections.at(point, front)) == 0.0
    assert float(objections.at(point + 0.2, back)) == 0.0
    again = Objections(torch.device("cpu"))
    again.load_state_dict(objections.state_dict(), torch.device("cpu"))
    assert float(again.at(point, back)) == float(objections.at(point, back))


def test_what_is_carried_to_the_back_holds_where_nothing_objects() -> None:
    mirror = MirrorGuidance(**_person(), device=torch.device("cpu"))  # type: ignore[arg-type]
    whole = mirror.carried()
    assert whole.holds.min() == 1.0
    np.testing.assert_allclose(whole.front[40, 64], SKIN, atol=1e-3)
    assert np.linalg.norm(whole.back[40, 64] - SKIN) > 0.3
    objections = Objections(torch.device("cpu"))
    anchor = MirrorAnchor(mirror, steps=10, weight=0.5, objections=objections)
    assert anchor.carried().holds.min() == 1.0
    x, y = _field_xy(80, 90)
    place, away = torch.tensor([[x, y, 0.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    objections.add(place, away, torch.tensor([0.75]), torch.ones(1))
    holds = anchor.carried().holds
    assert holds[90, 80] == pytest.approx(0.25, abs=1e-5)
    assert holds[90, 40] == 1.0
    # Said of the front, it is none of the back's business.
    objections.add(place, -away, torch.ones(1), torch.ones(1))
    np.testing.assert_allclose(anchor.carried().holds, holds, atol=1e-6)
    assert MirrorAnchor(mirror, 10, 0.0, objections).carried().holds.max() == 0.0
    assert NoGuidance().carried() is None
