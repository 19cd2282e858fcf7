"""The pump: a timer of Blender calls the session's tick; handlers tell it of undo and of other files."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import bpy
from bpy.app.handlers import persistent

from .arrivals import Arrivals
from .current import current_session
from .problem import unexpected

_BUSY_INTERVAL = 0.05
_IDLE_INTERVAL = 0.25


class Pump:
    """Registers and unregisters; after a tick that changed something the panels are drawn again.

    Args:
        arrivals: told of undo and file load.
        on_change: called on the main thread after a tick with news.
    """

    def __init__(self, arrivals: Arrivals, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._revision = -1

        # Bound methods make a new object at each mention: Blender needs the same one to remove it.
        def tick() -> float:
            return self._tick()

        @persistent
        def loaded(*_: object) -> None:
            arrivals.after_load()
            current_session().resume()

        @persistent
        def undone(*_: object) -> None:
            arrivals.after_undo()

        self._timer = tick
        self._handlers = (
            (bpy.app.handlers.load_post, loaded),
            (bpy.app.handlers.undo_post, undone),
            (bpy.app.handlers.redo_post, undone),
        )

    def start(self) -> None:
        """Begin. In background mode nothing is timed: whoever scripts Blender calls ``tick``."""
        for handlers, handler in self._handlers:
            handlers.append(handler)
        if not bpy.app.background:
            bpy.app.timers.register(self._timer, first_interval=0.1, persistent=True)

    def stop(self) -> None:
        """Leave nothing behind."""
        if bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        for handlers, handler in self._handlers:
            if handler in handlers:
                handlers.remove(handler)

    def _tick(self) -> float:
        session = current_session()
        try:
            session.tick()
            if session.revision != self._revision:
                self._revision = session.revision
                self._on_change()
        except Exception as error:
            # Blender drops a timer that raises: the panels would be dead without a word.
            traceback.print_exc()
            session.report(unexpected(error))
        busy = session.book.active() or session.link.state in ("starting", "connecting")
        return _BUSY_INTERVAL if busy else _IDLE_INTERVAL
