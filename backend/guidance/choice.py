"""The one place that chooses the guidance of unseen sides."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float

from backend.errors import HumanRefError
from backend.guidance.mirror import MirrorGuidance, NoGuidance
from backend.guidance.protocol import Guidance


def make_guidance(
    name: str,
    rgb: Float[np.ndarray, "n n 3"],
    mask: Float[np.ndarray, "n n"],
    face: Bool[np.ndarray, "n n"],
    head: Bool[np.ndarray, "n n"],
    known: Bool[np.ndarray, "n n"],
    device: torch.device,
) -> Guidance:
    """Build the guidance called ``name`` from maps of the square crop.

    Raises:
        HumanRefError: ``guidance_unknown``.
    """
    if name == "mirror":
        return MirrorGuidance(rgb, mask, face, head, known, device)
    if name == "none":
        return NoGuidance()
    raise HumanRefError(
        "guidance_unknown", f"There is no guidance called {name!r}.", "Choose mirror or none."
    )
