"""How fast is block-sparse meshing, and is it exact?

    python benchmarks/meshing.py [--resolution 256] [--repeat 3] [--json FILE]

Evaluates the field of the standard preset, started from the mean body in a relaxed pose (so the
surface is a person's), on every node of the grid and block-sparsely; prints medians of the repeats
and the number of nodes whose sign differs. Exit code 1 when sparse is less than 8x faster or a sign
differs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from backend.body import load_body
from backend.body.body_volume import signed_distance_grid
from backend.body.pose import BodyPose
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.networks import HumanField
from backend.geometry.frames import FieldToWorld
from backend.meshing.extract import SparseVolume, evaluate_sparse, marching_cubes
from backend.meshing.mesh import extract_mesh, preview_mesh
from backend.settings import MeshingSettings, preset_settings
from backend.threads import configure_threads
from shared_protocol.skeleton import JOINT_INDEX

WANTED_RATIO = 8.0


def make_field() -> tuple[HumanField, FieldToWorld]:
    """The standard field around a body with lowered arms."""
    model = load_body("anny")
    pose = BodyPose.t_pose(model.n_betas)
    pose.full_pose[JOINT_INDEX["left_shoulder"]] = (0.0, 0.0, -1.0)
    pose.full_pose[JOINT_INDEX["right_shoulder"]] = (0.0, 0.0, 1.0)
    body = model.pose(pose)
    low, high = body.vertices.min(0), body.vertices.max(0)
    middle = (low + high) / 2
    to_world = FieldToWorld(
        scale=float(1.08 * (high - low).max() / 2),
        shift=(float(middle[0]), float(middle[1]), float(middle[2])),
    )
    grid = signed_distance_grid(to_world.to_field(body.vertices), body.faces, 128)
    settings = preset_settings("standard").field
    encoding, _ = make_encoding(settings.encoding, HashGridLayout.from_settings(settings), "cpu")
    torch.manual_seed(0)
    return HumanField(settings, torch.from_numpy(grid), encoding), to_world


def evaluate_dense(field: HumanField, resolution: int) -> np.ndarray:
    """The field on every node, axes (x, y, z), a slice at a time."""
    t = torch.arange(resolution) * (2.0 / (resolution - 1)) - 1.0
    y, z = torch.meshgrid(t, t, indexing="ij")
    values = np.empty((resolution,) * 3, np.float32)
    with torch.no_grad():
        for i, x in enumerate(t):
            points = torch.stack([torch.full_like(y, float(x)), y, z], -1).reshape(-1, 3)
            values[i] = field.sdf(points).reshape(resolution, resolution).numpy()
    return values


def wrong_signs(dense: np.ndarray, sparse: SparseVolume) -> int:
    """Nodes of the whole grid where the sparse volume has the other sign (outside it: positive)."""
    whole = np.ones(dense.shape, bool)
    box = tuple(
        slice(int(o), int(o) + n) for o, n in zip(sparse.origin, sparse.values.shape, strict=True)
    )
    whole[box] = sparse.values >= 0
    return int((whole != (dense >= 0)).sum())


def median_seconds(work: Callable[[], object], repeat: int) -> float:
    """Median wall time of ``repeat`` calls."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> int:
    """Run, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    threads = configure_threads()
    field, to_world = make_field()
    n = args.resolution
    settings = MeshingSettings(resolution=n)
    # Compile everything before the clock starts.
    evaluate_sparse(field.sdf, 32)
    extract_mesh(field, MeshingSettings(resolution=48, faces=2000), to_world)
    sparse = evaluate_sparse(field.sdf, n)
    dense = evaluate_dense(field, n)
    result = {
        "resolution": n,
        "threads": threads,
        "dense_s": median_seconds(lambda: evaluate_dense(field, n), max(1, args.repeat // 2)),
        "sparse_s": median_seconds(lambda: evaluate_sparse(field.sdf, n), args.repeat),
        "points_share": sparse.evaluated / n**3,
        "wrong_signs": wrong_signs(dense, sparse),
        "marching_cubes_s": median_seconds(lambda: marching_cubes(sparse), args.repeat),
        "extract_mesh_s": median_seconds(lambda: extract_mesh(field, settings, to_world), 1),
        "preview_s": median_seconds(lambda: preview_mesh(field, to_world), args.repeat),
    }
    result["ratio"] = result["dense_s"] / result["sparse_s"]
    table = Table("what", "value", title=f"Meshing at {n}^3, {threads} threads")
    for key, value in result.items():
        table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(result["ratio"] < WANTED_RATIO or result["wrong_signs"] > 0)


if __name__ == "__main__":
    sys.exit(main())
