"""Is a generated character good? Measures one result against its photo.

    python benchmarks/quality.py PHOTO ARTIFACTS OUT.glb [--preset draft] [--json FILE]

ARTIFACTS is the folder of ``humanref generate --artifacts``. Prints a table and, with ``--json``, writes
the numbers; exit code 1 when one misses its threshold, 2 when something cannot be read.

How the picture is compared. The smallest square around the mask (mask.png >= 0.5) with a margin of
5 % is resampled from the photo to 512 x 512 (area average; black beyond the photo), and so is the
mask. mesh.ply is drawn on the same square through the camera of pose.json, scaled-orthographic
along -z, with its vertex colours, no light, 2 x 2 samples a pixel; and again with the texture of OUT.glb,
whose faces are in the same order.
Front PSNR: 10 log10(1 / mean squared difference) of sRGB in [0, 1] over the pixels that lie inside
both silhouettes, each eroded by one pixel.
Silhouette IoU: drawn coverage >= 0.5 against mask >= 0.5, at 512 x 512 on the square enlarged to
hold the whole mesh, so that nothing sticks out unseen.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pygltflib
import trimesh
from jaxtyping import Bool, Float
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.ndimage import binary_erosion

from backend.errors import HumanRefError
from backend.fitting.pose_file import read_pose
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.rasterizer import interpolate, rasterize
from backend.geometry.resampling import sample
from backend.perception.photo import load_photo
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES

SIZE = 512
SUPERSAMPLING = 2
# A draft is a preview: it must be whole and in place, not sharp.
MIN_PSNR = {"draft": 22.0, "standard": 30.0, "paper": 30.0}
MIN_IOU = {"draft": 0.95, "standard": 0.97, "paper": 0.97}
# From a joint inside the hand or foot to the nearest vertex; more means the limb is missing.
HAND_REACH_M = 0.05
FOOT_REACH_M = 0.09


@dataclass(frozen=True)
class Check:
    """One number, what it should be, and whether it is."""

    name: str
    value: float
    wanted: str
    passed: bool


@dataclass(frozen=True)
class Drawing:
    """A mesh drawn on the comparison square."""

    rgb: Float[np.ndarray, "n n 3"]
    coverage: Float[np.ndarray, "n n"]


def square_around(mask: Float[np.ndarray, "h w"], margin: float = 0.05) -> CropFrame:
    """The smallest square around mask >= 0.5, widened by ``margin`` of its side on every side.

    Raises:
        HumanRefError: ``empty_mask``.
    """
    rows, columns = np.nonzero(mask >= 0.5)
    if not len(rows):
        raise HumanRefError("empty_mask", "The mask shows nobody.")
    top, bottom = rows.min(), rows.max() + 1
    left, right = columns.min(), columns.max() + 1
    half = (0.5 + margin) * max(bottom - top, right - left)
    return CropFrame(float(left + right) / 2, float(top + bottom) / 2, float(half))


def enlarge(square: CropFrame, mesh: trimesh.Trimesh, camera: PhotoCamera) -> CropFrame:
    """The square about the same centre that also holds the whole mesh."""
    xy = square.to_field(camera.project(np.asarray(mesh.vertices, np.float64)))
    factor = max(1.0, 1.01 * float(np.abs(xy).max()))
    return CropFrame(square.center_u, square.center_v, factor * square.half_size)


def resample(picture: Float[np.ndarray, "h w c"], square: CropFrame) -> Float[np.ndarray, "n n c"]:
    """The square of a picture at 512 x 512, area-averaged; 0 beyond the picture's edge."""
    height, width = picture.shape[:2]
    left, top = square.center_u - square.half_size, square.center_v - square.half_size
    right, bottom = square.center_u + square.half_size, square.center_v + square.half_size
    pad = int(np.ceil(max(-left, -top, right - width, bottom - height, 0.0))) + 1
    box = (left + pad, top + pad, right + pad, bottom + pad)
    channels = [
        Image.fromarray(np.pad(picture[..., c], pad).astype(np.float32)).resize(
            (SIZE, SIZE), Image.Resampling.BOX, box=box
        )
        for c in range(picture.shape[2])
    ]
    return np.stack([np.asarray(channel) for channel in channels], -1)


@dataclass(frozen=True)
class Texture:
    """The picture on a mesh: (f, 3, 2) places of the corners, v down, in [0, 1]; sRGB in [0, 1]."""

    uv: Float[np.ndarray, "f 3 2"]
    picture: Float[np.ndarray, "h w 3"]


def read_texture(glb: Path) -> Texture | None:
    """The base colour texture of a .glb file; None where it has none."""
    gltf = pygltflib.GLTF2().load(str(glb))
    if gltf is None or not gltf.images:
        return None
    primitive = gltf.meshes[0].primitives[0]
    view = gltf.bufferViews[gltf.images[0].bufferView]
    start = view.byteOffset or 0
    png = gltf.binary_blob()[start : start + view.byteLength]
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) / 255.0
    corner = _values(gltf, primitive.indices)[:, 0].astype(np.int64)
    uv = _accessor(gltf, primitive.attributes.TEXCOORD_0)
    return Texture(uv[corner].reshape(-1, 3, 2), picture)


def draw(
    mesh: trimesh.Trimesh,
    camera: PhotoCamera,
    square: CropFrame,
    texture: Texture | None = None,
) -> Drawing:
    """The mesh as the photo's camera sees it on the square, in vertex colours or with a texture."""
    vertices = np.asarray(mesh.vertices, np.float64)
    xy = square.to_field(camera.project(vertices))
    depth = vertices[:, 2:] * camera.pixels_per_metre / square.half_size
    faces = np.asarray(mesh.faces, np.int64)
    raster = rasterize(np.concatenate([xy, depth], 1), faces, SIZE * SUPERSAMPLING)
    if not isinstance(mesh.visual, trimesh.visual.ColorVisuals):
        raise HumanRefError("no_colors", "mesh.ply has no vertex colours.")
    colors = np.asarray(mesh.visual.vertex_colors)[:, :3] / 255.0
    shown = interpolate(raster, colors, faces)
    seen = raster.covered
    if texture is not None:
        weight = raster.barycentric[seen].astype(np.float64)
        places = np.einsum("nk,nkd->nd", weight, texture.uv[raster.face_index[seen]])
        places *= texture.picture.shape[1::-1]
        shown[seen] = sample(texture.picture, places)
    fine = np.concatenate([shown, seen[..., None].astype(np.float64)], -1)
    blocks = fine.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING, 4).mean((1, 3))
    coverage = blocks[..., 3]
    return Drawing(blocks[..., :3] / np.maximum(coverage, 1e-9)[..., None], coverage)


def silhouette_iou(drawn: Bool[np.ndarray, "n n"], mask: Bool[np.ndarray, "n n"]) -> float:
    """Intersection over union."""
    return float((drawn & mask).sum() / max(int((drawn | mask).sum()), 1))


def foreground_psnr(
    drawing: Drawing, photo: Float[np.ndarray, "n n 3"], mask: Bool[np.ndarray, "n n"]
) -> float:
    """dB over the pixels inside both silhouettes, each eroded by one pixel."""
    inside = binary_erosion(mask) & binary_erosion(drawing.coverage >= 0.5)
    if not inside.any():
        return 0.0
    error = float(((drawing.rgb[inside] - photo[inside]) ** 2).mean())
    return 10.0 * float(np.log10(1.0 / max(error, 1e-12)))


def check_picture(
    photo: Path, artifacts: Path, mesh: trimesh.Trimesh, texture: Texture | None, preset: str
) -> list[Check]:
    """Front PSNR, in vertex colours and with the texture, and silhouette IoU."""
    rgb = load_photo(photo).rgb
    mask = np.asarray(Image.open(artifacts / "mask.png").convert("L")) / 255.0
    if mask.shape != rgb.shape[:2]:
        raise HumanRefError("mask_shape", f"mask.png is {mask.shape}, the photo {rgb.shape[:2]}.")
    camera = read_pose(artifacts / "pose.json").camera
    if camera is None:
        raise HumanRefError("no_camera", "pose.json has no camera.")
    square = square_around(mask)
    shape = resample(mask[..., None], square)[..., 0] >= 0.5
    drawing = draw(mesh, camera, square)
    psnr = foreground_psnr(drawing, resample(rgb, square), shape)
    wide = enlarge(square, mesh, camera)
    wide_mask = resample(mask[..., None], wide)[..., 0] >= 0.5
    iou = silhouette_iou(draw(mesh, camera, wide).coverage >= 0.5, wide_mask)
    low, least = MIN_PSNR[preset], MIN_IOU[preset]
    checks = [
        Check("front foreground PSNR (dB)", psnr, f">= {low:g}", psnr >= low),
        Check("silhouette IoU", iou, f">= {least:g}", iou >= least),
    ]
    if texture is not None:
        drawing = draw(mesh, camera, square, texture)
        psnr = foreground_psnr(drawing, resample(rgb, square), shape)
        checks.insert(1, Check("the same with the texture", psnr, f">= {low:g}", psnr >= low))
    return checks


def check_mesh(
    mesh: trimesh.Trimesh, joints: Float[np.ndarray, "55 3"], max_faces: int
) -> list[Check]:
    """Watertight, one piece, within the face budget, hands and feet there."""
    pieces = int(mesh.body_count)
    vertices = np.asarray(mesh.vertices)

    def nearest(joint: str) -> float:
        return float(np.linalg.norm(vertices - joints[JOINT_INDEX[joint]], axis=1).min())

    checks = [
        Check("watertight", float(mesh.is_watertight), "1", bool(mesh.is_watertight)),
        Check("pieces", pieces, "1", pieces == 1),
        Check("volume (litres)", mesh.volume * 1e3, "> 20", bool(mesh.volume > 0.020)),
        Check("faces", len(mesh.faces), f"<= {max_faces}", len(mesh.faces) <= max_faces),
    ]
    for name, joint, reach in (
        ("left hand", "left_middle2", HAND_REACH_M),
        ("right hand", "right_middle2", HAND_REACH_M),
        ("left foot", "left_foot", FOOT_REACH_M),
        ("right foot", "right_foot", FOOT_REACH_M),
    ):
        away = nearest(joint)
        checks.append(Check(f"{name}: joint to mesh (m)", away, f"<= {reach:g}", away <= reach))
    return checks


def check_rig(glb: Path, height_m: float) -> list[Check]:
    """55 SMPL-X joints, skin weights, colours, and the height of the rest (T) pose."""
    gltf = pygltflib.GLTF2().load(str(glb))
    if gltf is None or not gltf.skins or not gltf.meshes:
        raise HumanRefError("not_rigged", f"{glb} holds no skinned mesh.")
    names = [gltf.nodes[node].name for node in gltf.skins[0].joints]
    attributes = gltf.meshes[0].primitives[0].attributes
    positions = _accessor(gltf, attributes.POSITION)
    weights = _accessor(gltf, attributes.WEIGHTS_0).astype(np.float64)
    off = float(np.abs(weights.sum(1) - 1.0).max())
    height = float(np.ptp(positions[:, 1]))
    # glTF multiplies the two: both would show colours squared.
    colored = (attributes.COLOR_0 is not None) != bool(gltf.images)
    return [
        Check("joints", len(names), "55", sorted(names) == sorted(JOINT_NAMES)),
        Check("weights: largest |sum - 1|", off, "<= 1e-3", off <= 1e-3 and weights.min() >= 0.0),
        Check("texture, or vertex colours", float(colored), "1", colored),
        Check(
            "T-pose height (m)",
            height,
            f"{height_m:g} +- 0.01",
            abs(height - height_m) <= 0.01,
        ),
    ]


def _accessor(gltf: pygltflib.GLTF2, index: int) -> Float[np.ndarray, "n k"]:
    """A float or normalised-integer accessor as floats."""
    values = _values(gltf, index)
    # Integer accessors are normalised: their largest number stands for 1.
    largest = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1.0
    return np.asarray(values, np.float32) / np.float32(largest)


def _values(gltf: pygltflib.GLTF2, index: int) -> np.ndarray:
    """The numbers of an accessor, a row an element."""
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    kinds = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
    kind = kinds[accessor.componentType]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor.type]
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    stride = view.byteStride or width * np.dtype(kind).itemsize
    return np.ndarray(
        (accessor.count, width),
        kind,
        gltf.binary_blob(),
        offset=start,
        strides=(stride, np.dtype(kind).itemsize),
    )


def evaluate(
    photo: Path,
    artifacts: Path,
    glb: Path,
    *,
    preset: str = "standard",
    height_cm: float = 175.0,
    max_faces: int = 60_000,
) -> list[Check]:
    """All checks of one result.

    Raises:
        HumanRefError, OSError, ValueError: a file is missing or not what it should be.
    """
    mesh = trimesh.load_mesh(artifacts / "mesh.ply", process=False)
    joints = read_pose(artifacts / "pose.json").joints
    if joints is None:
        raise HumanRefError("no_joints", "pose.json lists no joints.")
    return [
        *check_picture(photo, artifacts, mesh, read_texture(glb), preset),
        *check_mesh(mesh, joints, max_faces),
        *check_rig(glb, height_cm / 100.0),
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("artifacts", type=Path)
    parser.add_argument("glb", type=Path)
    parser.add_argument("--preset", choices=MIN_PSNR, default="standard", help="which thresholds")
    parser.add_argument("--height-cm", type=float, default=175.0)
    parser.add_argument("--faces", type=int, default=60_000, help="face budget of the run")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    given = parser.parse_args(arguments)
    try:
        checks = evaluate(
            given.photo,
            given.artifacts,
            given.glb,
            preset=given.preset,
            height_cm=given.height_cm,
            max_faces=given.faces,
        )
    except (HumanRefError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    table = Table(title=f"{given.glb.name} ({given.preset})")
    for title in ("what", "measured", "wanted", ""):
        table.add_column(title)
    for check in checks:
        table.add_row(
            check.name, f"{check.value:.4g}", check.wanted, "ok" if check.passed else "MISSED"
        )
    Console().print(table)
    passed = all(check.passed for check in checks)
    if given.json is not None:
        record = {"passed": passed, "checks": [asdict(check) for check in checks]}
        given.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
