"""A small Cycles studio: the person, a daylit room, cameras, pictures.

Blender's frame is z up with the person facing -y; everything of ours enters through ``to_blender``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from jaxtyping import Float, Int

from backend.training.figure import Part, Person

from .materials import NodeBuilder, normal_material, part_material

Color = tuple[float, float, float, float]


@dataclass(frozen=True)
class Picture:
    """Size and effort of one rendering."""

    width: int
    height: int
    samples: int
    transparent: bool = False


def to_blender(points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Body frame (y up, facing +z) to Blender's (z up, facing -y)."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def from_blender(points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Inverse of :func:`to_blender`."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


class Studio:
    """One empty scene with a person in it. Only one can be alive: Blender has one open file."""

    def __init__(self, person: Person) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self.scene.render.engine = "CYCLES"
        self.scene.cycles.device = "CPU"
        self.scene.cycles.seed = 0
        self.scene.cycles.use_denoising = True
        self.scene.cycles.transparent_max_bounces = 24
        self.scene.view_settings.view_transform = "AgX"
        self.scene.view_settings.look = "AgX - Medium High Contrast"
        self.person = person
        self.objects = [self._add_part(part) for part in person.parts]
        self._photo_materials = [list(item.data.materials) for item in self.objects]

    def _add_part(self, part: Part) -> bpy.types.Object:
        mesh = bpy.data.meshes.new(part.name)
        mesh.from_pydata(to_blender(part.vertices).tolist(), [], part.faces)
        layer = mesh.uv_layers.new(name="uv")
        corners = np.concatenate([np.asarray(face) for face in part.uv_faces])
        layer.data.foreach_set("uv", part.uv[corners].astype(np.float32).ravel())
        mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
        if part.tint is not None:
            tint = mesh.color_attributes.new("tint", "FLOAT_COLOR", "POINT")
            rgba = np.ones((len(part.tint), 4), np.float32)
            rgba[:, :3] = _linear(part.tint)
            tint.data.foreach_set("color", rgba.ravel())
        mesh.materials.append(part_material(part, self.person.recipe))
        item = bpy.data.objects.new(part.name, mesh)
        self.scene.collection.objects.link(item)
        if part.kind in ("body", "clothes"):
            smooth = item.modifiers.new("smooth", "SUBSURF")
            smooth.levels = smooth.render_levels = 1
        return item

    def add_daylight(self, *, sky: float = 0.38, window: float = 330.0) -> None:
        """A grey-blue sky all around and a large warm window in front, on the person's right."""
        world = bpy.data.worlds.new("sky")
        self.scene.world = world
        world.use_nodes = True
        background = world.node_tree.nodes["Background"]
        background.inputs["Color"].default_value = (0.82, 0.9, 1.0, 1.0)
        background.inputs["Strength"].default_value = sky
        for name, power, size, place, color in (
            ("window", window, 2.2, (-3.0, -3.6, 2.9), (1.0, 0.94, 0.86)),
            ("bounce", window * 0.14, 2.5, (3.2, -2.2, 1.4), (0.95, 0.97, 1.0)),
        ):
            light = bpy.data.lights.new(name, "AREA")
            light.energy, light.size, light.color = power, size, color
            item = bpy.data.objects.new(name, light)
            item.location = place
            item.rotation_euler = _look_at(place, (0.0, 0.0, 1.0))
            self.scene.collection.objects.link(item)

    def add_room(self) -> None:
        """Oak floor, plastered wall with a skirting board, a door and a framed print."""
        self._box("floor", (0.0, -1.0, -0.05), (12.0, 8.0, 0.1), _planks())
        self._box("wall", (0.0, 2.05, 1.9), (12.0, 0.1, 4.0), _plaster())
        white = _plain("white-paint", (0.78, 0.77, 0.74, 1.0), 0.4)
        self._box("skirting", (0.0, 1.985, 0.06), (12.0, 0.03, 0.12), white)
        self._box("door-frame", (1.35, 1.985, 1.05), (1.06, 0.05, 2.14), white)
        self._box("door", (1.35, 1.965, 1.02), (0.92, 0.05, 2.04), _wood())
        self._box("handle", (0.98, 1.91, 1.02), (0.13, 0.03, 0.025), _plain("steel", _STEEL, 0.3))
        self._box("frame", (-0.98, 1.98, 1.62), (0.56, 0.04, 0.76), _plain("ebony", _EBONY, 0.5))
        self._box("print", (-0.98, 1.955, 1.62), (0.48, 0.01, 0.68), _print())

    def _box(
        self,
        name: str,
        center: tuple[float, float, float],
        size: tuple[float, float, float],
        material: bpy.types.Material,
    ) -> None:
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata((signs * np.asarray(size) / 2).tolist(), [], faces)
        mesh.materials.append(material)
        item = bpy.data.objects.new(name, mesh)
        item.location = center
        self.scene.collection.objects.link(item)

    def photo_camera(self, *, distance: float, center_height: float, span: float) -> None:
        """A long lens in front: ``span`` metres of height at the person; the wall slightly soft."""
        camera = self._camera((0.0, -distance, center_height + 0.12), (0.0, 0.0, center_height))
        camera.sensor_fit = "VERTICAL"
        camera.angle = 2.0 * math.atan(span / 2.0 / distance)
        camera.dof.use_dof = True
        camera.dof.focus_distance = distance - 0.1
        camera.dof.aperture_fstop = 2.8

    def view_camera(
        self, azimuth: float, center: Float[np.ndarray, "3"], half_height: float
    ) -> None:
        """Orthographic, azimuth in degrees as in ``backend.geometry.cameras``, square picture."""
        angle = math.radians(azimuth)
        direction = np.array([math.sin(angle), 0.0, math.cos(angle)])
        place = to_blender(np.asarray(center) + 5.0 * direction)
        camera = self._camera(tuple(place), tuple(to_blender(np.asarray(center))))
        camera.type = "ORTHO"
        camera.ortho_scale = 2.0 * half_height

    def _camera(
        self, place: tuple[float, float, float], target: tuple[float, float, float]
    ) -> bpy.types.Camera:
        camera = bpy.data.cameras.new("camera")
        item = bpy.data.objects.new("camera", camera)
        item.location = place
        item.rotation_euler = _look_at(place, target)
        self.scene.collection.objects.link(item)
        self.scene.camera = item
        return camera

    def show_normals(self, on: bool) -> None:
        """Switch between the photo materials and body-frame normals as raw data."""
        for item, part, photo in zip(
            self.objects, self.person.parts, self._photo_materials, strict=True
        ):
            item.data.materials.clear()
            for material in [normal_material(part)] if on else photo:
                item.data.materials.append(material)
        settings = self.scene.view_settings
        if on:
            settings.view_transform, settings.look = "Raw", "None"
        else:
            settings.view_transform = "AgX"
            settings.look = "AgX - Medium High Contrast"
        self.scene.cycles.use_denoising = not on

    def render(self, path: Path, picture: Picture) -> None:
        """Write a PNG."""
        render = self.scene.render
        render.resolution_x, render.resolution_y = picture.width, picture.height
        render.film_transparent = picture.transparent
        render.image_settings.file_format = "PNG"
        render.image_settings.color_mode = "RGBA" if picture.transparent else "RGB"
        render.filepath = str(path)
        self.scene.cycles.samples = picture.samples
        bpy.ops.render.render(write_still=True)

    def surface(self) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
        """All parts as rendered (subdivided), triangulated, body frame, metres."""
        graph = bpy.context.evaluated_depsgraph_get()
        vertices, faces, count = [], [], 0
        for item in self.objects:
            mesh = item.evaluated_get(graph).to_mesh()
            mesh.calc_loop_triangles()
            points = np.empty(len(mesh.vertices) * 3)
            mesh.vertices.foreach_get("co", points)
            triangles = np.empty(len(mesh.loop_triangles) * 3, np.int32)
            mesh.loop_triangles.foreach_get("vertices", triangles)
            vertices.append(from_blender(points.reshape(-1, 3)))
            faces.append(triangles.reshape(-1, 3) + count)
            count += len(mesh.vertices)
            item.to_mesh_clear()
        return np.concatenate(vertices), np.concatenate(faces)


_STEEL: Color = (0.45, 0.45, 0.46, 1.0)
_EBONY: Color = (0.03, 0.028, 0.026, 1.0)


def _linear(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _look_at(
    place: tuple[float, float, float], target: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Euler angles of something that looks along its own -z, with +y up."""
    x, y, z = (b - a for a, b in zip(place, target, strict=True))
    return (math.atan2(math.hypot(x, y), -z), 0.0, math.atan2(-x, y))


def _plain(name: str, color: Color, roughness: float) -> bpy.types.Material:
    builder = NodeBuilder(name)
    shader = builder.node("BsdfPrincipled", Base_Color=color, Roughness=roughness)
    return builder.finish(shader.outputs[0])


def _plaster() -> bpy.types.Material:
    builder = NodeBuilder("plaster")
    color = builder.mix(
        (0.47, 0.49, 0.45, 1.0), (0.40, 0.42, 0.39, 1.0), builder.noise(1.3, 3.0), mode="MIX"
    )
    rough = builder.bump(builder.noise(60.0, 5.0), 0.004)
    shader = builder.node("BsdfPrincipled", Base_Color=color, Roughness=0.9, Normal=rough)
    return builder.finish(shader.outputs[0])


def _planks() -> bpy.types.Material:
    builder = NodeBuilder("planks")
    where = builder.node("TexCoord").outputs["Object"]
    planks = builder.node("TexBrick", Vector=where, Scale=1.0)
    planks.offset = 0.37
    for name, value in (
        ("Color1", (0.30, 0.19, 0.105, 1.0)),
        ("Color2", (0.235, 0.145, 0.08, 1.0)),
        ("Mortar", (0.09, 0.055, 0.03, 1.0)),
        ("Mortar Size", 0.0025),
        ("Brick Width", 1.5),
        ("Row Height", 0.14),
    ):
        planks.inputs[name].default_value = value
    stretched = builder.node("Mapping", Vector=where, Scale=(1.5, 26.0, 1.0))
    grain = builder.node("TexNoise", Vector=stretched.outputs[0], Scale=3.0, Detail=6.0)
    color = builder.mix(planks.outputs["Color"], grain.outputs["Color"], 0.35, mode="OVERLAY")
    shader = builder.node("BsdfPrincipled", Base_Color=color, Roughness=0.42)
    return builder.finish(shader.outputs[0])


def _wood() -> bpy.types.Material:
    builder = NodeBuilder("walnut")
    where = builder.node("TexCoord").outputs["Object"]
    stretched = builder.node("Mapping", Vector=where, Scale=(18.0, 1.0, 1.2))
    grain = builder.node("TexNoise", Vector=stretched.outputs[0], Scale=2.5, Detail=6.0)
    color = builder.mix(
        (0.16, 0.085, 0.045, 1.0), (0.30, 0.17, 0.09, 1.0), grain.outputs["Fac"], mode="MIX"
    )
    shader = builder.node("BsdfPrincipled", Base_Color=color, Roughness=0.5)
    return builder.finish(shader.outputs[0])


def _print() -> bpy.types.Material:
    """An abstract print: soft bands of colour."""
    builder = NodeBuilder("print")
    where = builder.node("TexCoord").outputs["Object"]
    waves = builder.node("TexWave", Vector=where, Scale=1.6, Distortion=6.0, Detail=2.0)
    color = builder.mix(
        (0.75, 0.66, 0.48, 1.0), (0.10, 0.24, 0.30, 1.0), waves.outputs["Fac"], mode="MIX"
    )
    shader = builder.node("BsdfPrincipled", Base_Color=color, Roughness=0.6)
    return builder.finish(shader.outputs[0])
