"""The whole of perception on the example photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from perception_support import Seen, cut_out, set_on

from backend.body.model import Region
from backend.errors import Cancelled, HumanRefError
from backend.events import Event, StageFinished, StageStarted, Warned
from backend.perception.overrides import Overrides
from backend.perception.perceive import perceive
from backend.perception.providers import PerceptionChoices
from backend.perception.region_files import write_regions

EMBEDDED = PerceptionChoices(*["embedded"] * 4)
STAGES = ["landmarks", "segmentation", "parsing", "caption"]


def test_embedded_perception(seen: Seen, capfd: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = []
    subject = perceive(seen.photo, EMBEDDED, on_event=events.append)
    assert [e.stage for e in events if isinstance(e, StageStarted)] == STAGES
    assert [e.stage for e in events if isinstance(e, StageFinished)] == STAGES
    assert list(subject.providers) == STAGES
    assert subject.photo is seen.photo
    assert subject.mask.shape == subject.regions.shape == seen.photo.rgb.shape[:2]
    np.testing.assert_array_equal(subject.mask, seen.mask)
    assert set(np.unique(subject.regions)) == {int(region) for region in Region}
    assert subject.warnings == ()
    assert "trousers" in subject.caption
    assert capfd.readouterr().err == ""


def test_everything_brought(seen: Seen, tmp_path: Path) -> None:
    mask = cv2.erode(seen.mask, np.ones((9, 9)))
    cv2.imwrite(str(tmp_path / "mask.png"), np.round(mask * 255).astype(np.uint8))
    regions = np.full(mask.shape, Region.UPPER, np.uint8)
    regions[600:] = Region.LOWER
    write_regions(tmp_path / "regions.png", regions)
    own = Overrides(
        mask=tmp_path / "mask.png", regions=tmp_path / "regions.png", caption="my friend"
    )
    subject = perceive(seen.photo, EMBEDDED, own)
    np.testing.assert_allclose(subject.mask, mask, atol=0.003)
    inside = subject.mask > 0.5
    np.testing.assert_array_equal(subject.regions[inside], regions[inside])
    assert subject.caption == "my friend"
    assert subject.providers["segmentation"] == "yours: mask.png"
    assert subject.providers["parsing"] == "yours: regions.png"


def test_a_half_length_cut_out_is_keyed_and_a_room_with_a_blank_wall_is_not(seen: Seen) -> None:
    hips = int(seen.detection.landmarks.body[[23, 24], 1].mean())
    whole = cut_out(seen, (1.0, 1.0, 1.0))
    half = replace(whole, rgb=whole.rgb[: hips - 30])
    subject = perceive(half, EMBEDDED)
    assert subject.providers["segmentation"].startswith("keyed")
    truth = seen.mask[: hips - 30] > 0.5
    found = subject.mask > 0.5
    assert (found & truth).sum() > 0.99 * (found | truth).sum()
    floor = whole.rgb.copy()
    floor[900:][seen.mask[900:] <= 0.5] = [0.35, 0.25, 0.2]
    subject = perceive(replace(whole, rgb=floor), EMBEDDED)
    assert subject.providers["segmentation"].startswith("mediapipe-grabcut")
    found, truth = subject.mask > 0.5, seen.mask > 0.5
    assert (found & truth).sum() > 0.97 * (found | truth).sum()


def test_a_users_mask_chooses_the_person(seen: Seen, tmp_path: Path) -> None:
    single = set_on(seen, np.array([0.55, 0.6, 0.62]))
    rgb = np.concatenate([single.rgb, single.rgb], 1)
    photo = type(single)(rgb=rgb, name="two", digest="0" * 64)
    mask = np.concatenate([seen.mask, 0 * seen.mask], 1)
    cv2.imwrite(str(tmp_path / "left.png"), np.round(mask * 255).astype(np.uint8))
    events: list[Event] = []
    subject = perceive(photo, EMBEDDED, Overrides(mask=tmp_path / "left.png"), None, events.append)
    assert subject.landmarks.body[:, 0].max() < seen.mask.shape[1]
    assert not [e for e in events if isinstance(e, Warned)]


def test_bad_requests_are_refused_before_any_model_runs(seen: Seen, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.full((20, 20), 255, np.uint8))
    events: list[Event] = []
    for choices, own, code in (
        (PerceptionChoices(parsing="magic"), Overrides(), "provider_unknown"),
        (EMBEDDED, Overrides(mask=tmp_path / "small.png"), "mask_size"),
        (EMBEDDED, Overrides(caption=" "), "caption_empty"),
        (EMBEDDED, Overrides(normals_back=tmp_path / "small.png"), "normals_values"),
    ):
        with pytest.raises(HumanRefError) as caught:
            perceive(seen.photo, choices, own, None, events.append)
        assert caught.value.code == code
    assert events == []


def test_an_observer_can_stop_it(seen: Seen) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, StageFinished):
            raise Cancelled

    with pytest.raises(Cancelled):
        perceive(seen.photo, EMBEDDED, on_event=stop)
