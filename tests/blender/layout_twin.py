"""A layout that draws nothing and complains about everything Blender would complain about."""

from __future__ import annotations

from typing import Any

import bpy

_FUNCTIONS = bpy.types.UILayout.bl_rna.functions
ICONS = set(_FUNCTIONS["label"].parameters["icon"].enum_items.keys())


class LayoutTwin:
    """Stands in for ``bpy.types.UILayout`` where there is no window; ``said`` holds all that was drawn."""

    def __init__(self, said: list[str] | None = None) -> None:
        self.said = [] if said is None else said

    def _child(self, name: str, **given: Any) -> LayoutTwin:
        known = _FUNCTIONS[name].parameters.keys()
        assert set(given) <= set(known), f"{name}{given}"
        assert given.get("icon", "NONE") in ICONS, given["icon"]
        if given.get("text"):
            self.said.append(given["text"])
        return LayoutTwin(self.said)

    def row(self, **given: Any) -> LayoutTwin:
        return self._child("row", **given)

    def column(self, **given: Any) -> LayoutTwin:
        return self._child("column", **given)

    def split(self, **given: Any) -> LayoutTwin:
        return self._child("split", **given)

    def box(self) -> LayoutTwin:
        return self._child("box")

    def label(self, **given: Any) -> None:
        self._child("label", **given)

    def separator(self, **given: Any) -> None:
        self._child("separator", **given)

    def progress(self, **given: Any) -> None:
        assert 0.0 <= given["factor"] <= 1.0
        self._child("progress", **given)

    def template_icon(self, icon_value: int, **given: Any) -> None:
        # Without a window every picture has the id 0.
        assert icon_value >= 0
        self._child("template_icon", **given)

    def template_ID(self, data: Any, name: str, **given: Any) -> None:  # noqa: N802
        assert name in data.bl_rna.properties
        _kind(given["open"])
        self._child("template_ID", **given)

    def template_list(
        self, kind: str, _id: str, data: Any, name: str, active: Any, index: str, **given: Any
    ) -> None:
        assert hasattr(bpy.types, kind)
        assert name in data.bl_rna.properties
        assert index in active.bl_rna.properties
        self._child("template_list", **given)

    def prop(self, data: Any, name: str, **given: Any) -> None:
        value = getattr(data, name)
        if given.get("index", -1) >= 0:
            value = value[given["index"]]
        assert data.bl_rna.properties[name].description
        self._child("prop", **given)

    def operator(self, name: str, **given: Any) -> Any:
        self._child("operator", **given)
        return _Settings(_kind(name))

    def operator_menu_enum(self, name: str, prop: str, **given: Any) -> None:
        assert prop in _kind(name).properties
        self._child("operator_menu_enum", **given)

    def popover(self, **given: Any) -> None:
        assert hasattr(bpy.types, given["panel"])
        self._child("popover", **given)


class _Settings:
    """What ``layout.operator`` returns: takes the operator's properties and nothing else."""

    def __init__(self, kind: Any) -> None:
        object.__setattr__(self, "_kind", kind)

    def __setattr__(self, name: str, value: object) -> None:
        prop = self._kind.properties[name]
        if prop.type == "ENUM":
            assert value in prop.enum_items.keys(), (name, value)  # noqa: SIM118


def _kind(name: str) -> Any:
    module, _, verb = name.partition(".")
    return getattr(getattr(bpy.ops, module), verb).get_rna_type()
