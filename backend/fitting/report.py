"""What a fit says about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class FitReport:
    """Numbers and sentences about one fit; travels in pose.json and run.json."""

    reprojection_error_px: float | None
    """Mean distance of trusted body landmarks in photo pixels; None where nobody measured."""
    reprojection_error_percent: float | None
    """The same in percent of the body's height in the photo."""
    silhouette_iou: float | None
    """Of the naked body with the person's mask, inside the photo."""
    missing_joints: tuple[str, ...]
    """Joints no landmark was seen of; they rest in a natural pose."""
    seconds: float
    warnings: tuple[str, ...] = ()

    @staticmethod
    def unmeasured() -> FitReport:
        """Of a pose that came from a file and was compared with nothing."""
        return FitReport(None, None, None, (), 0.0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
