"""Callbacks of the properties: what a value means for the scene."""

from __future__ import annotations

from functools import lru_cache

import bpy

from ..scene.character import find_characters, has_texture
from ..scene.errors import SceneError
from ..scene.photo_camera import set_photo_opacity
from ..scene.rig import can_adopt, read_betas, read_height_cm, rig_kind, set_height_cm
from ..scene.rig import set_shape as set_rig_shape
from ..scene.view_shading import restore_shading
from ..session.current import current_session
from ..session.problem import Problem
from ..session.sight import color_views
from .photo_display import put_photo_up

_POSABLE = ("body", "adopted")
# The numbers stand in saved files: each keeps its own, and 2 is taken by a name that is no more.
_KNOWN_GUIDANCES = {
    "mirror": (
        "Mirror",
        "A fast baseline: the photo's colors go on to the back, without the face",
        0,
    ),
    "none": ("None", "Only what the photo shows", 1),
    "ref-sds": ("Ref-SDS", "A diffusion model looks at the photo and paints what it hides", 3),
    "ref-sds-global": (
        "Ref-SDS, No Regions",
        "To compare: any part of the body may look at any part of the photo",
        4,
    ),
    "sds": ("SDS", "To compare: the diffusion model does not see the photo", 5),
    "vsd": ("VSD", "To compare: not seen either, and a small network learns the renders", 6),
}
USUAL_GUIDANCE = _KNOWN_GUIDANCES["ref-sds"][2]
"""The default, as the number that is saved."""


def is_photo(_group: object, image: bpy.types.Image) -> bool:
    """Whether an image can be a photo."""
    return image.source in ("FILE", "GENERATED") and image.type not in (
        "RENDER_RESULT",
        "COMPOSITING",
    )


def is_rig(group: bpy.types.PropertyGroup, candidate: bpy.types.Object) -> bool:
    """Whether an object of the scene can be read as a pose."""
    if candidate.type != "ARMATURE" or group.id_data.objects.get(candidate.name) is None:
        return False
    return rig_kind(candidate) in _POSABLE or can_adopt(candidate)


def photo_chosen(group: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Make the thumbnail of a newly chosen photo and show it behind the body."""
    if group.photo is None:
        return
    group.photo.preview_ensure()
    try:
        put_photo_up(context)
    except SceneError as error:
        current_session().report(Problem.say(error.code, error.message, error.hint))


def opacity_changed(group: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    """Show the new opacity."""
    camera = group.id_data.camera
    if camera is not None and camera.data.background_images:
        set_photo_opacity(camera, group.photo_opacity)


def shading_chosen(group: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Show the colours, or put the artist's shading back."""
    if not group.photo_shading:
        restore_shading()
    else:
        textured = any(has_texture(found) for found in find_characters(group.id_data))
        color_views(context, "TEXTURE" if textured else "VERTEX")


def rig_of(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's rig, unless the artist has deleted it."""
    rig = scene.humanref.rig
    # A deleted object that is still pointed to is in no collection; asking the scene takes far longer.
    return rig if rig is not None and rig.users_collection else None


def own_rig_of(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's rig where it has a shape and a height that can be set."""
    rig = rig_of(scene)
    return rig if rig is not None and rig_kind(rig) in _POSABLE else None


def get_height_cm(group: bpy.types.PropertyGroup) -> float:
    """The rig's height; before there is one, what it shall be."""
    rig = own_rig_of(group.id_data)
    return read_height_cm(rig) if rig is not None else group.wanted_height_cm


def put_height_cm(group: bpy.types.PropertyGroup, value: float) -> None:
    """Scale the rig."""
    group.wanted_height_cm = value
    rig = own_rig_of(group.id_data)
    if rig is not None:
        set_height_cm(rig, value)


def get_shape(group: bpy.types.PropertyGroup) -> tuple[float, ...]:
    """The rig's first shape parameters."""
    size = group.bl_rna.properties["shape"].array_length
    rig = own_rig_of(group.id_data)
    betas = () if rig is None else read_betas(rig)
    return (tuple(betas) + (0.0,) * size)[:size]


def put_shape(group: bpy.types.PropertyGroup, value: tuple[float, ...]) -> None:
    """Reshape the rig; one without a shape stays as it is."""
    rig = own_rig_of(group.id_data)
    if rig is None:
        return
    try:
        set_rig_shape(rig, tuple(value))
    except SceneError:
        # An adopted armature has bones only; the panel greys the sliders out.
        return


def guidance_items(
    _group: object, _context: bpy.types.Context | None
) -> tuple[tuple[str, str, str, int], ...]:
    """What the connected backend offers, else what every backend has."""
    welcome = current_session().link.welcome
    return _guidance_items(tuple(welcome.guidances) if welcome else ())


# Blender keeps no reference to the strings of a dynamic enum: they must live on.
@lru_cache(maxsize=8)
def _guidance_items(names: tuple[str, ...]) -> tuple[tuple[str, str, str, int], ...]:
    items = []
    for index, name in enumerate(names or ("ref-sds", "mirror", "none")):
        label, description, number = _KNOWN_GUIDANCES.get(name, (name, "", 100 + index))
        items.append((name, label, description, number))
    return tuple(items)
