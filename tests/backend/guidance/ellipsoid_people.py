"""People of two ellipsoids: every place, normal and colour of theirs is known by formula."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from backend.body.model import Region
from backend.geometry.cameras import OrthographicCamera, pixel_centers
from backend.guidance.compact_network import CompactConfig, CompactNetwork, noise_schedule
from backend.guidance.correspondence import BodyPicture

SIDE = 128
TINY = CompactConfig(channels=(16, 32, 32), heads=4)
# Centre and half axes: a flat trunk, and a head whose face fills the canonical face.
TRUNK = ((0.0, -0.17, 0.0), (0.3, 0.78, 0.1))
HEAD = ((0.0, 0.78, 0.0), (0.15, 0.16, 0.15))


def seen(azimuth: float, size: int = SIDE, grow: float = 0.0) -> tuple[np.ndarray, ...]:
    """What a camera sees: coverage, place and normal, all (n, n, ...), and region (n, n)."""
    right, up, backward = OrthographicCamera(azimuth).axes()
    xy = pixel_centers(size)
    front = np.full(len(xy), -np.inf)
    place, normal = np.zeros((2, len(xy), 3))
    head = np.zeros(len(xy), bool)
    for center, axes in (TRUNK, HEAD):
        scale = 1.0 / (np.array(axes) + grow)
        start = (xy[:, :1] * right + xy[:, 1:] * up - center) * scale
        along = backward * scale
        a, b = along @ along, start @ along
        root = b**2 - a * ((start**2).sum(-1) - 1.0)
        w = (-b + np.sqrt(np.maximum(root, 0.0))) / a
        nearer = (root > 0.0) & (w > front)
        on_unit = start + w[:, None] * along
        front = np.where(nearer, w, front)
        place[nearer] = (on_unit / scale + center)[nearer]
        outwards = on_unit * scale
        normal[nearer] = (outwards / np.linalg.norm(outwards, axis=-1, keepdims=True))[nearer]
        head[nearer] = (center, axes) == HEAD
    covered = np.isfinite(front)
    height = place[:, 1]
    region = np.where(
        height > -0.1, Region.UPPER, np.where(height > -0.8, Region.LOWER, Region.FEET)
    )
    region = np.where(head, Region.HEAD, region) * covered
    square = (size, size)
    return (
        covered.reshape(square),
        place.reshape(*square, 3),
        normal.reshape(*square, 3),
        region.astype(np.uint8).reshape(square),
    )


def body_picture(azimuth: float, size: int = SIDE) -> BodyPicture:
    """The naked body from an azimuth (degrees)."""
    _, place, normal, region = seen(azimuth, size)
    return BodyPicture(normal.astype(np.float32), place.astype(np.float32), region)


def clothed_picture(azimuth: float, seed: int, size: int = SIDE) -> np.ndarray:
    """Straight colours and coverage (n, n, 4): smooth on the surface, the person's own."""
    covered, place, _, region = seen(azimuth, size, grow=0.02)
    rng = np.random.default_rng(seed)
    wave = np.sin(place @ rng.uniform(2.0, 5.0, (3, 3)) + rng.uniform(0.0, 6.0, 3))
    tint = rng.uniform(0.2, 0.8, (5, 3))
    rgb = (tint[region] + 0.2 * wave).clip(0.0, 1.0) * covered[..., None]
    return np.concatenate([rgb, covered[..., None]], -1)


def write_person(path: Path, seed: int, size: int = SIDE) -> None:
    """A file such as ``make-people`` writes."""
    azimuth = np.arange(16) * 22.5
    views: dict[str, list[np.ndarray]] = {k: [] for k in ("color", "body_normal", "canonical")}
    regions = []
    for each in azimuth:
        body = body_picture(each, size)
        there = (body.region > 0)[..., None]
        views["color"].append((clothed_picture(each, seed, size) * 255.0).round())
        views["body_normal"].append(((body.normal + 1.0) * 127.5).round() * there)
        views["canonical"].append(((body.canonical + 1.0) * 127.5).round() * there)
        regions.append(body.region)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        azimuth=azimuth.astype(np.float32),
        elevation=np.zeros(16, np.float32),
        region=np.stack(regions),
        **{name: np.stack(each).astype(np.uint8) for name, each in views.items()},
    )


def write_people(folder: Path, train: int, validation: int, size: int = SIDE) -> Path:
    """A folder such as ``make-people`` writes."""
    for split, count, first in (("train", train, 0), ("validation", validation, 100)):
        for k in range(count):
            write_person(folder / split / f"person_{k:05d}.npz", first + k, size)
    made = {"count": train + validation, "seed": 7, "size": size}
    (folder / "people.json").write_text(json.dumps(made))
    return folder


def tiny_network(seed: int = 0, config: CompactConfig = TINY) -> CompactNetwork:
    """Random weights, on which everything that is put in has an effect."""
    torch.manual_seed(seed)
    network = CompactNetwork(config, noise_schedule()).requires_grad_(False)
    network.seams.leave.weight.normal_(0.0, 0.01)
    return network
