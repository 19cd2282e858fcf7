"""What does the add-on cost Blender's main thread?

    BPY_PYTHON benchmarks/blender.py [--repeat 20] [--json FILE] [--source]

BPY_PYTHON is a Python that can import bpy (`make test-blender` makes one). Measures the extension in
build/addon as it is installed from its zip; with --source the files of this clone, for which that Python
needs attrs. Exit code 1 when a median misses its target; let the computer do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
PREVIEW_SIDE = 224
"""224 x 224 = 50,176 vertices."""
TARGETS = {
    "live mesh, other topology, 50k vertices": 16.0,
    "live mesh, same topology, 50k vertices": 3.0,
    "shape slider": 50.0,
    "height slider": 50.0,
    "read the pose": 8.0,
    "list edited bones": 8.0,
    "apply a pose": 50.0,
    "body over the photo": 400.0,
    "import of 60k faces": 400.0,
}
"""Milliseconds, medians."""


class Package:
    """The add-on's modules by their short names."""

    def __init__(self, root: ModuleType) -> None:
        self._root = root.__name__

    def scene(self, name: str) -> ModuleType:
        """A module of ``scene``."""
        return importlib.import_module(f"{self._root}.scene.{name}")

    def wire(self, name: str) -> ModuleType:
        """A module of ``shared_protocol``."""
        return importlib.import_module(f"{self._root}.shared_protocol.{name}")


def from_source() -> ModuleType:
    """The clone's files as the extension lays them out, without its interface."""
    root = ModuleType("humanref_addon")
    root.__path__ = [str(REPOSITORY / "blender_addon"), str(REPOSITORY)]
    sys.modules[root.__name__] = root
    return root


def median_ms(work: Callable[[int], object], repeat: int) -> dict[str, float]:
    """Median and worst of ``repeat`` calls after two that do not count."""
    times, busy = [], []
    for turn in range(repeat + 2):
        start, start_busy = time.perf_counter(), time.thread_time()
        work(turn)
        times.append(1000 * (time.perf_counter() - start))
        busy.append(1000 * (time.thread_time() - start_busy))
    return {
        "median": float(np.median(times[2:])),
        "worst": max(times[2:]),
        "first": times[0],
        # Without what other programs took from this thread: the figure of a busy computer.
        "busy": float(np.median(busy[2:])),
    }


def measure(package: Package, repeat: int) -> dict[str, dict[str, float]]:
    """All figures, milliseconds."""
    import bpy

    rig, posing = package.scene("rig"), package.scene("posing")
    template, pose, camera, photo = body_inputs(package)
    live = package.scene("live_mesh").LiveMesh("benchmark")
    vertices, faces, colors = sheet(PREVIEW_SIDE)
    figures = {
        "live mesh, other topology, 50k vertices": median_ms(
            lambda turn: live.update(vertices, faces, colors, str(turn)), repeat
        ),
        "live mesh, same topology, 50k vertices": median_ms(
            lambda turn: live.update(vertices, faces, colors, "same"), repeat
        ),
    }
    live.remove()

    def build(turn: int) -> Any:
        return rig.build_body(bpy.context, template, pose, camera, photo, f"body {turn}")

    figures["body over the photo"] = median_ms(build, max(3, repeat // 4))
    armature = build(-1).armature
    rng = np.random.default_rng(0)
    figures["shape slider"] = median_ms(
        lambda turn: rig.set_shape(armature, rng.normal(size=6)), repeat
    )
    figures["height slider"] = median_ms(
        lambda turn: rig.set_height_cm(armature, 160.0 + turn), repeat
    )
    figures["apply a pose"] = median_ms(lambda turn: rig.apply_pose(armature, pose), repeat)
    figures["read the pose"] = median_ms(lambda turn: rig.read_pose(armature), repeat)
    figures["list edited bones"] = median_ms(lambda turn: posing.edited_joints(armature), repeat)
    character = character_inputs(package, pose, camera, photo)
    figures["import of 60k faces"] = median_ms(
        lambda turn: package.scene("character").import_character(bpy.context, character),
        max(3, repeat // 4),
    )
    return figures


def body_inputs(package: Package) -> tuple[Any, Any, Any, Any]:
    """The shipped body's template in the T-pose; needs no torch."""
    messages = package.wire("messages")
    with np.load(REPOSITORY / "backend" / "body" / "assets" / "anny_smplx55.npz") as file:
        asset = {key: file[key] for key in file.files}
    template = package.wire("documents").BodyTemplate(
        model="anny_smplx55",
        licence="",
        vertices=asset["v_template"],
        shape_directions=asset["shapedirs"],
        joints=asset["Jt"],
        joint_directions=asset["Jdirs"],
        faces=asset["faces"],
        skin_indices=asset["skin_idx"],
        skin_weights=asset["skin_w"],
        regions=asset["regions"],
    )
    rng = np.random.default_rng(1)
    pose = messages.Pose(
        model="anny_smplx55",
        betas=(0.0,) * asset["shapedirs"].shape[2],
        full_pose=tuple(rng.normal(0, 0.2, 165)),
        transl=(0.0, 1.0, 0.0),
        scale=1.0,
    )
    camera = messages.Camera(pixels_per_metre=400.0, center_u=500.0, center_v=900.0)
    return template, pose, camera, messages.PhotoInfo(width=1000, height=1200, sha256="ab" * 32)


def character_inputs(package: Package, pose: Any, camera: Any, photo: Any) -> Any:
    """30,000 vertices and 60,000 faces with four weights each and a texture of 2048 pixels a side."""
    vertices, faces, colors = sheet(174)
    rng = np.random.default_rng(2)
    weights = rng.random((len(vertices), 4)).astype(np.float32)
    with np.load(REPOSITORY / "backend" / "body" / "assets" / "anny_smplx55.npz") as file:
        joints = file["Jt"]
    return package.wire("documents").CharacterData(
        name="benchmark",
        pose=pose,
        camera=camera,
        photo=photo,
        vertices=vertices,
        rest_vertices=vertices,
        faces=faces,
        colors=colors,
        skin_indices=rng.integers(0, 55, (len(vertices), 4)).astype(np.uint8),
        skin_weights=weights / weights.sum(1, keepdims=True),
        rest_joints=joints,
        joints=joints,
        uv=rng.random((faces.size, 2)).astype(np.float32),
        texture=gray_png(2048),
    )


def sheet(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wavy sheet of side x side vertices: vertices, faces, sRGB bytes."""
    u, v = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1.8, side))
    vertices = np.stack([u, v, 0.1 * np.sin(9 * u)], -1).reshape(-1, 3).astype(np.float32)
    i = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    lower = np.stack([i, i + 1, i + side], -1)
    upper = np.stack([i + 1, i + side + 1, i + side], -1)
    colors = np.random.default_rng(0).integers(0, 256, vertices.shape, dtype=np.uint8)
    return vertices, np.concatenate([lower, upper]).astype(np.int32), colors


def gray_png(side: int) -> bytes:
    """A PNG of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = (b"\0" + b"\x80" * 3 * side) * side
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


def report(version: str, figures: dict[str, dict[str, float]]) -> list[str]:
    """Print the table; the names of missed targets."""
    print(f"\nBlender {version}: main thread, milliseconds")
    print(f"{'what':44}{'median':>8}{'worst':>8}{'first':>8}{'busy':>8}{'target':>8}")
    missed = []
    for name, figure in figures.items():
        late = figure["median"] > TARGETS[name]
        if late:
            missed.append(name)
        numbers = "".join(f"{figure[key]:8.1f}" for key in ("median", "worst", "first", "busy"))
        print(f"{name:44}{numbers}{TARGETS[name]:8.0f}{'  MISSED' if late else ''}")
    return missed


def main() -> int:
    """Run, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--source", action="store_true")
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="humanref-benchmark-"))
    # Read by Blender while it is imported.
    os.environ["BLENDER_USER_RESOURCES"] = str(scratch)
    try:
        import bpy

        if args.source:
            figures = measure(Package(from_source()), args.repeat)
        else:
            sys.path.insert(0, str(REPOSITORY / "tests" / "blender"))
            installed = importlib.import_module("installed")
            (archive,) = sorted((REPOSITORY / "build" / "addon").glob(f"humanref-*-{system()}.zip"))
            root = installed.install(archive)
            try:
                figures = measure(Package(root), args.repeat)
            finally:
                # Blender 4.2 crashes at exit while a class of ours is registered.
                installed.disable()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    missed = report(bpy.app.version_string, figures)
    if args.json:
        result = {"blender": bpy.app.version_string, "targets_ms": TARGETS, "ms": figures}
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(bool(missed))


def system() -> str:
    """This system's part of the zip's name."""
    return {"linux": "linux_x64", "darwin": "macos_*", "win32": "windows_x64"}[sys.platform]


if __name__ == "__main__":
    sys.exit(main())
