"""The one place that turns ``--device auto|cpu|cuda`` into a torch device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backend.errors import HumanRefError


@dataclass(frozen=True)
class DeviceChoice:
    """A usable torch device and the reason it was taken."""

    device: torch.device
    why: str


def choose_device(name: str) -> DeviceChoice:
    """The device that ``name`` stands for on this machine.

    Args:
        name: ``"auto"`` (CUDA where a GPU answers, else CPU), ``"cpu"`` or ``"cuda"``.

    Raises:
        HumanRefError: ``device_unknown`` for other names; ``cuda_missing`` when CUDA is asked for
            by name and no GPU answers (never a silent fallback).
    """
    if name not in ("auto", "cpu", "cuda"):
        raise HumanRefError(
            "device_unknown",
            f"There is no device called {name!r}.",
            "Use auto, cpu or cuda.",
        )
    if name == "cpu":
        return DeviceChoice(torch.device("cpu"), "asked for")
    missing = _why_no_cuda()
    if missing is None:
        gpu = torch.cuda.get_device_name(0)
        return DeviceChoice(torch.device("cuda"), gpu if name == "auto" else f"asked for ({gpu})")
    if name == "cuda":
        raise HumanRefError(
            "cuda_missing",
            f"The device cuda was asked for, but {missing}.",
            "Use --device cpu, or install a CUDA build of torch on a machine with an NVIDIA GPU.",
        )
    return DeviceChoice(torch.device("cpu"), missing)


def _why_no_cuda() -> str | None:
    """None when CUDA works, else the reason in words."""
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"this torch ({torch.__version__}) is built without CUDA"
    return "torch finds no NVIDIA GPU or driver"
