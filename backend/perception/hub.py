"""Loading weights from a local folder or the local Hugging Face cache; never a silent download.

``repo`` arguments are a folder on disk or a hub id. Only a provider that the user named explicitly
may go to the network (``allow_download``); ``auto`` looks at what is already there.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from backend.errors import HumanRefError


def installed(*modules: str) -> bool:
    """Whether the named top-level packages can be imported."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def require(extra: str, *modules: str) -> None:
    """Raise ``missing_package`` unless all modules are installed."""
    missing = [module for module in modules if not installed(module)]
    if missing:
        raise HumanRefError(
            "missing_package",
            f"This provider needs {' and '.join(missing)}, which is not installed.",
            f'Install it with: pip install "humanref[{extra}]"',
        )


def local_weights(repo: str) -> Path | None:
    """The folder with a model's files if they are on this machine, else None. Never downloads."""
    folder = Path(repo).expanduser()
    if folder.is_dir():
        return folder if _has_weights(folder) else None
    if not installed("huggingface_hub"):
        return None
    from huggingface_hub import constants

    # Asking the cache properly imports a web client (0.3 s); most machines have nothing to ask for.
    if not (Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}").is_dir():
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(repo, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    return found if _has_weights(found) else None


def resolve_weights(repo: str, *, allow_download: bool) -> str:
    """What to hand to ``from_pretrained``: a local folder, or the hub id if downloading is allowed.

    Raises:
        HumanRefError: ``weights_missing``.
    """
    local = local_weights(repo)
    if local is not None:
        return str(local)
    looks_like_path = repo.startswith((".", "/", "~", "\\")) or repo.count("/") != 1
    if allow_download and not looks_like_path:
        return repo
    raise HumanRefError(
        "weights_missing",
        f"The weights of {repo} are not on this machine.",
        "Download them once, or give a folder that holds them.",
    )


def loading_failed(repo: str, error: Exception) -> HumanRefError:
    """One sentence for whatever a model library raised while loading."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return HumanRefError(
        "weights_unreadable",
        f"The model {repo} could not be loaded: {reason[:200]}",
        "Check the folder, or the network if it was to be downloaded.",
    )


def _has_weights(folder: Path) -> bool:
    patterns = ("*.safetensors", "*.bin", "*.pth", "*.pt")
    return any(next(folder.rglob(pattern), None) is not None for pattern in patterns)
