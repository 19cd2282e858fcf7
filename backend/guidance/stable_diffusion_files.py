"""Finding a Stable Diffusion folder and refusing what is no such thing, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backend.errors import HumanRefError
from backend.perception.hub import require

DEFAULT_REPO = "stable-diffusion-v1-5/stable-diffusion-v1-5"
# A hub id alone may be changed by its owner at any time.
DEFAULT_REVISION = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHTED_PARTS = ("unet", "vae", "text_encoder")
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")
_SDXL_CONTEXT = 2048


def find_folder(source: str, revision: str | None = None) -> Path:
    """The local folder of a diffusers pipeline: itself, or the hub cache's copy. Never downloads.

    Args:
        source: a folder, or a hub id such as :data:`DEFAULT_REPO`.
        revision: full commit hash; required for hub ids other than the default one.

    Raises:
        HumanRefError: ``missing_package``, ``pickle_refused`` (a single .ckpt file), ``not_a_folder``,
            ``revision_unpinned``, ``weights_missing`` (its hint is the command that downloads them).
    """
    require("hub", "diffusers", "transformers", "safetensors")
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise _single_file(path)
    if source.count("/") != 1 or source.startswith((".", "/", "~", "\\")):
        raise HumanRefError(
            "weights_missing",
            f"There is no folder {source}.",
            f"Give a diffusers folder, or a hub id such as {DEFAULT_REPO}.",
        )
    pinned = revision or (DEFAULT_REVISION if source == DEFAULT_REPO else None)
    if pinned is None:
        raise HumanRefError(
            "revision_unpinned",
            f"{source} is a hub id without a revision, so its weights could change unnoticed.",
            "Add the full commit hash as the revision, or give a local folder.",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=pinned, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise HumanRefError(
            "weights_missing",
            f"The weights of {source} (revision {pinned[:12]}) are not on this machine.",
            f"Download them once with: {download_command(source, pinned)}",
        ) from error


def download_command(repo: str, revision: str) -> str:
    """The command that fetches what we read of a pipeline (safetensors, no pickles)."""
    wanted = " ".join(f'--include "{part}/*"' for part in PARTS)
    others = (*_PICKLES, "*.msgpack", "*.fp16.*", "*.non_ema.*")
    refused = " ".join(f'--exclude "{pattern}"' for pattern in others)
    described = '--include "model_index.json" --include "README.md"'
    return f"hf download {repo} --revision {revision} {described} {wanted} {refused}"


def check_folder(folder: Path) -> None:
    """Refuse what is not a whole Stable Diffusion 1.x (or 2.x) folder in safetensors.

    Raises:
        HumanRefError: ``wrong_architecture``, ``weights_incomplete``, ``pickle_refused``,
            ``weights_unreadable`` (a config that is no JSON).
    """
    _check_architecture(folder)
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise HumanRefError(
            "weights_incomplete",
            f"The folder {folder} has no {' and no '.join(missing)}.",
            "Download the whole pipeline again.",
        )
    for part in WEIGHTED_PARTS:
        _variant(folder / part)


def part_variant(folder: Path, part: str, preferred: str | None) -> str | None:
    """The variant to load for one part: ``preferred`` where it exists, else what is there."""
    if preferred is not None and _has(folder / part, f"*.{preferred}.safetensors"):
        return preferred
    return _variant(folder / part)


def read_licence(folder: Path) -> str:
    """The licence that the folder's own README names, else an honest "not stated"."""
    readme = folder / "README.md"
    if readme.is_file():
        for line in readme.read_text(encoding="utf-8", errors="replace").splitlines()[:40]:
            key, _, value = line.partition(":")
            if key.strip() == "license" and value.strip():
                return value.strip()
    return "not stated in the folder"


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object. Raises HumanRefError ``weights_unreadable`` for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HumanRefError(
            "weights_unreadable", f"{path} is not readable JSON: {error}.", "Download it again."
        ) from error
    if not isinstance(found, dict):
        raise HumanRefError("weights_unreadable", f"{path} holds no object.", "Download it again.")
    return found


def _check_architecture(folder: Path) -> None:
    index = folder / "model_index.json"
    pipeline = str(read_config(index).get("_class_name", "")) if index.is_file() else ""
    if "XL" in pipeline or (folder / "text_encoder_2").is_dir():
        raise _wrong(folder, "Stable Diffusion XL (two text encoders)")
    if not (folder / "unet" / "config.json").is_file():
        if (folder / "transformer").is_dir():
            raise _wrong(folder, "a diffusion transformer")
        lone = [*sorted(folder.glob("*.safetensors")), *sorted(folder.glob("*.ckpt"))]
        if lone:
            raise _single_file(lone[0])
        raise HumanRefError(
            "weights_incomplete",
            f"{folder} holds no unet/config.json.",
            "Give the top folder of a diffusers Stable Diffusion 1.5 pipeline.",
        )
    unet = read_config(folder / "unet" / "config.json")
    kind = unet.get("_class_name", "UNet2DConditionModel")
    context = unet.get("cross_attention_dim")
    if kind != "UNet2DConditionModel":
        raise _wrong(folder, f"a {kind}")
    if unet.get("addition_embed_type") is not None or context == _SDXL_CONTEXT:
        raise _wrong(folder, "Stable Diffusion XL")
    if unet.get("class_embed_type") is not None or not isinstance(context, int):
        raise _wrong(folder, "a U-Net with further conditions")
    if unet.get("in_channels") != 4 or unet.get("out_channels") != 4:
        raise _wrong(folder, f"a U-Net of {unet.get('in_channels')} input channels (inpainting?)")
    text = folder / "text_encoder" / "config.json"
    if text.is_file():
        width = read_config(text).get("hidden_size")
        if width != context:
            raise _wrong(folder, f"a text encoder of width {width} beside a U-Net of {context}")


def _variant(part: Path) -> str | None:
    """None for plain safetensors files, "fp16" where only those exist; raises where there are none."""
    # Variants carry their name between two dots (.fp16., .non_ema.).
    if any(found.name.count(".") == 1 for found in part.glob("*.safetensors")):
        return None
    if _has(part, "*.fp16.safetensors"):
        return "fp16"
    pickles = sorted({found.name for pattern in _PICKLES for found in part.glob(pattern)})
    if pickles:
        raise HumanRefError(
            "pickle_refused",
            f"{part} holds only {', '.join(pickles)}: pickle files can run any code when opened.",
            "Download the .safetensors files of the same model.",
        )
    raise HumanRefError(
        "weights_incomplete", f"{part} holds no .safetensors file.", "Download it again."
    )


def _has(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None


def _single_file(path: Path) -> HumanRefError:
    if path.suffix in {".ckpt", ".pt", ".pth", ".bin"}:
        return HumanRefError(
            "pickle_refused",
            f"{path.name} is a pickle file, which can run any code when opened.",
            "Give a diffusers folder with .safetensors files.",
        )
    return HumanRefError(
        "not_a_folder",
        f"{path} is a single-file checkpoint, not a diffusers folder.",
        "Give a diffusers folder (unet/, vae/, text_encoder/, tokenizer/, scheduler/).",
    )


def _wrong(folder: Path, what: str) -> HumanRefError:
    return HumanRefError(
        "wrong_architecture",
        f"{folder} is {what}, not Stable Diffusion 1.x.",
        f"Use {DEFAULT_REPO} or a folder fine-tuned from it.",
    )
