"""Meshes of running jobs against credit; on data."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class GrantPreview:
    """Credit for one preview of the envelope's job; granting again before it is spent adds nothing."""

    topology: str = ""
    """Topology id the client holds: a preview with the same one comes without its faces."""


@frozen(kw_only=True)
class Preview:
    """The newest mesh of a running job.

    Buffers: ``vertices`` (v, 3) float32 metres; ``colors`` (v, 3) uint8 sRGB; ``faces`` (f, 3) int32,
    left out where the client holds this topology.
    """

    step: int
    topology: str
    """Same id, same faces."""
    vertex_count: int
    face_count: int
