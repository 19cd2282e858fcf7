"""Cycles materials for skin, fabric, hair and eyes, and for normal maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from backend.training.figure import Part, Recipe

Socket = Any


class NodeBuilder:
    """A material's node tree with the few verbs we need."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.tree.nodes.new("ShaderNodeOutputMaterial")

    def node(self, kind: str, **inputs: Any) -> Any:
        """A node with inputs set by name; a socket as a value becomes a link."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in inputs.items():
            self.set(node.inputs[name.replace("_", " ")], value)
        return node

    def set(self, socket: Socket, value: Any) -> None:
        """Link a socket, or set its constant."""
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def image(self, path: Path, *, data: bool = False) -> Any:
        """An image texture node; ``data`` marks maps that are not colours."""
        node = self.tree.nodes.new("ShaderNodeTexImage")
        node.image = bpy.data.images.load(str(path), check_existing=True)
        if data:
            node.image.colorspace_settings.name = "Non-Color"
        return node

    def mix(self, a: Socket, b: Socket, factor: Any = 1.0, mode: str = "MULTIPLY") -> Socket:
        """Blend two colours."""
        node = self.tree.nodes.new("ShaderNodeMix")
        node.data_type, node.blend_type = "RGBA", mode
        # A Mix node has one set of sockets a data type: 6 and 7 are the colours, output 2 theirs.
        self.set(node.inputs[0], factor)
        self.set(node.inputs[6], a)
        self.set(node.inputs[7], b)
        return node.outputs[2]

    def noise(self, scale: float, detail: float = 2.0, distortion: float = 0.0) -> Socket:
        """Fractal noise in object space (metres): about ``scale`` bumps a metre."""
        where = self.node("TexCoord").outputs["Object"]
        node = self.node(
            "TexNoise", Vector=where, Scale=scale, Detail=detail, Distortion=distortion
        )
        return node.outputs["Fac"]

    def bump(self, height: Socket, metres: float, normal: Socket | None = None) -> Socket:
        """A bumped normal; ``height`` in 0..1 stands for ``metres``."""
        node = self.node("Bump", Height=height, Strength=1.0, Distance=metres)
        if normal is not None:
            self.set(node.inputs["Normal"], normal)
        return node.outputs["Normal"]

    def finish(self, surface: Socket) -> bpy.types.Material:
        """Connect the surface."""
        self.set(self.output.inputs["Surface"], surface)
        return self.material


def part_material(part: Part, recipe: Recipe) -> bpy.types.Material:
    """The photo material of a part."""
    if part.kind == "body":
        return _skin()
    if part.kind == "eyes":
        return _eyes(part)
    if part.kind == "clothes":
        return _fabric(part, recipe.recolor.get(part.name, (0.0, 1.0, 1.0)))
    return _hair(part, recipe.recolor.get(part.name, (0.0, 1.0, 1.0)))


def normal_material(part: Part) -> bpy.types.Material:
    """Emits the body-frame normal as (n + 1) / 2; the part's own opacity stays."""
    builder = NodeBuilder(f"{part.name}-normal")
    split = builder.node("SeparateXYZ", Vector=builder.node("NewGeometry").outputs["Normal"])
    # Blender is z up, facing -y; the body frame is y up, facing +z.
    back = builder.tree.nodes.new("ShaderNodeMath")
    back.operation = "MULTIPLY"
    builder.set(back.inputs[0], split.outputs["Y"])
    back.inputs[1].default_value = -1.0
    body = builder.node("CombineXYZ", X=split.outputs["X"], Y=split.outputs["Z"], Z=back.outputs[0])
    scaled = builder.tree.nodes.new("ShaderNodeVectorMath")
    scaled.operation = "MULTIPLY_ADD"
    builder.set(scaled.inputs[0], body.outputs[0])
    scaled.inputs[1].default_value = (0.5, 0.5, 0.5)
    scaled.inputs[2].default_value = (0.5, 0.5, 0.5)
    glow = builder.node("Emission", Color=scaled.outputs[0]).outputs[0]
    if part.kind not in ("hair", "eyebrows", "eyelashes") or "diffuse" not in part.maps:
        return builder.finish(glow)
    mixed = builder.node("MixShader", Fac=builder.image(part.maps["diffuse"]).outputs["Alpha"])
    builder.set(mixed.inputs[1], builder.node("BsdfTransparent").outputs[0])
    builder.set(mixed.inputs[2], glow)
    return builder.finish(mixed.outputs[0])


def _skin() -> bpy.types.Material:
    builder = NodeBuilder("skin")
    tint = builder.tree.nodes.new("ShaderNodeAttribute")
    tint.attribute_name = "tint"
    blotches = _tone(builder, builder.noise(28.0, 4.0), 0.90, 1.08)
    freckles = _tone(builder, builder.noise(420.0, 3.0), 0.95, 1.04)
    color = builder.mix(builder.mix(tint.outputs["Color"], blotches), freckles)
    pores = builder.bump(builder.noise(900.0, 2.0), 0.0004)
    shader = builder.node(
        "BsdfPrincipled",
        Base_Color=color,
        Roughness=0.52,
        Specular_IOR_Level=0.35,
        Subsurface_Weight=0.12,
        Subsurface_Radius=(1.0, 0.35, 0.2),
        Subsurface_Scale=0.006,
        Normal=pores,
    )
    return builder.finish(shader.outputs[0])


def _fabric(part: Part, recolor: tuple[float, float, float]) -> bpy.types.Material:
    builder = NodeBuilder(part.name)
    color = _diffuse(builder, part, recolor)[0]
    if "aomap" in part.maps:
        color = builder.mix(color, builder.image(part.maps["aomap"], data=True).outputs[0], 0.6)
    color = builder.mix(color, _tone(builder, builder.noise(350.0, 4.0), 0.9, 1.1))
    normal = None
    if "normalmap" in part.maps:
        tangent = builder.tree.nodes.new("ShaderNodeNormalMap")
        builder.set(
            tangent.inputs["Color"], builder.image(part.maps["normalmap"], data=True).outputs[0]
        )
        normal = tangent.outputs["Normal"]
    shoe = part.name.startswith("shoes")
    folds = builder.bump(builder.noise(11.0, 3.0, 1.2), 0.0 if shoe else 0.02, normal)
    weave = builder.bump(builder.noise(700.0, 2.0), 0.0006, folds)
    shader = builder.node(
        "BsdfPrincipled",
        Base_Color=color,
        Roughness=0.45 if shoe else 0.85,
        Specular_IOR_Level=0.4 if shoe else 0.15,
        Sheen_Weight=0.0 if shoe else 0.15,
        Normal=weave,
    )
    return builder.finish(shader.outputs[0])


def _hair(part: Part, recolor: tuple[float, float, float]) -> bpy.types.Material:
    builder = NodeBuilder(part.name)
    color, alpha = _diffuse(builder, part, recolor)
    shader = builder.node(
        "BsdfPrincipled", Base_Color=color, Roughness=0.6, Specular_IOR_Level=0.2, Alpha=alpha
    )
    return builder.finish(shader.outputs[0])


def _eyes(part: Part) -> bpy.types.Material:
    builder = NodeBuilder("eyes")
    image = builder.image(part.maps["diffuse"])
    # The mesh has a clear cornea shell around the ball: the image's alpha tells them apart.
    shader = builder.node(
        "BsdfPrincipled",
        Base_Color=image.outputs["Color"],
        Roughness=0.08,
        Specular_IOR_Level=0.5,
        Alpha=image.outputs["Alpha"],
    )
    return builder.finish(shader.outputs[0])


def _diffuse(
    builder: NodeBuilder, part: Part, recolor: tuple[float, float, float]
) -> tuple[Socket, Socket]:
    image = builder.image(part.maps["diffuse"])
    hue, saturation, value = recolor
    shifted = builder.node(
        "HueSaturation",
        Hue=0.5 + hue,
        Saturation=saturation,
        Value=value,
        Color=image.outputs["Color"],
    )
    return shifted.outputs[0], image.outputs["Alpha"]


def _tone(builder: NodeBuilder, factor: Socket, low: float, high: float) -> Socket:
    """Noise in about 0.3..0.7 to a grey between low and high."""
    node = builder.node("MapRange", Value=factor)
    for name, value in (("From Min", 0.3), ("From Max", 0.7), ("To Min", low), ("To Max", high)):
        node.inputs[name].default_value = value
    return node.outputs[0]
