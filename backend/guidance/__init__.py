"""Guidance for unseen sides; the one place that chooses it."""

from backend.guidance.choice import make_guidance
from backend.guidance.protocol import Guidance, GuidedRays

__all__ = ["Guidance", "GuidedRays", "make_guidance"]
