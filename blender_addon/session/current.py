"""The one session of this Blender.

Operators, panels and timers are made by Blender, which hands them nothing of ours: what they share has
to hang somewhere. It hangs here, and only registration writes it.
"""

from __future__ import annotations

from .scene_jobs import SceneJobs
from .session import Session


class _Holder:
    session: Session | None = None
    scene_jobs: SceneJobs | None = None


def current_session() -> Session:
    """The session.

    Raises:
        RuntimeError: the add-on is not registered.
    """
    if _Holder.session is None:
        raise RuntimeError("The HumanRef add-on is not registered.")
    return _Holder.session


def current_scene_jobs() -> SceneJobs:
    """Which scene waits for which job.

    Raises:
        RuntimeError: the add-on is not registered.
    """
    if _Holder.scene_jobs is None:
        raise RuntimeError("The HumanRef add-on is not registered.")
    return _Holder.scene_jobs


def set_current(session: Session | None, scene_jobs: SceneJobs | None) -> None:
    """Registration only."""
    _Holder.session = session
    _Holder.scene_jobs = scene_jobs
