"""Step 1 in the sidebar: is there a backend, what is it, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..names import addon_version
from ..session.current import current_session
from ..session.link import Link
from ..shared_protocol.messages import Welcome
from ..shared_protocol.version import PROTOCOL
from .panel_base import SidebarPanel, big_button, draw_progress
from .preferences import backend_options
from .problem_dialog import draw_problem, wrapped
from .requirements import scene_jobs

_STATES = {
    "off": ("Not connected", "UNLINKED"),
    "starting": ("Starting the backend...", "SORTTIME"),
    "connecting": ("Connecting...", "SORTTIME"),
    "connected": ("Connected", "LINKED"),
    "lost": ("Connection lost, trying again...", "ERROR"),
    "refused": ("Refused", "CANCEL"),
    "stopping": ("Stopping the backend...", "SORTTIME"),
}


class HUMANREF_PT_backend(SidebarPanel, bpy.types.Panel):
    """Step 1"""

    bl_label = "1  Backend"
    bl_order = 1

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        self.layout.operator("humanref.open_preferences", text="", icon="PREFERENCES", emboss=False)

    def draw(self, context: bpy.types.Context) -> None:
        session, layout = current_session(), self.layout
        link = session.link
        words, icon = _STATES[link.state]
        row = layout.row()
        row.alert = link.state in ("lost", "refused")
        welcome = link.welcome if link.connected else None
        if welcome is not None and not welcome.ready:
            words = "Connected, warming up..."
        row.label(text=words, icon=icon)
        if welcome is not None and welcome.ready:
            # "cuda: NVIDIA ..." or "cpu: why no GPU": the details say it in full.
            device = welcome.device.partition(":")[0].upper()
            row.label(text=device, icon="MEMORY", translate=False)
        if session.waiting:
            layout.label(text=session.waiting, icon="TIME", translate=False)
        self._draw_buttons(layout, link)
        # Short enough for a sidebar of the usual width; the details name each version.
        version = f"{iface_('Version')} {addon_version()}"
        if welcome is not None and welcome.server_version != addon_version():
            version = f"{addon_version()} ({iface_('backend')} {welcome.server_version})"
        running = scene_jobs(context, "generate") or scene_jobs(context, "estimate")
        if running:
            # At the top whatever the window's height; step 4 may be out of sight.
            draw_progress(layout, running[:1], height=1.0)
        else:
            row = layout.row()
            row.scale_y = 0.7
            row.active = False
            row.label(text=f"{version}  ·  {iface_('protocol')} {PROTOCOL}", translate=False)
        if session.problem is not None:
            box = layout.box()
            draw_problem(box, session.problem, _columns(context))
            row = box.row(align=True)
            row.label(text=f"[{session.problem.code}]", translate=False)
            copy = row.operator("humanref.copy_problem", text="", icon="COPYDOWN")
            copy.text = session.problem.as_text()
            row.operator("humanref.dismiss_problem", text="", icon="X")

    @staticmethod
    def _draw_buttons(layout: bpy.types.UILayout, link: Link) -> None:
        remote = backend_options().remote
        off = link.state in ("off", "refused")
        if link.state == "stopping":
            return
        if remote:
            name = "humanref.connect" if off else "humanref.disconnect"
            big_button(layout).operator(name, icon="URL" if off else "UNLINKED")
            return
        if off:
            big_button(layout).operator("humanref.start_backend", icon="PLAY")
        elif current_session().owns_backend:
            layout.operator("humanref.stop_backend", icon="SNAP_FACE")
        else:
            if link.state == "lost":
                layout.operator("humanref.start_backend", icon="PLAY")
            layout.operator("humanref.disconnect", icon="UNLINKED")


class HUMANREF_PT_backend_details(SidebarPanel, bpy.types.Panel):
    """What runs where, and which versions"""

    bl_label = "Details"
    bl_parent_id = "HUMANREF_PT_backend"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        welcome = current_session().link.welcome
        column = layout.column(align=True)
        column.scale_y = 0.85
        columns = _columns(context) * 2 // 3
        for name, value in _facts(welcome) if welcome is not None else ():
            for index, line in enumerate(wrapped(value, columns)):
                split = column.split(factor=0.34)
                split.label(text="" if index else name)
                split.label(text=line, translate=False)
        layout.operator("humanref.copy_log", icon="COPYDOWN")


def _facts(welcome: Welcome) -> Iterator[tuple[str, str]]:
    """What runs where: name and value."""
    yield "Backend", f"{welcome.server_version} ({iface_('protocol')} {welcome.protocol})"
    yield "Device", welcome.device
    yield "Memory", f"{welcome.memory_mb / 1024:.1f} GB"
    for body in welcome.bodies:
        yield "Body", f"{body.name}, {body.licence}"
    for stage, provider in welcome.providers.items():
        # After the semicolon: why not another one; `humanref doctor` says that in full.
        yield stage.replace("_", " ").capitalize(), provider.partition(";")[0]


def _columns(context: bpy.types.Context) -> int:
    """How many characters fit on a line of the sidebar."""
    width = context.region.width if context.region else 280
    return max(20, int(width / (7.0 * context.preferences.system.ui_scale)) - 6)


CLASSES = (HUMANREF_PT_backend, HUMANREF_PT_backend_details)
