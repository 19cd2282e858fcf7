"""Batches for the compact prior: a few people, each with its photo and some of its other views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from backend.body.model import Region
from backend.guidance.compact_network import fold, fold_maps, view_tokens
from backend.guidance.correspondence import PhotoPlaces, carry_colors
from backend.training.front_details import with_front_details
from backend.training.photo_damage import Tone, damaged, over_grey
from backend.training.prior_store import SIDE, PackedPerson, Views

_PARTS = (Region.HEAD, Region.UPPER, Region.LOWER, Region.FEET)


@dataclass(frozen=True)
class PriorBatch:
    """r photos and b targets, folded; ``owner`` says whose photo each target has."""

    photo: Float[Tensor, "r c h w"]
    photo_maps: Float[Tensor, "r m h w"]
    photo_tokens: Float[Tensor, "r 1 k"]
    clean: Float[Tensor, "b c h w"]
    start: Float[Tensor, "b c h w"]
    """What distillation would noise: the photo's carried colours in the person's outline, more or less of
    them (equal to ``clean`` where nothing is carried)."""
    weight: Float[Tensor, "b 1 h4 w4"]
    """Of each pixel in the loss: the person counts more than the plain grey around."""
    maps: Float[Tensor, "b m h w"]
    tokens: Float[Tensor, "b 1 k"]
    owner: Int[Tensor, "b"]


@dataclass(frozen=True)
class BatchShape:
    """People and targets of a batch, and the columns that are kept of every picture."""

    people: int = 4
    targets: int = 3
    width: int = 96
    front_details: float = 0.4
    """Share of people who get some (:mod:`backend.training.front_details`)."""


def draw_batch(
    people: Sequence[PackedPerson], shape: BatchShape, rng: np.random.Generator
) -> PriorBatch:
    """Random people in random views, changed by chance (see :mod:`backend.training.photo_damage`)."""
    drawn = []
    for _ in range(shape.people):
        person = people[int(rng.integers(len(people)))]
        # The back is what the photo says least of: it comes half again as often.
        chance = 1.0 + 0.5 * (np.abs(_turned(person.azimuth)) > 100.0)
        chance[0] = 0.2
        others = rng.choice(len(person), shape.targets, replace=False, p=chance / chance.sum())
        views = person.views([0, *others.tolist()])
        if rng.random() < 0.5:
            views = mirrored(views)
        if rng.random() < shape.front_details:
            views = with_front_details(views, rng)
        drawn.append(_prepare(views, rng))
    return _stack(drawn, shape.width)


def exact_batch(person: PackedPerson, which: Sequence[int], width: int = SIDE) -> PriorBatch:
    """Chosen views of one person as they are, for validation."""
    views = person.views([0, *which])
    pictures = over_grey(views.color)
    return _stack([_colored(views, pictures[0], pictures, np.zeros(len(pictures)))], width)


@dataclass(frozen=True)
class _Person:
    photo: Float[np.ndarray, "n n 3"]
    pictures: Float[np.ndarray, "v n n 3"]
    warp: Float[np.ndarray, "v n n 3"]
    start: Float[np.ndarray, "v n n 3"]
    views: Views


def _prepare(views: Views, rng: np.random.Generator) -> _Person:
    tone = Tone.draw(rng)
    color = views.color.copy()
    color[..., :3] = tone.on(color[..., :3])
    # Mostly all of it: a run begins with the carried photo, and corrects it by and by.
    share = np.sqrt(rng.random(len(color))) if rng.random() < 0.5 else np.ones(len(color))
    return _colored(views, damaged(color[0], rng), over_grey(color), share)


def _colored(
    views: Views,
    photo: Float[np.ndarray, "n n 3"],
    pictures: Float[np.ndarray, "v n n 3"],
    carried: Float[np.ndarray, "v"],
) -> _Person:
    centered = photo * 2.0 - 1.0
    warp = np.stack([carry_colors(centered, places) for places in views.places])
    valid = np.stack([places.valid for places in views.places])[..., None]
    share = views.color[..., 3:] * valid * carried.astype(np.float32)[:, None, None, None]
    start = pictures + (warp * 0.5 + 0.5 - pictures) * share
    return _Person(photo, pictures, warp, start, views)


def mirrored(views: Views) -> Views:
    """The same person with left and right exchanged."""

    def flip(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[:, :, ::-1])

    across = np.array([-1.0, 1.0, 1.0], np.float32)
    n = views.near.shape[1]
    places = tuple(
        PhotoPlaces(
            np.ascontiguousarray(
                np.stack([n - 1.0 - p.xy[:, ::-1, 0], p.xy[:, ::-1, 1]], -1).astype(np.float32)
            ),
            np.ascontiguousarray(p.valid[:, ::-1]),
        )
        for p in views.places
    )
    return replace(
        views,
        color=flip(views.color),
        body_normal=flip(views.body_normal) * across,
        canonical=flip(views.canonical) * across,
        region=flip(views.region),
        near=flip(views.near),
        places=places,
        azimuth=-views.azimuth,
    )


def _stack(people: Sequence[_Person], width: int) -> PriorBatch:
    cut = (SIDE - width) // 2

    def pictures(arrays: Sequence[np.ndarray]) -> Tensor:
        whole = np.concatenate(arrays)[:, :, cut : SIDE - cut]
        return torch.from_numpy(np.ascontiguousarray(whole.transpose(0, 3, 1, 2), np.float32))

    def maps(rows: slice) -> dict[str, Tensor]:
        chosen = [p.views for p in people]
        return {
            "body_normal": pictures([v.body_normal[rows] for v in chosen]),
            "canonical": pictures([v.canonical[rows] for v in chosen]),
            "near": pictures([v.near[rows, ..., None] for v in chosen]),
            "parts": pictures(
                [np.stack([v.region[rows] == part for part in _PARTS], -1) for v in chosen]
            ),
            "warp": pictures([p.warp[rows] for p in people]),
            "warp_valid": pictures(
                [np.stack([q.valid for q in v.places[rows]])[..., None] for v in chosen]
            ),
        }

    def tokens(rows: slice) -> Tensor:
        azimuth = torch.from_numpy(np.concatenate([p.views.azimuth[rows] for p in people]))
        elevation = torch.from_numpy(np.concatenate([p.views.elevation[rows] for p in people]))
        return view_tokens(azimuth.float(), elevation.float())

    first, others = slice(0, 1), slice(1, None)
    each = len(people[0].views.azimuth) - 1
    alpha = pictures([p.views.color[1:, ..., 3:] for p in people])
    around = torch.nn.functional.max_pool2d(alpha, 9, 1, 4)
    return PriorBatch(
        photo=fold(pictures([p.photo[None] for p in people]) * 2.0 - 1.0),
        photo_maps=fold_maps(maps(first), reference=True),
        photo_tokens=tokens(first),
        clean=fold(pictures([p.pictures[1:] for p in people]) * 2.0 - 1.0),
        start=fold(pictures([p.start[1:] for p in people]) * 2.0 - 1.0),
        weight=0.2 + 0.8 * around,
        maps=fold_maps(maps(others), reference=False),
        tokens=tokens(others),
        owner=torch.arange(len(people)).repeat_interleave(each),
    )


def _turned(azimuth: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v"]:
    """Degrees in [-180, 180)."""
    return np.asarray((azimuth + 180.0) % 360.0 - 180.0)
