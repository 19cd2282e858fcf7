"""The parametric body: one Protocol; the body that ships with us; the user's licensed SMPL-X."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from backend.body.model import BodyModel

BodyName = Literal["anny", "smplx"]


def load_body(
    name: BodyName = "anny",
    model_path: Path | None = None,
    gender: Literal["neutral", "male", "female"] = "neutral",
) -> BodyModel:
    """The one place where a body model is chosen.

    Args:
        name: ``"anny"`` ships with humanref; ``"smplx"`` reads the user's licensed file.
        model_path: for ``"smplx"``: ``SMPLX_*.npz`` or the folder that holds it.
        gender: for ``"smplx"``: which file of a folder.

    Raises:
        HumanRefError: ``smplx_missing`` and others, see the two classes; ``body_unknown``.
    """
    if name == "anny":
        from backend.body.anny_body import AnnyBody

        return AnnyBody()
    if name == "smplx":
        from backend.body.smplx_body import SmplxBody

        return SmplxBody(model_path, gender=gender)
    from backend.errors import HumanRefError

    raise HumanRefError(
        "body_unknown", f"There is no body model called {name!r}.", "Choose anny or smplx."
    )
