"""A tiny Stable Diffusion folder with random weights: every code path, no download.

    python -m backend.guidance.tiny_stable_diffusion FOLDER

It has the block layout of version 1.5 (16 transformer blocks, VAE that shrinks by 8, CLIP text encoder
of 77 tokens) at toy width. Its pictures mean nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from backend.errors import HumanRefError
from backend.guidance.stable_diffusion_loading import quiet_libraries
from backend.perception.hub import require

TOKENS = 77
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"
_README = """---
license: gpl-3.0
---
Random weights in the layout of Stable Diffusion 1.5, made by a program for tests. Not a trained model.
"""


def make_tiny_stable_diffusion(
    folder: Path, *, seed: int = 0, latent_size: int = 16, width: int = 16
) -> Path:
    """Write the folder (safetensors, about 2 MB); the same seed gives the same weights.

    Args:
        folder: must not exist yet.
        seed: of the weights.
        latent_size: side of the latents; pictures are 8 times as large.
        width: of the U-Net's first block; the others are twice that.

    Raises:
        HumanRefError: ``output_exists``, ``missing_package``.
    """
    require("hub", "diffusers", "transformers", "safetensors")
    if folder.exists():
        raise HumanRefError("output_exists", f"{folder} exists already.", "Choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".tiny-sd-", dir=folder.parent))
    try:
        with torch.random.fork_rng(), quiet_libraries():
            torch.manual_seed(seed)
            _save(work, latent_size, width)
        # Temporary folders are private to their maker.
        work.chmod(0o755)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return folder


def _save(folder: Path, latent_size: int, width: int) -> None:
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = _tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=latent_size,
        block_out_channels=(width, 2 * width, 2 * width, 2 * width),
        layers_per_block=2,
        cross_attention_dim=32,
        # The number of heads, in spite of its name; version 1.5 has 8.
        attention_head_dim=2,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=8 * latent_size,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
    )
    parts: dict[str, Any] = {
        "unet": unet,
        "vae": vae,
        "text_encoder": text,
        "tokenizer": tokenizer,
        "scheduler": scheduler,
    }
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionPipeline",
        "safety_checker": [None, None],
    }
    for name, part in parts.items():
        part.save_pretrained(str(folder / name))
        library = type(part).__module__.split(".")[0]
        index[name] = [library, type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    (folder / "README.md").write_text(_README, encoding="utf-8")


def _tokenizer() -> Any:
    """A CLIP tokenizer that knows single bytes only, inside a word and at its end."""
    from transformers import CLIPTokenizer

    letters = _byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), _BOS, _EOS]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def _byte_letters() -> list[str]:
    """One printable letter for each byte, as byte-level BPE files write them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letter = {byte: chr(byte) for byte in printable}
    letter |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [letter[byte] for byte in range(256)]


def main(arguments: list[str]) -> int:
    """Make the folder named by the only argument."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m backend.guidance.tiny_stable_diffusion FOLDER\n")
        return 2
    try:
        folder = make_tiny_stable_diffusion(Path(arguments[0]))
    except HumanRefError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{folder}: random weights, for tests only\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
