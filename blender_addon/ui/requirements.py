"""Why a button cannot be pressed yet, in words; pure, for ``poll``."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.app.translations import pgettext_tip as tip_

from ..scene.character import find_characters
from ..scene.rig import rig_kind
from ..session.current import current_session
from ..session.jobs import Job
from .property_access import own_rig_of, rig_of

Need = Callable[[bpy.types.Context], str]
"""Says what is missing, or nothing."""


def need_backend(_context: bpy.types.Context) -> str:
    """Empty when a backend is connected."""
    state = current_session().link.state
    if state == "connected":
        return ""
    if state in ("starting", "connecting"):
        return tip_("The backend is still starting")
    if state == "lost":
        return tip_("The connection to the backend is lost; it is being tried again")
    return tip_("Start the backend first (step 1)")


def need_photo(context: bpy.types.Context) -> str:
    """Empty when a photo is chosen."""
    return "" if context.scene.humanref.photo is not None else tip_("Choose a photo first (step 2)")


def need_rig(context: bpy.types.Context) -> str:
    """Empty when there is a body to pose."""
    if own_rig_of(context.scene) is not None:
        return ""
    if rig_of(context.scene) is not None:
        return tip_("This armature must be taken over first: press Use Armature")
    return tip_("Estimate the body first (step 3)")


def need_character(context: bpy.types.Context) -> str:
    """Empty when a finished character is there."""
    if active_character(context) is not None:
        return ""
    return tip_("Generate or import a character first (step 4)")


def need_editable(context: bpy.types.Context) -> str:
    """Empty unless the artist is in a mode in which bones must not change."""
    if context.mode in ("OBJECT", "POSE"):
        return ""
    return tip_("Leave Edit Mode first")


def first_reason(context: bpy.types.Context, *needs: Need) -> str:
    """The first thing that is missing."""
    for need in needs:
        reason = need(context)
        if reason:
            return reason
    return ""


def active_character(context: bpy.types.Context) -> bpy.types.Object | None:
    """The finished character that is selected, else the newest of the scene."""
    active = context.view_layer.objects.active
    while active is not None:
        # Asked for every button of every redraw: the whole scene is searched only if it must be.
        if rig_kind(active) == "character":
            return active
        active = active.find_armature() if active.type == "MESH" else active.parent
    characters = find_characters(context.scene)
    return characters[-1] if characters else None


def scene_jobs(context: bpy.types.Context, kind: str) -> list[Job]:
    """The scene's unfinished jobs of a kind, in the order in which they were asked for."""
    book = current_session().book
    mine = [book.get(stored.job_id) for stored in context.scene.humanref.jobs]
    return [job for job in mine if job is not None and job.active and job.kind == kind]
