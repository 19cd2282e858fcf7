"""Reading the networks of a checked Stable Diffusion folder, all weights present and finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.guidance.prior import PredictionType
from backend.guidance.stable_diffusion_files import check_folder, part_variant


@dataclass(frozen=True)
class StableDiffusionParts:
    """The networks of a folder, frozen, in evaluation mode."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas_cumprod: Float[Tensor, "t"]
    """float32, on the U-Net's device."""
    prediction_type: PredictionType


def load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> StableDiffusionParts:
    """Load a folder; see ``StableDiffusionPrior.load`` for the errors."""
    check_folder(folder)
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    # Half-precision files are enough for half-precision networks.
    preferred = "fp16" if dtype in (torch.float16, torch.bfloat16) else None
    vae_dtype = torch.float32 if dtype is torch.float16 else dtype
    with _unreadable_as_error(folder), quiet_libraries():
        unet = _load_model(UNet2DConditionModel, folder, "unet", dtype, preferred)
        vae = _load_model(AutoencoderKL, folder, "vae", vae_dtype, preferred)
        text_encoder = _load_model(CLIPTextModel, folder, "text_encoder", dtype, preferred)
        tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"))
        scheduler: Any = DDPMScheduler.from_pretrained(str(folder), subfolder="scheduler")
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    return StableDiffusionParts(
        unet=unet.to(device).to(memory_format=layout),
        vae=vae.to(device).to(memory_format=layout),
        text_encoder=text_encoder.to(device),
        tokenizer=tokenizer,
        alphas_cumprod=scheduler.alphas_cumprod.float().to(device),
        prediction_type=_prediction_type(folder, str(scheduler.config.prediction_type)),
    )


def _load_model(
    kind: Any, folder: Path, part: str, dtype: torch.dtype, preferred: str | None
) -> Any:
    """One network with every weight present and finite, frozen."""
    model, info = kind.from_pretrained(
        str(folder / part),
        use_safetensors=True,
        variant=part_variant(folder, part, preferred),
        torch_dtype=dtype,
        output_loading_info=True,
        local_files_only=True,
    )
    missing = sorted(str(key) for key in info["missing_keys"])
    if missing:
        raise HumanRefError(
            "weights_incomplete",
            f"{len(missing)} weights of {part} are missing, the first is {missing[0]}.",
            "Download the model again: the file is not whole.",
        )
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise HumanRefError(
            "weights_not_finite",
            f"{len(broken)} weights of {part} are not finite numbers, the first is {broken[0]}.",
            "Download the model again, or choose another dtype.",
        )
    return model.eval().requires_grad_(False)


def _prediction_type(folder: Path, name: str) -> PredictionType:
    try:
        return PredictionType(name)
    except ValueError:
        raise HumanRefError(
            "wrong_architecture",
            f"The scheduler of {folder} predicts {name!r}, which is unknown here.",
            f"Known are {', '.join(PredictionType)}.",
        ) from None


@contextmanager
def _unreadable_as_error(folder: Path) -> Iterator[None]:
    """Whatever the model libraries raise over a broken file, as one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except HumanRefError:
        raise
    except (
        *(SafetensorError, ImportError, OSError, ValueError, TypeError),
        *(RuntimeError, KeyError, AttributeError),
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HumanRefError(
            "weights_unreadable",
            f"The model in {folder} could not be loaded: {reason[:200]}",
            "Check the folder, or download it again.",
        ) from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Neither progress bars nor log lines of the model libraries: what matters becomes our error."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    before = [(each.get_verbosity(), each.is_progress_bar_enabled()) for each in libraries]
    try:
        for each in libraries:
            each.set_verbosity_error()
            each.disable_progress_bar()
        yield
    finally:
        for each, (verbosity, shown) in zip(libraries, before, strict=True):
            each.set_verbosity(verbosity)
            if shown:
                each.enable_progress_bar()
