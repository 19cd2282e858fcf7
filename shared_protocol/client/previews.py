"""The mesh as it grows: one credit at a time, faces kept while the topology stays."""

from __future__ import annotations

import numpy as np
from attrs import define
from numpy.typing import NDArray

from ..codec import Envelope
from ..messages import GrantPreview, Preview
from .events import PreviewArrived
from .inbox import Inbox
from .requests import Send


@define
class _Viewer:
    due: float = 0.0
    step: int = -1
    topology: str = ""
    faces: NDArray[np.int32] | None = None


class Previews:
    """Grants credit for every job that is watched with previews, and completes what comes.

    A credit or a preview that was lost on the way is granted anew after ``again_after`` seconds; a
    second credit adds nothing at the backend.
    """

    def __init__(self, send: Send, inbox: Inbox, again_after: float) -> None:
        self._send = send
        self._inbox = inbox
        self._again_after = again_after
        self._viewers: dict[str, _Viewer] = {}

    def begin(self, job_id: str) -> None:
        """Previews of this job are wanted."""
        self._viewers.setdefault(job_id, _Viewer())

    def end(self, job_id: str) -> None:
        """The job is over, or nobody looks."""
        self._viewers.pop(job_id, None)

    def restart(self) -> None:
        """On a new line credits are granted again; a restarted job begins at an earlier step."""
        for viewer in self._viewers.values():
            viewer.due, viewer.step = 0.0, -1

    def arrived(self, envelope: Envelope, preview: Preview) -> None:
        """A preview has come: complete it with its faces and ask for the next one."""
        viewer = self._viewers.get(envelope.job_id)
        if viewer is None:
            return
        faces = envelope.buffers.get("faces")
        known = faces is None and preview.topology == viewer.topology
        viewer.due = 0.0
        if faces is None and not known:
            viewer.topology, viewer.faces = "", None
            return
        faces = viewer.faces if faces is None else faces
        vertices = envelope.buffers["vertices"]
        if faces is None or (known and len(faces) and int(faces.max()) >= len(vertices)):
            viewer.topology, viewer.faces = "", None
            return
        viewer.topology, viewer.faces = preview.topology, faces
        if preview.step <= viewer.step:
            return
        viewer.step = preview.step
        self._inbox.put(
            PreviewArrived(
                job_id=envelope.job_id,
                step=preview.step,
                topology=preview.topology,
                vertices=vertices,
                faces=faces,
                colors=envelope.buffers["colors"],
            )
        )

    def tick(self, now: float) -> float:
        """Grant what is due; returns when there is more to do."""
        for job_id, viewer in self._viewers.items():
            if viewer.due <= now:
                grant = Envelope(content=GrantPreview(topology=viewer.topology), job_id=job_id)
                self._send("data", grant)
                viewer.due = now + self._again_after
        return min((viewer.due for viewer in self._viewers.values()), default=float("inf"))
