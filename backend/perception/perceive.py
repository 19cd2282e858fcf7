"""From a photo to a :class:`Subject`: landmarks, silhouette, regions, caption (3.1)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from backend.errors import HumanRefError
from backend.events import OnEvent, StageFinished, StageStarted, Warned, ignore_events
from backend.perception.backdrop import confirmed_by, find_backdrop
from backend.perception.landmarks import MIN_PERSON_HEIGHT
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.overrides import (
    Overrides,
    check_mask_on_person,
    read_caption,
    read_mask,
    read_normals,
    read_regions,
)
from backend.perception.providers import (
    PerceptionChoices,
    make_captioner,
    make_landmark_estimator,
    make_parser,
    make_segmenter,
    select,
)
from backend.perception.subject import Photo, Subject


def perceive(
    photo: Photo,
    choices: PerceptionChoices | None = None,
    overrides: Overrides | None = None,
    person: int | None = None,
    on_event: OnEvent = ignore_events,
) -> Subject:
    """Everything perception knows of one person in the photo.

    Files the user brought are read and checked before any model runs; a mask the user brought also
    decides who is meant. ``person`` counts from the left, from 0; None takes the largest.

    Raises:
        HumanRefError: ``no_person``, ``person_index``, ``person_too_small``, ``mask_...``,
            ``regions_...``, ``normals_...``, ``caption_empty``, ``provider_unknown``,
            ``weights_...``, ``missing_package``.
    """
    choices = choices or PerceptionChoices()
    overrides = overrides or Overrides()
    own_mask = _check_first(photo, choices, overrides)
    backdrop = find_backdrop(photo) if photo.matte is None else None
    providers: dict[str, str] = {}
    warnings: list[str] = []

    @contextmanager
    def stage(name: str, provider: str, why: str) -> Iterator[None]:
        providers[name] = f"{provider}: {why}"
        on_event(StageStarted(name, providers[name]))
        start = time.perf_counter()
        yield
        on_event(StageFinished(name, time.perf_counter() - start))

    with MediapipeModels() as models:
        finder, why = make_landmark_estimator(models)
        with stage("landmarks", finder.name, why):
            # With a mask of the user's own, only what it shows is looked at.
            shown = photo if own_mask is None else replace(photo, matte=own_mask)
            detection = finder.estimate(shown, backdrop, person)
        if backdrop is not None:
            backdrop = confirmed_by(backdrop, detection.prior)
        for code, message in detection.warnings:
            warnings.append(message)
            on_event(Warned(code, message))
        if own_mask is not None and overrides.mask is not None:
            with stage("segmentation", "yours", overrides.mask.name):
                check_mask_on_person(own_mask, detection.prior, overrides.mask.name)
                mask = own_mask
        else:
            segmenter, why = make_segmenter(choices, photo, backdrop, models)
            with stage("segmentation", segmenter.name, why):
                mask = segmenter.segment(photo, detection, backdrop)
    _check_height(mask)
    if overrides.regions is not None:
        with stage("parsing", "yours", overrides.regions.name):
            regions = read_regions(overrides.regions, photo, mask)
    else:
        parser, why = make_parser(choices, overrides.cuts)
        with stage("parsing", parser.name, why):
            regions = parser.parse(photo, mask, detection.landmarks)
    if overrides.caption is not None:
        with stage("caption", "yours", "you wrote it"):
            caption = read_caption(overrides.caption)
    else:
        captioner, why = make_captioner(choices)
        with stage("caption", captioner.name, why):
            caption = captioner.caption(photo, regions, detection.landmarks)
    return Subject(
        photo=photo,
        mask=mask.astype(np.float32),
        regions=regions,
        landmarks=detection.landmarks,
        caption=caption,
        providers=providers,
        warnings=tuple(warnings),
    )


def _check_first(
    photo: Photo, choices: PerceptionChoices, overrides: Overrides
) -> Float[np.ndarray, "h w"] | None:
    """Refuse unknown names and unusable files before seconds are spent; the user's mask, if any."""
    for name in ("segmentation", "parsing", "caption", "normals"):
        select(name, getattr(choices, name), device=choices.device)
    if overrides.caption is not None:
        read_caption(overrides.caption)
    if overrides.normals_front is not None:
        read_normals(overrides.normals_front, photo, back=False)
    if overrides.normals_back is not None:
        read_normals(overrides.normals_back, photo, back=True)
    mask = None if overrides.mask is None else read_mask(overrides.mask, photo)
    if overrides.regions is not None and mask is not None:
        read_regions(overrides.regions, photo, mask)
    return mask


def _check_height(mask: Float[np.ndarray, "h w"]) -> None:
    rows = np.flatnonzero((mask > 0.5).any(1))
    height = int(rows[-1] - rows[0] + 1) if rows.size else 0
    if height < MIN_PERSON_HEIGHT:
        raise HumanRefError(
            "person_too_small",
            f"The person's silhouette is {height} pixels tall; at least {MIN_PERSON_HEIGHT} are "
            "needed.",
            "Use a larger photo, or bring your own silhouette with --mask.",
        )
