"""The backend's own arrays for the scene tests, and what they are compared with in Blender."""

from __future__ import annotations

import importlib
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


def make_arrays(out: Path) -> dict[str, Any]:
    """Run make_scene_data.py in the backend's environment: HUMANREF_PYTHON, else the clone's .venv."""
    python = os.environ.get("HUMANREF_PYTHON", str(REPOSITORY / ".venv" / "bin" / "python"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    script = str(HERE / "make_scene_data.py")
    subprocess.run([python, script, str(out)], env=environment, check=True, cwd=REPOSITORY)
    with np.load(out) as file:
        return {key: file[key] for key in file.files}


class SceneData:
    """Bodies and a character as the wire's classes, of the add-on under test."""

    def __init__(self, addon: ModuleType, arrays: dict[str, Any]) -> None:
        self.arrays = arrays
        self.addon = addon
        messages = self.wire("messages")
        self.camera = messages.Camera(pixels_per_metre=430.0, center_u=512.5, center_v=1011.0)
        self.photo = messages.PhotoInfo(width=1000, height=1200, sha256="ab" * 32)
        self.template = self.wire("documents").BodyTemplate(
            model=str(arrays["model"]),
            licence=str(arrays["licence"]),
            **self._part("template_"),
        )

    def wire(self, name: str) -> ModuleType:
        """A module of the add-on's shared_protocol."""
        return importlib.import_module(f"{self.addon.__name__}.shared_protocol.{name}")

    def scene(self, name: str) -> ModuleType:
        """A module of the add-on's scene package."""
        return importlib.import_module(f"{self.addon.__name__}.scene.{name}")

    def part(self, name: str) -> ModuleType:
        """A module of the add-on, ``session.sight``."""
        return importlib.import_module(f"{self.addon.__name__}.{name}")

    def pose(self, index: int) -> Any:
        """One of the three posed bodies."""
        return self._pose(f"_{index}", "")

    def character(self, *, textured: bool = True) -> Any:
        """The character, its corners spread over a texture of four colours."""
        parts = self._part("character_")
        for name in ("betas", "full_pose", "transl", "scale"):
            del parts[name]
        corners = parts["faces"].size
        grid = np.linspace(0.05, 0.95, corners, dtype=np.float32)
        uv = np.stack([grid, grid[::-1]], -1) if textured else np.zeros((0, 2), np.float32)
        return self.wire("documents").CharacterData(
            name="person",
            pose=self._pose("", "character_"),
            camera=self.camera,
            photo=self.photo,
            uv=uv,
            texture=four_colors() if textured else b"",
            **parts,
        )

    def build(self, index: int = 0, name: str = "person") -> Any:
        """A body rig in one of the poses."""
        return self.scene("rig").build_body(
            bpy.context, self.template, self.pose(index), self.camera, self.photo, name
        )

    def _part(self, prefix: str) -> dict[str, Any]:
        return {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}

    def _pose(self, suffix: str, prefix: str) -> Any:
        def values(name: str) -> tuple[float, ...]:
            return tuple(map(float, self.arrays[f"{prefix}{name}{suffix}"].ravel()))

        return self.wire("messages").Pose(
            model=str(self.arrays["model"]),
            betas=values("betas"),
            full_pose=values("full_pose"),
            transl=values("transl"),
            scale=values("scale")[0],
        )


def foreign_armature(data: SceneData, y_up: bool) -> Any:
    """Bones that all point up their data's y or x axis, as motion capture tools make them."""
    skeleton = data.wire("skeleton")
    armature = bpy.data.objects.new("foreign", bpy.data.armatures.new("foreign"))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    root = bones.new("root")
    root.head, root.tail = (0, 0, 0), (0, 0.1, 0)
    joints = data.template.joints.astype(float)
    if not y_up:
        joints = joints @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]).T
    for index, name in enumerate(skeleton.JOINT_NAMES):
        bone = bones.new(name)
        bone.head = joints[index]
        bone.tail = joints[index] + np.array([0.02, 0.0, 0.0] if index % 2 else [0.0, 0.03, 0.0])
        parent = skeleton.PARENTS[index]
        bone.parent = root if parent < 0 else bones[skeleton.JOINT_NAMES[parent]]
    bpy.ops.object.mode_set(mode="OBJECT")
    if y_up:
        armature.matrix_basis = Matrix.Rotation(np.pi / 2, 4, "X")
    return armature


def assert_pose(data: SceneData, found: Any, wanted: Any) -> None:
    """The same rotations, place, size and shape."""
    conversion = data.scene("pose_conversion")

    def matrices(pose: Any) -> np.ndarray:
        vectors = np.array(pose.full_pose).reshape(55, 3)
        return conversion.matrices_from_quaternions(conversion.quaternions_from_vectors(vectors))

    np.testing.assert_allclose(matrices(found), matrices(wanted), atol=1e-5)
    np.testing.assert_allclose(found.transl, wanted.transl, atol=1e-5)
    np.testing.assert_allclose(found.betas, wanted.betas, atol=1e-6)
    np.testing.assert_allclose(found.scale, wanted.scale, rtol=1e-6)
    assert found.model == wanted.model


def world_vertices(mesh: Any) -> np.ndarray:
    """Deformed vertices (v, 3) in Blender's world."""
    bpy.context.view_layer.update()
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    flat = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", flat)
    matrix = np.array(evaluated.matrix_world)
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def body_axes(points: np.ndarray) -> np.ndarray:
    """Blender's axes to the body's, written out here so that the add-on's own is not its judge."""
    return points @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float64).T


def box(meshes: list[Any]) -> np.ndarray:
    """(2, 3) lowest and highest corner of deformed meshes in Blender's world."""
    points = np.concatenate([world_vertices(mesh) for mesh in meshes])
    return np.stack([points.min(0), points.max(0)])


def four_colors() -> bytes:
    """A PNG of 2 x 2 pixels: red, green, blue, white from the top left."""
    rows = [b"\xff\0\0\0\xff\0", b"\0\0\xff\xff\xff\xff"]

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


def blender_name() -> str:
    """For messages."""
    return f"Blender {bpy.app.version_string} on Python {sys.version_info[0]}.{sys.version_info[1]}"
