"""How well normals are estimated on people in clothes never trained on: mean angles, and a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.perception.compact_normal_network import FACING, FIRST_NORMAL, NormalNetwork
from backend.training.normal_pictures import plain_pair, read_sample
from backend.training.normal_samples import FIT_ERRORS


@dataclass(frozen=True)
class NormalScore:
    """Mean angles to the true normals inside the true silhouette, degrees."""

    front_deg: float
    back_deg: float
    body_front_deg: float
    """Of the fitted body's normals; where there is no body, of one that faces the camera."""
    body_back_deg: float


def measure(
    network: NormalNetwork, files: Sequence[Path], device: torch.device, *, half: bool
) -> NormalScore:
    """Mean over people; odd ones are shown with the worse of their two body fits."""
    angles = []
    facing = torch.tensor(FACING)[None, :, None, None].to(device)
    for number, file in enumerate(files):
        pair = plain_pair(read_sample(file, number % len(FIT_ERRORS)))
        conditions = torch.from_numpy(pair.conditions)[None].to(device)
        front = torch.from_numpy(pair.front)[None].to(device)
        back = torch.from_numpy(pair.back)[None].to(device)
        body = conditions[:, FIRST_NORMAL : FIRST_NORMAL + 6]
        body = body + facing * (body == 0.0).all(1, keepdim=True)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=half):
            found = network(conditions)
        angles.append(
            [
                mean_angle(found.front, front),
                mean_angle(found.back, back),
                mean_angle(body[:, :3], front),
                mean_angle(body[:, 3:], back),
            ]
        )
    return NormalScore(*(round(float(each), 3) for each in np.mean(angles, 0)))


def mean_angle(estimate: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]) -> float:
    """Mean angle of unit vectors where there is a true one, degrees."""
    there = (truth != 0.0).any(1)
    cosine = (estimate.float() * truth).sum(1)[there].clamp(-1.0, 1.0)
    return float(torch.rad2deg(torch.arccos(cosine)).mean())


def sheet(network: NormalNetwork, files: Sequence[Path], device: torch.device) -> bytes:
    """PNG, a row each person: photo; body, estimate, truth in front; the same three of the back."""
    rows = []
    for file in files:
        pair = plain_pair(read_sample(file, len(FIT_ERRORS) - 1))
        conditions = torch.from_numpy(pair.conditions)[None].to(device)
        with torch.no_grad():
            found = network(conditions)
        there = (pair.conditions[3:4] > 0.5).astype(np.float32)
        front, back = pair.conditions[4:7], pair.conditions[7:10]
        estimates = (found.front[0].cpu().numpy(), found.back[0].cpu().numpy())
        cells = [pair.conditions[:3], front, estimates[0] * there, pair.front]
        cells += [back, estimates[1] * there, pair.back]
        rows.append(np.concatenate([np.asarray(cell) for cell in cells], 2))
    picture = (np.concatenate(rows, 1).transpose(1, 2, 0) * 0.5 + 0.5) * 255.0
    _, data = cv2.imencode(".png", picture.round().clip(0, 255).astype(np.uint8)[..., ::-1])
    return data.tobytes()
