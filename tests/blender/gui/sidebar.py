"""The add-on's tab in the 3D view's sidebar: finds its buttons by what they do, and clicks them."""

from __future__ import annotations

import time

from window import HEIGHT, Window, WindowError

TAB = "HumanRef"
_BUTTON_HEIGHT = 20
_COLUMNS = (0.5, 0.2, 0.8)
"""Where in a row of one, two or three buttons there is always one under the pointer."""

# Blender's own "copy Python command" answers for the button under the pointer.
_WHAT_IS_HERE = """
bpy.context.window_manager.clipboard = ""
with bpy.context.temp_override(**view(region="UI")):
    if bpy.ops.ui.copy_python_command_button.poll():
        bpy.ops.ui.copy_python_command_button()
value = bpy.context.window_manager.clipboard
"""


class Sidebar:
    """The sidebar of the first 3D view of ``window``."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def _region(self) -> tuple[int, int, int, int]:
        """Left, top, width and height on the screen, y down."""
        x, y, width, height = self._window.run(
            "r = view(region='UI')['region']; value = [r.x, r.y, r.width, r.height]"
        )
        return x, HEIGHT - y - height, width, height

    def open(self) -> None:
        """Show the sidebar and click on our tab."""
        self._window.run("view()['area'].spaces.active.show_region_ui = True")
        self._window.wait_for("view(region='UI')['region'].width > 50")
        left, top, width, height = self._region()
        for y in range(top + 20, top + height, 25):
            self._window.click(left + width - 10, y)
            time.sleep(0.1)
            if self.tab() == TAB:
                return
        raise WindowError(f"no click on the sidebar's tabs opened {TAB}; it shows {self.tab()}")

    def tab(self) -> str:
        """The tab that is shown."""
        return str(self._window.run("value = view(region='UI')['region'].active_panel_category"))

    def find(self, command: str) -> tuple[int, int]:
        """Screen position of the button that would run a command starting with ``command``.

        Looks from the top of the tab to its end. Raises WindowError where no button does.
        """
        left, top, width, height = self._region()
        middle = (left + width // 2, top + height // 2)
        self._wheel(middle, up=True, clicks=40)
        seen: list[str] = []
        for _ in range(4):
            before = len(seen)
            place = self._search(command, seen)
            if place is not None:
                return place
            if before and len(seen) == before:
                break
            self._wheel(middle, up=False, clicks=8)
        raise WindowError(f"no button runs {command}; there are: {', '.join(seen)}")

    def to_the_end(self) -> None:
        """Scroll down to the tab's last panel."""
        left, top, width, height = self._region()
        self._wheel((left + width // 2, top + height // 2), up=False, clicks=40)

    def _search(self, command: str, seen: list[str]) -> tuple[int, int] | None:
        """Among what is in sight; notes in ``seen`` what the buttons there would run."""
        left, top, width, height = self._region()
        inner = width - 25
        rows = range(top + 8, top + height - 4, _BUTTON_HEIGHT // 2)
        for x, y in ((left + int(inner * share), row) for share in _COLUMNS for row in rows):
            here = self._what_is_at(x, y, 0.03)
            # A busy Blender may still speak of where the pointer was before; and the place found may be
            # the button's very edge.
            if here.startswith(command) and self._what_is_at(x, y + 4, 0.4).startswith(command):
                return x, y + 4
            if here and here not in seen:
                seen.append(here)
        return None

    def _what_is_at(self, x: int, y: int, patience: float) -> str:
        """What the button there would run; empty where there is none."""
        self._window.point(x, y)
        time.sleep(patience)
        return str(self._window.run(_WHAT_IS_HERE)).removeprefix("bpy.ops.").replace('"', "'")

    def _wheel(self, place: tuple[int, int], *, up: bool, clicks: int) -> None:
        # Blender sends the wheel to where it last saw the pointer move.
        self._window.point(place[0] - 5, place[1])
        time.sleep(0.2)
        self._window.point(*place)
        time.sleep(0.2)
        self._window.mouse("click", "--repeat", str(clicks), "--delay", "10", "4" if up else "5")
        time.sleep(0.2)

    def press(self, command: str) -> None:
        """Click the button that runs a command starting with ``command`` (``humanref.estimate``)."""
        x, y = self.find(command)
        self._window.click(x, y)
