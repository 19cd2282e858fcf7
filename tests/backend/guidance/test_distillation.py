"""The guidance of a prior as the loop sees it: which losses when, and of what."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from backend.body import load_body
from backend.body.model import PosedBody, Region
from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from backend.events import Event, Warned
from backend.geometry.frames import FieldToWorld
from backend.guidance.body_views import RESOLUTION, BodyViews
from backend.guidance.distillation import PriorGuidance, side_normal_loss
from backend.guidance.prior_choice import GuidedPerson, load_prior, make_picture_guidance
from backend.guidance.protocol import Draws, GuidedPicture, PictureGuidance, PictureView
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.settings import GenerateSettings, PriorSettings, preset_settings

CPU = torch.device("cpu")
N = 64


@pytest.fixture(scope="module")
def body() -> tuple[PosedBody, FieldToWorld]:
    model = load_body()
    posed = model.pose(BodyPose.t_pose(model.n_betas))
    low, high = posed.vertices.min(0), posed.vertices.max(0)
    x, y, z = ((low + high) / 2).tolist()
    return posed, FieldToWorld(float((high - low).max() / 2 / 0.94), (x, y, z))


def _person(body: tuple[PosedBody, FieldToWorld], **changes: Any) -> GuidedPerson:
    mask = np.zeros((N, N), np.float32)
    mask[4:60, 20:44] = 1.0
    regions = np.zeros((N, N), np.uint8)
    for part, rows in zip((1, 2, 3, 4), ((4, 14), (14, 34), (34, 54), (54, 60)), strict=True):
        regions[rows[0] : rows[1], 20:44] = part
    face = np.zeros((N, N), bool)
    face[6:12, 28:36] = True
    rng = np.random.default_rng(0)
    person = GuidedPerson(
        rgb=rng.random((N, N, 3)).astype(np.float32),
        mask=mask,
        regions=regions,
        face=face,
        caption="a person in a red coat",
        body=body[0],
        field_to_world=body[1],
        tightness=np.ones((8, 8), np.float32),
    )
    return replace(person, **changes)


def _settings(guidance: Any = "ref-sds", **prior: Any) -> GenerateSettings:
    draft = preset_settings("draft")
    small = {"t_min": 200, "t_max": 220, "t_max_end": 210, "refine_steps": 5, "refine_last": 2}
    return replace(draft, guidance=guidance, prior=PriorSettings(**{**small, **prior}))


def _picture(view: PictureView, seed: int = 0) -> GuidedPicture:
    generator = Generator().manual_seed(seed)
    opacity = torch.zeros(N, N)
    opacity[4:60, 16:48] = 1.0
    background = torch.tensor([0.2, 0.9, 0.1])
    inside = torch.rand(1, 3, N, N, generator=generator)
    color = inside * opacity + background[None, :, None, None] * (1 - opacity)
    normal = torch.randn(N, N, 3, generator=generator)
    return GuidedPicture(
        view=view,
        color=color.requires_grad_(),
        opacity=opacity,
        normal=normal,
        points=torch.zeros(N, N, 3),
        background=background,
    )


def _draws(seed: int = 0) -> Draws:
    generator = Generator().manual_seed(seed)
    return Draws(generator, generator)


def _guidance(
    prior: StableDiffusionPrior, body: tuple[PosedBody, FieldToWorld], **changes: Any
) -> PriorGuidance:
    return make_picture_guidance(_settings(**changes), prior, _person(body), CPU)


def test_refinement_joins_when_the_bank_is_visited_and_is_kept(
    tiny_prior: StableDiffusionPrior, body: tuple[PosedBody, FieldToWorld]
) -> None:
    guidance = _guidance(tiny_prior, body)
    assert isinstance(guidance, PictureGuidance)
    early = guidance.view(20, Generator().manual_seed(0))
    late = guidance.view(140, Generator().manual_seed(0))
    assert early is not None
    assert late is not None
    assert early.bank is None
    assert late.bank is not None
    assert set(guidance.losses(20, _picture(early), _draws())) == {"sds", "side_normal"}
    picture = _picture(late)
    first = guidance.losses(140, picture, _draws())
    assert set(first) == set(guidance.terms)
    assert float(first["perceptual"].detach()) > 0.0
    # Kept: later random numbers do not change what the picture is compared with.
    again = guidance.losses(141, _picture(late), _draws(5))["perceptual"].detach()
    torch.testing.assert_close(again, first["perceptual"].detach())
    # A resumed run compares with the same picture.
    resumed = _guidance(tiny_prior, body)
    resumed.load_state_dict(guidance.state_dict())
    other = resumed.losses(141, _picture(late), _draws(9))["perceptual"].detach()
    torch.testing.assert_close(other, again)


def test_where_the_photo_rules_a_prior_moves_only_what_turns_away(
    tiny_prior: StableDiffusionPrior, body: tuple[PosedBody, FieldToWorld]
) -> None:
    picture = _picture(PictureView(150.0, 0.0, 128))
    normal = torch.zeros(N, N, 3)
    normal[:, :32, 2], normal[:, 32:, 2] = 1.0, -1.0
    for rules in (False, True):
        guidance = _guidance(tiny_prior, body, photo_rules=rules)
        seen = replace(picture, normal=normal)
        (gradient,) = torch.autograd.grad(
            guidance.losses(20, seen, _draws())["sds"], seen.color, retain_graph=True
        )
        assert float(gradient[..., 40:].abs().max()) > 0.0
        assert (float(gradient[..., :32].abs().max()) == 0.0) == rules


def test_the_background_of_a_render_is_no_part_of_the_perceptual_loss(
    tiny_prior: StableDiffusionPrior, body: tuple[PosedBody, FieldToWorld]
) -> None:
    picture = _picture(PictureView(100.0, 0.0, 128))
    plain = picture.over(torch.tensor([0.5, 0.5, 0.5])).detach()
    assert torch.equal(plain[..., 16:48][..., 4:60, :], picture.color[..., 16:48][..., 4:60, :])
    assert float((plain[0, :, :4] - 0.5).abs().max()) < 1e-6


@pytest.mark.parametrize("guidance", ["ref-sds", "ref-sds-global", "sds", "vsd"])
def test_text_only_methods_do_not_see_the_photo(
    tiny_folder: Any, body: tuple[PosedBody, FieldToWorld], guidance: str
) -> None:
    prior = StableDiffusionPrior.load(tiny_folder)
    view, losses = PictureView(150.0, 0.0, 128), []
    for brightness in (0.1, 0.9):
        person = _person(body, rgb=np.full((N, N, 3), brightness, np.float32))
        made = make_picture_guidance(_settings(guidance), prior, person, CPU)
        assert guidance in made.name
        losses.append(float(made.losses(20, _picture(view), _draws())["sds"].detach()))
    assert (losses[0] == losses[1]) == (guidance in ("sds", "vsd"))


def test_regions_matter_to_ref_sds_alone(
    tiny_prior: StableDiffusionPrior, body: tuple[PosedBody, FieldToWorld]
) -> None:
    view = PictureView(150.0, 0.0, 128)
    for guidance, matters in (("ref-sds", True), ("ref-sds-global", False)):
        losses = []
        for shift in (0, 20):
            person = _person(body)
            person = replace(person, regions=np.roll(person.regions, shift, 0))
            settings = _settings(guidance, hide_face=False)
            made = make_picture_guidance(settings, tiny_prior, person, CPU)
            losses.append(float(made.losses(20, _picture(view), _draws())["sds"].detach()))
        assert (losses[0] != losses[1]) == matters


def test_side_normals_count_in_profile_only(body: tuple[PosedBody, FieldToWorld]) -> None:
    views = BodyViews(*body, np.ones((8, 8), np.uint8), "body", CPU)
    tight = torch.ones(8, 8)

    def loss(azimuth: float, flip: float = -1.0, trust: Tensor = tight) -> float:
        seen = views.at(azimuth, 0.0)
        picture = GuidedPicture(
            view=PictureView(azimuth, 0.0, RESOLUTION),
            color=torch.zeros(1, 3, RESOLUTION, RESOLUTION),
            opacity=seen.covered.float(),
            normal=flip * seen.normal,
            points=torch.zeros(RESOLUTION, RESOLUTION, 3),
            background=torch.zeros(3),
        )
        return float(side_normal_loss(picture, seen, trust))

    assert loss(90.0, flip=1.0) < 1e-6
    assert abs(loss(90.0) - 4.0) < 1e-4, "opposite unit normals"
    assert abs(loss(45.0) - 2.0) < 1e-4, "sin^2 of 45 degrees"
    assert loss(180.0) < 1e-6
    assert loss(90.0, trust=0.0 * tight) == 0.0


def test_a_view_of_the_body_has_outward_normals(body: tuple[PosedBody, FieldToWorld]) -> None:
    views = BodyViews(*body, np.ones((8, 8), np.uint8), "body", CPU)
    back = views.at(180.0, 0.0)
    assert float(back.normal[back.covered][:, 2].mean()) < -0.5
    assert torch.equal(back.normal.norm(dim=-1) > 0.5, back.covered)
    assert set(back.labels.unique().tolist()) <= {1, 2, 3, 4}
    bands = BodyViews(*body, _person(body).regions, "bands", CPU).at(180.0, 0.0).labels[0]
    assert bool((bands == bands[:, :1]).all()), "bands are horizontal"
    assert set(bands.unique().tolist()) == {int(part) for part in Region} - {0}


@pytest.mark.parametrize("caption", ["", "word " * 2000])
def test_any_caption_will_do(
    tiny_folder: Any, body: tuple[PosedBody, FieldToWorld], caption: str
) -> None:
    told: list[Event] = []
    prior = load_prior(PriorSettings(folder=tiny_folder), CPU, told.append)
    made = make_picture_guidance(_settings(), prior, _person(body, caption=caption), CPU)
    loss = made.losses(20, _picture(PictureView(150.0, 0.0, 128)), _draws())["sds"]
    assert bool(torch.isfinite(loss))
    cut = [event.code for event in told if isinstance(event, Warned)]
    assert cut == (["caption_cut"] if caption else [])


def test_without_a_prior_the_command_that_fetches_one_is_told() -> None:
    with pytest.raises(HumanRefError) as error:
        load_prior(PriorSettings(), CPU)
    assert error.value.code == "prior_missing"
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5" in error.value.hint
    assert "--prior" in error.value.hint


def test_the_description_says_method_licence_and_features(
    tiny_prior: StableDiffusionPrior, body: tuple[PosedBody, FieldToWorld]
) -> None:
    settings = _settings("sds", bank_views=0)
    told = make_picture_guidance(settings, tiny_prior, _person(body), CPU).description
    assert "plain SDS" in told
    assert "gpl-3.0" in told
    assert "no refinement" in told
    assert "EffNet-Lite0 perceptual" in _guidance(tiny_prior, body).description


def test_the_paper_preset_is_the_papers() -> None:
    paper = preset_settings("paper").prior
    assert (paper.t_min, paper.t_max, paper.t_max_end) == (200, 600, 600)
    assert (paper.gamma, paper.target_regions, paper.hide_face) == (0.3, "bands", False)
    assert (paper.start * 12_000, paper.refine_from) == (600, 0.8)
    assert (paper.refine_steps, paper.refine_last) == (30, 6)
    ours = PriorSettings()
    assert dataclasses.replace(ours, t_max_end=600) != paper
    assert (ours.t_max_end, ours.hide_face) == (300, True)
