"""A toy diffusion prior for benchmarks/distillation.py: paper dolls, learned in minutes on a CPU.

Dolls have the four regions of the method, each of a random colour that front and back share; the front
has a face. The prior is a small pixel-space U-Net that was trained with our own reference attention, so
that the back view of a doll can only be known from its front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.body.model import Region
from backend.guidance.prior import (
    CachedReference,
    Condition,
    PredictionType,
    Prompt,
    Reference,
    View,
    classifier_free_guidance,
    noise_from_prediction,
)
from backend.guidance.prompts import view_words
from backend.guidance.reference_attention import ReferenceCall, install_reference_attention
from backend.guidance.regions import RegionMaps
from backend.guidance.unet_pass import ReferenceUNet

SIDE = 32
# Pixels of a token's edge: latents are folded pixels.
_FOLD = 2
WORDS = ("", "front view", "side view", "back view")
# Share of training rows without a reference, and without words.
_ALONE, _SILENT = 0.15, 0.1


@dataclass(frozen=True)
class Doll:
    """Front and back of one doll: (n, n, 3) colours on plain grey and (n, n) ``Region`` labels."""

    front: np.ndarray
    front_labels: np.ndarray
    back: np.ndarray
    back_labels: np.ndarray


def draw_doll(rng: np.random.Generator, side: int = SIDE) -> Doll:
    """A random doll; its back is drawn in another pose and place than its front."""
    colors = {part: rng.uniform(0.05, 0.95, 3) for part in Region}
    skin = rng.uniform((0.35, 0.22, 0.15), (0.95, 0.75, 0.65))
    pictures = []
    for behind in (False, True):
        labels = _figure(rng, side)
        picture = np.full((side, side, 3), 0.5)
        for part in (Region.HEAD, Region.UPPER, Region.LOWER, Region.FEET):
            picture[labels == part] = colors[part]
        if not behind:
            _add_face(picture, labels, skin)
        pictures.append((picture.astype(np.float32), labels))
    return Doll(*pictures[0], *pictures[1])


def _figure(rng: np.random.Generator, side: int) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side] / (side - 1.0)
    x = x - rng.uniform(0.46, 0.54)
    top, size = rng.uniform(0.03, 0.08), rng.uniform(0.86, 0.92)
    y = (y - top) / size
    labels = np.zeros((side, side), np.uint8)
    waist, hips, ankle = rng.uniform(0.48, 0.56), rng.uniform(0.1, 0.14), rng.uniform(0.88, 0.91)
    spread, stance = rng.uniform(0.1, 0.6), rng.uniform(0.06, 0.12)
    for sign in (-1, 1):
        middle = sign * stance * (1.0 + (y - waist))
        leg = (abs(x - middle) < 0.07) & (y > waist - 0.02) & (y <= 1.0)
        labels[leg & (y < ankle)] = Region.LOWER
        labels[leg & (y >= ankle)] = Region.FEET
        shoulder = sign * hips
        arm = abs(x - shoulder - sign * spread * (y - 0.24)) < 0.05
        labels[arm & (y > 0.22) & (y < 0.55)] = Region.UPPER
    labels[(abs(x) < hips + 0.02) & (y > 0.22) & (y < waist)] = Region.UPPER
    labels[(x / 0.085) ** 2 + ((y - 0.11) / 0.11) ** 2 < 1.0] = Region.HEAD
    return labels


def _add_face(picture: np.ndarray, labels: np.ndarray, skin: np.ndarray) -> None:
    rows, columns = np.nonzero(labels == Region.HEAD)
    middle, half = columns.mean(), (columns.max() - columns.min()) / 2.0
    face = (rows > rows.mean() - 1) & (abs(columns - middle) < 0.75 * half)
    picture[rows[face], columns[face]] = skin
    eye = round(float(rows.mean()))
    for sign in (-1, 1):
        picture[eye, round(float(middle + sign * 0.4 * half))] = 0.05


def _places() -> Tensor:
    """Where each latent pixel is, as waves: with them attention finds the same place of the photo."""
    steps = (torch.arange(SIDE // _FOLD) + 0.5) / (SIDE // _FOLD)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    angles = [k * torch.pi * axis for k in (1, 2, 4) for axis in (x, y)]
    return torch.stack([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)])


class ToyPrior:
    """See :class:`backend.guidance.prior.DiffusionPrior`: its latents are folded pixels in [-1, 1]."""

    name = "toy prior"
    licence = "GPL-3.0-or-later (ours)"
    resolution = SIDE
    latent_shape = (3 * _FOLD**2, SIDE // _FOLD, SIDE // _FOLD)
    required_maps: tuple[str, ...] = ()
    prediction_type: PredictionType = PredictionType.X0

    def __init__(self, seed: int = 0) -> None:
        from diffusers import DDPMScheduler, UNet2DConditionModel

        torch.manual_seed(seed)
        self.network: Any = UNet2DConditionModel(
            sample_size=SIDE // _FOLD,
            in_channels=3 * _FOLD**2 + len(_places()),
            out_channels=3 * _FOLD**2,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        self.places = _places()
        self.words = torch.nn.Embedding(len(WORDS), 16)
        # Far noisier than Stable Diffusion's: a doll's flat colours can be read through much noise.
        scheduler = DDPMScheduler(beta_start=0.0008, beta_end=0.03, beta_schedule="linear")
        self.alphas_cumprod = scheduler.alphas_cumprod.float()
        layers = install_reference_attention(self.network)
        self.unet = ReferenceUNet(self.network, layers, torch.float32, self.alphas_cumprod)

    def encode(self, images: Tensor) -> Tensor:
        """Resampled to the prior's size, scaled to [-1, 1], folded."""
        if images.shape[-1] != SIDE:
            images = functional.interpolate(
                images, (SIDE, SIDE), mode="bilinear", antialias=images.shape[-1] > SIDE
            )
        return functional.pixel_unshuffle(images * 2.0 - 1.0, _FOLD)

    def decode(self, latents: Tensor) -> Tensor:
        """Back to [0, 1]."""
        return (functional.pixel_shuffle(latents, _FOLD) * 0.5 + 0.5).clamp(0.0, 1.0)

    def condition(self, prompt: Prompt, views: Sequence[View]) -> Condition:
        """View words only."""
        index = torch.tensor([WORDS.index(view_words(view.azimuth)) for view in views])
        nothing = self.words(torch.zeros_like(index))[:, None]
        return Condition(self.words(index)[:, None], nothing, self.places[None])

    def predict_noise(
        self,
        latents: Tensor,
        t: Tensor,
        condition: Condition,
        *,
        guidance_scale: float,
        reference: Reference | CachedReference | None = None,
        regions: RegionMaps | None = None,
    ) -> Tensor:
        """See the Protocol."""
        branches = 1 if guidance_scale == 1.0 else 2
        output = self.unet.predict(latents, t, condition, branches, reference, regions)
        sides = output.chunk(branches)
        clean = classifier_free_guidance(sides[0], sides[-1], guidance_scale)
        return noise_from_prediction(clean, latents, self.alphas_cumprod[t], self.prediction_type)

    def save(self, path: Path) -> None:
        """Weights of network and words."""
        torch.save({"network": self.network.state_dict(), "words": self.words.state_dict()}, path)

    def load(self, path: Path) -> None:
        """What :meth:`save` wrote."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.words.load_state_dict(state["words"])


def train(prior: ToyPrior, steps: int, batch: int, seed: int, report: Any) -> list[float]:
    """Learn to denoise backs beside their fronts; returns the mean loss of each hundred steps."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parameters = [*prior.network.parameters(), *prior.words.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    dolls = [draw_doll(rng) for _ in range(2000)]
    losses, recent = [], []
    for step in range(steps):
        loss = _training_loss(prior, [dolls[k] for k in rng.integers(0, len(dolls), batch)], rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(float(loss.detach()))
        if (step + 1) % 100 == 0:
            losses.append(float(np.mean(recent)))
            recent = []
            report(step + 1, losses[-1])
    return losses


def _training_loss(prior: ToyPrior, dolls: list[Doll], rng: np.random.Generator) -> Tensor:
    targets, count = [], len(dolls)
    words = np.full(count, WORDS.index("back view"))
    for doll in dolls:
        targets.append(doll.back.transpose(2, 0, 1))
    words[rng.random(count) < _SILENT] = 0
    clean = prior.encode(torch.from_numpy(np.stack(targets)))
    places = prior.places.expand(count, -1, -1, -1)
    fronts = torch.from_numpy(np.stack([doll.front.transpose(2, 0, 1) for doll in dolls]))
    fronts = prior.encode(fronts)
    t = torch.randint(150, 650, (count,))
    alpha_bar = prior.alphas_cumprod[t][:, None, None, None]
    noisy = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * torch.randn_like(clean)
    told = prior.words(torch.from_numpy(words))[:, None]
    if rng.random() < _ALONE:
        output = prior.network(torch.cat([noisy, places], 1), t, told, return_dict=False)[0]
    else:
        # The reference is clean, at t = 0: noised like the target it would tell no more than that.
        front = prior.words(torch.full((count,), WORDS.index("front view")))[:, None]
        output = prior.network(
            torch.cat([torch.cat([fronts, places], 1), torch.cat([noisy, places], 1)]),
            torch.cat([torch.zeros_like(t), t]),
            torch.cat([front, told]),
            cross_attention_kwargs={"reference": ReferenceCall(torch.arange(count), count)},
            return_dict=False,
        )[0][count:]
    return (output - clean).square().mean()
