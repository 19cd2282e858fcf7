"""What several messages have in common."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class BlobRef:
    """Bytes by content: a photo that was put, a result that can be fetched."""

    sha256: str
    """64 hexadecimal digits."""
    size: int
    """Bytes."""


@frozen(kw_only=True)
class Pose:
    """SMPL-X parameters: world vertex = scale * LBS(betas, full_pose) + transl."""

    model: str
    """``anny_smplx55`` or ``smplx``: betas of one mean nothing to the other."""
    betas: tuple[float, ...]
    full_pose: tuple[float, ...]
    """165 numbers: 55 axis-angle vectors in the joint order of skeleton.py, relative to the T-pose."""
    transl: tuple[float, float, float]
    scale: float = 1.0


@frozen(kw_only=True)
class Camera:
    """Scaled orthographic camera of a photo: u = center_u + p x, v = center_v - p y, pixels, v down."""

    pixels_per_metre: float
    center_u: float
    center_v: float


@frozen(kw_only=True)
class PhotoInfo:
    """The photo as the backend works with it (upright, longest side at most 2048 px)."""

    width: int
    height: int
    sha256: str
    """Of the file as it was put."""


@frozen(kw_only=True)
class Fit:
    """How well a body explains its photo; None where nobody measured."""

    reprojection_error_px: float | None = None
    reprojection_error_percent: float | None = None
    silhouette_iou: float | None = None
    missing_joints: tuple[str, ...] = ()
    seconds: float = 0.0


@frozen(kw_only=True)
class Maps:
    """What an artist brings instead of a model's guess: picture files of the photo's size."""

    mask: BlobRef | None = None
    regions: BlobRef | None = None
    normals_front: BlobRef | None = None
    normals_back: BlobRef | None = None
