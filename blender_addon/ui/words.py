"""Numbers and stage names in an artist's words."""

from __future__ import annotations

from bpy.app.translations import pgettext_iface as iface_

from ..session.jobs import Job

_STAGES = {
    "upload": "Sending the photo",
    "download": "Fetching the result",
    "loading": "Getting ready",
    "photo": "Opening the photo",
    "segmentation": "Finding the person",
    "landmarks": "Reading the pose",
    "parsing": "Telling clothes apart",
    "caption": "Describing the person",
    "normals": "Reading the surface",
    "fitting": "Fitting the body",
    "start_shape": "First shape",
    "optimization": "Sculpting",
    "meshing": "Making the mesh",
    "texture": "Painting the texture",
    "rigging": "Binding to the bones",
    "export": "Writing files",
}

_STATES = {
    "sending": "Sending",
    "queued": "Waiting",
    "running": "Running",
    "cancelling": "Stopping",
    "fetching": "Fetching the result",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}

STATE_ICONS = {
    "sending": "EXPORT",
    "queued": "TIME",
    "running": "PLAY",
    "cancelling": "PAUSE",
    "fetching": "IMPORT",
    "done": "CHECKMARK",
    "failed": "ERROR",
    "cancelled": "X",
}


def stage_words(stage: str) -> str:
    """What the backend is doing."""
    return iface_(_STAGES.get(stage, stage.replace("_", " ").capitalize()))


def job_words(job: Job) -> str:
    """What a job is doing, on one line."""
    if job.state in ("running", "fetching", "sending") and job.stage:
        return stage_words(job.stage)
    words = iface_(_STATES[job.state])
    if job.state == "queued" and job.position:
        return f"{words} ({job.position} {iface_('before it')})"
    return words


def time_left(job: Job) -> str:
    """The rest of the stage, or nothing where nobody knows."""
    if job.eta is None or job.state != "running":
        return ""
    return f"{duration(job.eta)} {iface_('left')}"


def duration(seconds: float) -> str:
    """ "8 s", "2 min 05 s", "1 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
