"""Places on the body that do not depend on pose: where a point lies on the mean body's T-pose."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from backend.body.model import BodyModel

LONGEST_SIDE = 1.9
"""Of the mean body's box, so that all places lie well inside [-1, 1]."""


def canonical_places(body: BodyModel) -> Float[np.ndarray, "v 3"]:
    """Each vertex's place in [-1, 1]: the T-pose of zero betas, centred, its longest side 1.9.

    Axes as the world's: x the person's left, y up, z forwards.
    """
    vertices, _ = body.rest(torch.zeros(body.n_betas))
    template = vertices.detach().numpy().astype(np.float64)
    low, high = template.min(0), template.max(0)
    return np.asarray((template - (low + high) / 2) / (high - low).max() * LONGEST_SIDE)
