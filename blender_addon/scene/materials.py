"""Materials: vertex colours or a baked texture on a skin that hardly shines."""

from __future__ import annotations

import struct
from typing import Final

import bpy

from . import mesh_data
from .errors import SceneError

_ROUGHNESS: Final = 0.8
_SPECULAR: Final = 0.2
_COLORS_NODE: Final = "Vertex colors"
_TEXTURE_NODE: Final = "Baked texture"


def colored_material(name: str, texture: bpy.types.Image | None = None) -> bpy.types.Material:
    """A new material that shows the texture, or the vertex colours where there is none.

    Both nodes are there when there is a texture; :func:`choose` says which one is linked.
    """
    material = bpy.data.materials.new(name)
    if material.node_tree is None:
        material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    output = nodes.new("ShaderNodeOutputMaterial")
    shader = nodes.new("ShaderNodeBsdfPrincipled")
    shader.inputs["Roughness"].default_value = _ROUGHNESS
    shader.inputs["Specular IOR Level"].default_value = _SPECULAR
    colors = nodes.new("ShaderNodeVertexColor")
    colors.name = colors.label = _COLORS_NODE
    colors.layer_name = mesh_data.COLOR
    output.location, shader.location, colors.location = (300, 0), (0, 0), (-300, 0)
    material.node_tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    if texture is not None:
        picture = nodes.new("ShaderNodeTexImage")
        picture.name = picture.label = _TEXTURE_NODE
        picture.image = texture
        picture.location = (-400, 250)
        # Solid shading shows the active image node.
        nodes.active = picture
    choose(material, texture is not None)
    return material


def has_texture(material: bpy.types.Material) -> bool:
    """Whether there is a texture to choose."""
    return material.node_tree is not None and _TEXTURE_NODE in material.node_tree.nodes


def texture_chosen(material: bpy.types.Material) -> bool:
    """Whether the texture colours the skin now."""
    if not has_texture(material):
        return False
    return any(link.to_socket.name == "Base Color" for link in _links_from(material, _TEXTURE_NODE))


def choose(material: bpy.types.Material, texture: bool) -> None:
    """Link the texture, or the vertex colours, to the base colour.

    Raises:
        SceneError: ``no_texture``.
    """
    if texture and not has_texture(material):
        raise SceneError("no_texture", "This character came without a texture.")
    nodes = material.node_tree.nodes
    source = nodes.get(_TEXTURE_NODE if texture else _COLORS_NODE)
    shader = next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)
    if source is None or shader is None:
        raise SceneError(
            "material_changed", f"The nodes of {material.name} were changed.", "Link them by hand."
        )
    # Linking an input drops what was linked there.
    material.node_tree.links.new(source.outputs["Color"], shader.inputs["Base Color"])


def _links_from(material: bpy.types.Material, node: str) -> list[bpy.types.NodeLink]:
    return [link for link in material.node_tree.links if link.from_node.name == node]


def packed_image(name: str, png: bytes) -> bpy.types.Image:
    """A PNG's bytes as an sRGB image that is kept inside the .blend.

    Raises:
        SceneError: ``character_invalid`` when they are no PNG.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 33:
        raise SceneError("character_invalid", "The character's texture is not a PNG picture.")
    width, height = struct.unpack(">II", png[16:24])
    image = bpy.data.images.new(name, width, height)
    image.pack(data=png, data_len=len(png))
    image.source = "FILE"
    image.colorspace_settings.name = "sRGB"
    return image


def ghost_material(name: str, rgba: tuple[float, float, float, float]) -> bpy.types.Material:
    """A plain see-through material: the body over the photo."""
    material = bpy.data.materials.new(name)
    if material.node_tree is None:
        material.use_nodes = True
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*rgba[:3], 1.0)
    shader.inputs["Alpha"].default_value = rgba[3]
    shader.inputs["Roughness"].default_value = _ROUGHNESS
    material.diffuse_color = rgba
    return material
