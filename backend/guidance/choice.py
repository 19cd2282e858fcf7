"""The one place that chooses the guidance of unseen sides."""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch
from jaxtyping import Bool, Float

from backend.errors import HumanRefError
from backend.guidance.mirror import MirrorAnchor, MirrorGuidance, NoGuidance
from backend.guidance.objections import Objections
from backend.guidance.protocol import Guidance
from backend.settings import PRIOR_GUIDANCE
from backend.settings import Guidance as GuidanceName


def make_guidance(
    name: str,
    rgb: Float[np.ndarray, "n n 3"],
    mask: Float[np.ndarray, "n n"],
    face: Bool[np.ndarray, "n n"],
    head: Bool[np.ndarray, "n n"],
    known: Bool[np.ndarray, "n n"],
    device: torch.device,
    warm_steps: int = 0,
    anchor: float = 0.0,
) -> Guidance:
    """Build the guidance of single rays called ``name`` from maps of the square crop.

    A method that distils a prior sees whole pictures
    (:func:`backend.guidance.prior_choice.make_picture_guidance`) and asks nothing of single rays, except
    that it may begin with ``warm_steps`` steps of the mirror baseline and keep its texture after that, with
    the weight ``anchor``, where the prior does not object.

    Raises:
        HumanRefError: ``guidance_unknown``.
    """
    if name == "mirror" or warm_steps > 0:
        mirror = MirrorGuidance(rgb, mask, face, head, known, device)
        if name == "mirror":
            return mirror
        return MirrorAnchor(mirror, warm_steps, anchor, Objections(device))
    if name == "none" or name in PRIOR_GUIDANCE:
        return NoGuidance()
    raise HumanRefError(
        "guidance_unknown",
        f"There is no guidance called {name!r}.",
        f"Choose {', '.join(get_args(GuidanceName))}.",
    )
