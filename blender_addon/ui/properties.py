"""What the artist sets, kept in the .blend: one group a scene. Job lines for the list live elsewhere."""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import property_access as access

SHAPE_SLIDERS = 8


class HUMANREF_PG_stored_job(bpy.types.PropertyGroup):
    """A job that a scene waits for, or has got."""

    job_id: StringProperty(name="Job", description="The backend's name for this job")
    kind: StringProperty(name="Kind", description="Estimate or generate")
    photo_name: StringProperty(name="Photo", description="Photo the job is about")
    rig_name: StringProperty(
        name="Rig", description="Armature that a re-fit updates; empty where a new one is made"
    )
    place: StringProperty(name="Place", description="Id of the collection that the result goes to")
    delivered: BoolProperty(
        name="Delivered", description="Whether the result has come into this scene"
    )


class HUMANREF_PG_scene(bpy.types.PropertyGroup):
    """One person: photo, body and settings."""

    version: IntProperty(
        name="Version",
        description="Version of the stored data, 0 before anything is stored",
        options={"HIDDEN"},
    )
    photo: PointerProperty(
        type=bpy.types.Image,
        name="Photo",
        description="Photo of one person, whole figure in view",
        poll=access.is_photo,
        update=access.photo_chosen,
    )
    photo_camera: StringProperty(
        name="Photo Camera", description="Camera that shows the photo", options={"HIDDEN"}
    )
    photo_opacity: FloatProperty(
        name="Photo Opacity",
        description="How strongly the photo shows behind the body",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=access.opacity_changed,
    )
    photo_shading: BoolProperty(
        name="Photo Colors",
        description="Solid views show the person's own colors under a soft light; "
        "off gives you your own shading back",
        default=True,
        update=access.shading_chosen,
    )
    person: IntProperty(
        name="Person",
        description="Which person, counted from the left, when the photo shows several; 0 decides itself",
        default=0,
        min=0,
        soft_max=8,
    )
    rig: PointerProperty(
        type=bpy.types.Object,
        name="Rig",
        description="Armature with SMPL-X bones that says how the person stands. "
        "Estimate makes one; any SMPL-X armature of the scene will do",
        poll=access.is_rig,
    )
    body: EnumProperty(
        name="Body Model",
        description="Parametric body that is fitted to the photo",
        items=(
            ("anny", "Anny", "Open body that comes with the backend (Apache-2.0)"),
            ("smplx", "SMPL-X", "Your own licensed SMPL-X files, where the backend has them"),
        ),
        default="anny",
    )
    height_cm: FloatProperty(
        name="Height",
        description="How tall the person is, in centimeters",
        default=175.0,
        min=50.0,
        max=250.0,
        soft_min=140.0,
        soft_max=205.0,
        precision=1,
        step=100,
        get=access.get_height_cm,
        set=access.put_height_cm,
    )
    wanted_height_cm: FloatProperty(
        name="Height",
        description="How tall the person shall be, before there is a rig",
        default=175.0,
        options={"HIDDEN"},
    )
    shape: FloatVectorProperty(
        name="Shape",
        description="Build of the body: 0 is the average adult, 1 a typical deviation from it",
        size=SHAPE_SLIDERS,
        soft_min=-3.0,
        soft_max=3.0,
        min=-6.0,
        max=6.0,
        precision=2,
        step=5,
        get=access.get_shape,
        set=access.put_shape,
    )
    preset: EnumProperty(
        name="Quality",
        description="How much work goes into the character",
        items=(
            ("draft", "Draft", "A quick look, about half a minute on a CPU"),
            ("standard", "Standard", "Good quality, a minute or two on a CPU"),
            ("paper", "Paper", "The published settings; hours on a CPU, made for a GPU"),
        ),
        default="standard",
    )
    guidance: EnumProperty(
        name="Unseen Sides",
        description="What imagines the sides that the photo does not show",
        items=access.guidance_items,
        default=access.USUAL_GUIDANCE,
    )
    prompt: StringProperty(
        name="Prompt",
        description="Description of the person and the clothes; empty lets the backend describe the photo",
        maxlen=1000,
    )
    caption: StringProperty(
        name="Caption", description="How the backend describes the photo", options={"HIDDEN"}
    )
    seed: IntProperty(
        name="Seed",
        description="Same seed, same settings, same result",
        default=0,
        min=0,
        max=2**31 - 1,
    )
    steps: IntProperty(
        name="Steps",
        description="Optimization steps; 0 takes the quality preset's",
        default=0,
        min=0,
        soft_max=12_000,
        max=100_000,
    )
    faces: IntProperty(
        name="Triangles",
        description="Triangles of the finished mesh; 0 takes the quality preset's",
        default=0,
        min=0,
        soft_max=200_000,
        max=1_000_000,
        step=1000,
    )
    texture: EnumProperty(
        name="Texture",
        description="Side of the baked texture in pixels",
        items=(
            ("preset", "As Quality", "What the quality preset bakes"),
            ("0", "None", "Vertex colors only"),
            ("1024", "1024", "1024 x 1024 pixels"),
            ("2048", "2048", "2048 x 2048 pixels"),
            ("4096", "4096", "4096 x 4096 pixels"),
        ),
        default="preset",
    )
    device: EnumProperty(
        name="Device",
        description="What the backend computes on",
        items=(
            ("auto", "Automatic", "A GPU where the backend has one, else the CPU"),
            ("cpu", "CPU", "The processor"),
            ("cuda", "GPU (CUDA)", "An NVIDIA graphics card; an error where there is none"),
        ),
        default="auto",
    )
    jobs: CollectionProperty(type=HUMANREF_PG_stored_job)


class HUMANREF_PG_job_line(bpy.types.PropertyGroup):
    """A line of the job list."""

    name: StringProperty(name="Job", description="The backend's name for this job")


class HUMANREF_PG_window_manager(bpy.types.PropertyGroup):
    """What lasts as long as Blender runs."""

    jobs: CollectionProperty(type=HUMANREF_PG_job_line)
    job_index: IntProperty(name="Job", description="Chosen job")


CLASSES = (
    HUMANREF_PG_stored_job,
    HUMANREF_PG_scene,
    HUMANREF_PG_job_line,
    HUMANREF_PG_window_manager,
)


def attach_properties() -> None:
    """Hang the groups on Blender's types; their classes must be registered."""
    bpy.types.Scene.humanref = PointerProperty(type=HUMANREF_PG_scene)
    bpy.types.WindowManager.humanref = PointerProperty(type=HUMANREF_PG_window_manager)


def detach_properties() -> None:
    """Take them off again."""
    del bpy.types.WindowManager.humanref
    del bpy.types.Scene.humanref
