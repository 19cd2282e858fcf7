"""Who does a stage, and why: decided in one place and always told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from perception_support import Seen, as_photo, cut_out

from backend.errors import HumanRefError
from backend.perception import providers
from backend.perception.backdrop import find_backdrop
from backend.perception.compact_normals import CompactNormals
from backend.perception.cut_lines import CutLines
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.normals import BodyNormals
from backend.perception.overrides import Overrides
from backend.perception.providers import (
    PerceptionChoices,
    make_captioner,
    make_normal_estimator,
    make_parser,
    make_segmenter,
    provider_report,
    select,
)
from backend.perception.user_normals import UserNormals

STAGES = ("segmentation", "parsing", "caption", "normals")


@pytest.fixture
def weights_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "installed", lambda *_: True)
    monkeypatch.setattr(providers, "local_weights", lambda repo: Path("here"))


@pytest.fixture
def weights_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "installed", lambda *_: True)
    monkeypatch.setattr(providers, "local_weights", lambda repo: None)


@pytest.mark.parametrize("stage", STAGES)
def test_auto_without_weights(stage: str, weights_absent: None) -> None:
    chosen = select(stage, "auto", gpu=True)
    assert not chosen.full
    assert "not on this machine" in chosen.why


@pytest.mark.parametrize("stage", STAGES)
def test_auto_with_weights_but_no_gpu(stage: str, weights_here: None) -> None:
    chosen = select(stage, "auto", gpu=False)
    assert not chosen.full
    assert "no GPU" in chosen.why


@pytest.mark.parametrize(
    ("stage", "name"),
    list(zip(STAGES, ("birefnet", "segformer", "blip", "marigold"), strict=True)),
)
def test_auto_with_weights_and_gpu(stage: str, name: str, weights_here: None) -> None:
    chosen = select(stage, "auto", gpu=True)
    assert chosen.full
    assert chosen.name == name
    assert not chosen.allow_download


@pytest.fixture
def gpu_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")


@pytest.mark.parametrize("stage", STAGES)
def test_a_device_that_was_asked_for_decides(
    stage: str, weights_here: None, gpu_here: None
) -> None:
    assert select(stage, "auto").full
    assert select(stage, "auto", device="cuda").full
    on_cpu = select(stage, "auto", device="cpu")
    assert not on_cpu.full
    assert "the CPU was asked for" in on_cpu.why


@pytest.mark.parametrize(("device", "used"), [("cpu", "cpu"), ("cuda", "cuda"), ("auto", "cuda")])
def test_a_named_provider_runs_where_it_was_asked_to(
    device: str,
    used: str,
    gpu_here: None,
    seen: Seen,
    models: MediapipeModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[str] = []

    class Made:
        name = "made"

        def __init__(self, *_: object, device: str, **__: object) -> None:
            given.append(device)

        segment = parse = caption = estimate = lambda *_: None

    for place in (
        "segmentation_hub.BirefnetSegmentation",
        "segmentation_hub.MaskRcnnSegmentation",
        "parsing_hub.SegformerParsing",
        "caption_hub.BlipCaption",
        "normals_hub.MarigoldNormals",
    ):
        monkeypatch.setattr(f"backend.perception.{place}", Made)
    full = PerceptionChoices("birefnet", "segformer", "blip", "marigold", device)
    make_segmenter(full, seen.photo, None, models)
    make_segmenter(replace(full, segmentation="mask-rcnn"), seen.photo, None, models)
    make_parser(full, CutLines())
    make_captioner(full)
    make_normal_estimator(full, Overrides())
    assert given == [used] * 5


def test_auto_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "installed", lambda *_: False)
    chosen = select("normals", "auto", gpu=True)
    assert not chosen.full
    assert "[hub]" in chosen.why


def test_a_named_provider_with_its_own_weights() -> None:
    chosen = select("caption", "blip2:/some/folder")
    assert (chosen.name, chosen.weights, chosen.allow_download) == ("blip2", "/some/folder", True)
    assert select("parsing", "fashn").weights == "fashn-ai/fashn-human-parser"
    assert not select("parsing", "embedded").full


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(HumanRefError) as caught:
        select("segmentation", "magic")
    assert caught.value.code == "provider_unknown"
    for name in ("auto", "embedded", "grabcut", "birefnet", "mask-rcnn"):
        assert name in caught.value.hint


def test_cut_out_photos_are_keyed(seen: Seen, models: MediapipeModels) -> None:
    auto = PerceptionChoices()
    plain, why = make_segmenter(auto, seen.photo, None, models)
    assert plain.name == "mediapipe-grabcut"
    matte, why = make_segmenter(auto, as_photo(seen.photo.rgb, matte=seen.mask), None, models)
    assert matte.name == "keyed"
    assert "alpha" in why
    photo = cut_out(seen, (0.0, 0.0, 0.0))
    black, why = make_segmenter(auto, photo, find_backdrop(photo), models)
    assert black.name == "keyed"
    assert "one colour" in why
    named = PerceptionChoices(segmentation="grabcut")
    asked, why = make_segmenter(named, photo, find_backdrop(photo), models)
    assert asked.name == "mediapipe-grabcut"
    assert why == "asked for"


def test_embedded_stages(tmp_path: Path) -> None:
    embedded = PerceptionChoices(*["embedded"] * 4)
    assert make_parser(embedded, CutLines())[0].name == "landmark-capsules"
    assert make_captioner(embedded)[0].name == "template"
    estimator, _ = make_normal_estimator(embedded, Overrides())
    assert isinstance(estimator, CompactNormals)
    body, why = make_normal_estimator(PerceptionChoices(normals="body"), Overrides())
    assert isinstance(body, BodyNormals)
    assert why == "asked for"
    own = Overrides(normals_front=tmp_path / "f.png")
    estimator, why = make_normal_estimator(embedded, own)
    assert isinstance(estimator, UserNormals)
    assert "you brought the front map" in why


def test_a_named_full_provider_without_weights_is_an_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for call in (
        lambda: make_parser(PerceptionChoices(parsing=f"segformer:{missing}"), CutLines()),
        lambda: make_captioner(PerceptionChoices(caption=f"blip:{missing}")),
        lambda: make_normal_estimator(
            PerceptionChoices(normals=f"marigold:{missing}"), Overrides()
        ),
        lambda: make_normal_estimator(PerceptionChoices(normals=f"compact:{missing}"), Overrides()),
    ):
        with pytest.raises(HumanRefError) as caught:
            call()
        assert caught.value.code == "weights_missing"


def test_the_report_covers_every_stage(weights_absent: None) -> None:
    rows = provider_report()
    assert [row.stage for row in rows] == ["landmarks", *STAGES]
    for row in rows:
        assert row.provider
        assert row.why
        assert row.licence
        assert "--" in row.improve


def test_the_report_names_the_full_ones(weights_here: None) -> None:
    rows = {row.stage: row for row in provider_report(gpu=True)}
    assert rows["segmentation"].provider == "birefnet"
    assert rows["segmentation"].licence == "MIT"
