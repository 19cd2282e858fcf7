"""How the numbers of landmark_map.py were measured: ``python -m backend.fitting.calibration``.

Our body is posed at random, drawn with plain colours, and shown to the landmark model. Each landmark
is then bound to its joint by the offset that explains all pictures best. Run it after changing the
body or the landmark model, and copy the printed table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from backend.body.anny_body import AnnyBody
from backend.body.model import BodyModel, PosedBody, Region
from backend.body.pose import BodyPose
from backend.fitting.landmark_map import BODY_ANCHORS, REFERENCE_STATURE, Anchor
from backend.fitting.priors import natural_pose_prior
from backend.geometry.frames import PhotoCamera
from backend.geometry.mesh import vertex_normals
from backend.geometry.rasterizer import interpolate, rasterize
from backend.perception.landmarks import MediapipeLandmarks
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.subject import Landmarks, Photo
from shared_protocol.skeleton import JOINT_INDEX

_SKIN, _HAIR, _SHIRT, _TROUSERS = (0.78, 0.6, 0.5), (0.2, 0.13, 0.08), (0.3, 0.4, 0.7), (0.2,) * 3
_LIGHT = np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])
_FILL = 0.82


@dataclass(frozen=True)
class BodyPicture:
    """A drawn body and everything that is true about it."""

    rgb: Float[np.ndarray, "n n 3"]
    mask: Bool[np.ndarray, "n n"]
    camera: PhotoCamera
    body: PosedBody

    def photo(self) -> Photo:
        """The picture as perception takes it."""
        return Photo(rgb=self.rgb, name="drawn", digest="")


def draw_body(model: BodyModel, pose: BodyPose, side: int = 768) -> BodyPicture:
    """A square picture of the body in shirt and trousers of paint, lit from above left, on grey."""
    body = model.pose(pose)
    vertices = body.vertices.astype(np.float64)
    low, high = vertices.min(0), vertices.max(0)
    center = (low + high) / 2
    ppm = side * _FILL / float((high - low)[:2].max())
    camera = PhotoCamera(ppm, side / 2 - ppm * center[0], side / 2 + ppm * center[1])
    xyz = (vertices - center) * [2 * ppm / side, 2 * ppm / side, 1.0]
    raster = rasterize(xyz, model.faces, side)
    colors = np.tile(np.array(_SKIN), (len(vertices), 1))
    colors[body.regions == Region.UPPER] = _SHIRT
    colors[body.regions == Region.LOWER] = _TROUSERS
    from_head = body.rest_vertices - body.rest_joints[JOINT_INDEX["head"]]
    behind = (from_head[:, 2] < 0.02) & (from_head[:, 1] > 0.0)
    colors[(body.regions == Region.HEAD) & ((from_head[:, 1] > 0.12) | behind)] = _HAIR
    hands = [j for name, j in JOINT_INDEX.items() if "wrist" in name or j >= 25]
    colors[model.skin_weights[:, hands].sum(1) > 0.5] = _SKIN
    shade = 0.55 + 0.5 * np.clip(vertex_normals(vertices, model.faces) @ _LIGHT, 0, 1)
    rgb = interpolate(raster, np.clip(colors * shade[:, None], 0, 1), model.faces, 0.6)
    soft = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 0.8)
    return BodyPicture(soft, raster.covered, camera, body)


def random_standing_pose(rng: np.random.Generator, model: BodyModel) -> BodyPose:
    """Somebody of random shape who stands: arms from hanging to spread, yaw within 50 degrees."""
    pose = natural_pose_prior().mean.copy()

    def set_joint(name: str, *angles: float | int) -> None:
        pose[JOINT_INDEX[name]] = angles

    set_joint("pelvis", 0, np.radians(rng.uniform(-50, 50)), 0)
    spread = rng.uniform(-0.1, 1.25)
    for side, sign in (("left", 1), ("right", -1)):
        arm = spread + 0.15 * rng.normal()
        set_joint(f"{side}_shoulder", 0.1 * rng.normal(), 0.25 * rng.normal(), -sign * arm)
        set_joint(f"{side}_elbow", 0, -sign * 0.4 * abs(rng.normal()), 0)
        open_leg = sign * 0.05 + 0.06 * rng.normal()
        set_joint(f"{side}_hip", -0.15 * abs(rng.normal()), 0.15 * rng.normal(), open_leg)
        set_joint(f"{side}_knee", 0.2 * abs(rng.normal()), 0, 0)
    set_joint("head", *(rng.normal(size=3) * (0.12, 0.2, 0.06)))
    betas = 0.7 * rng.normal(size=model.n_betas)
    return BodyPose(
        betas.astype(np.float32), pose.astype(np.float32), np.zeros(3, np.float32), 1.0, model.name
    )


def detected_pictures(
    model: BodyModel, count: int, seed: int, side: int = 768
) -> Iterator[tuple[BodyPicture, Landmarks]]:
    """Random pictures with the landmarks that MediaPipe finds in them.

    Raises:
        HumanRefError: see :class:`backend.perception.mediapipe_models.MediapipeModels`.
    """
    rng = np.random.default_rng(seed)
    with MediapipeModels() as models:
        finder = MediapipeLandmarks(models)
        for _ in range(count):
            picture = draw_body(model, random_standing_pose(rng, model), side)
            yield picture, finder.estimate(picture.photo(), None, None).landmarks


def solve_offset(
    anchors: Sequence[Anchor], found: Sequence[tuple[BodyPicture, Landmarks]]
) -> tuple[Float[np.ndarray, "3"], float]:
    """The offset (m, person's left side) that explains the landmarks best, and their median error (m).

    ``anchors`` are one landmark and its mirror image, or a single one in the middle.
    """
    rows, targets = [], []
    for picture, landmarks in found:
        body, camera = picture.body, picture.camera
        heights = body.rest_vertices[:, 1]
        growth = float(heights.max() - heights.min()) / REFERENCE_STATURE
        for anchor, mirror in zip(anchors, (1.0, -1.0), strict=False):
            if landmarks.visibility[anchor.landmark] < 0.5:
                continue
            joint = JOINT_INDEX[anchor.joint]
            turn = body.transforms[joint, :2, :3] * growth
            seen = landmarks.body[anchor.landmark]
            place = np.array([seen[0] - camera.center_u, camera.center_v - seen[1]])
            rows.append(turn * [mirror, 1.0, 1.0])
            targets.append(place / camera.pixels_per_metre - body.joints[joint, :2])
    a, b = np.array(rows, np.float64), np.array(targets, np.float64)
    weight = np.ones(len(a))
    for _ in range(15):
        normal = np.einsum("kix,kiy,k->xy", a, a, weight) + 1e-2 * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("kix,ki,k->x", a, b, weight))
        error = np.linalg.norm(b - a @ offset, axis=1)
        weight = 1 / (1 + (error / (1.5 * np.median(error) + 1e-6)) ** 2)
    return offset, float(np.median(error))


def main() -> None:
    """Print landmark, joint, offset and median error of every body anchor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=140)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found = list(detected_pictures(AnnyBody(), arguments.pictures, arguments.seed))
    for anchor in BODY_ANCHORS:
        if "right" in anchor.joint or (anchor.joint in ("head", "pelvis") and anchor.offset[0] < 0):
            continue
        pair = [anchor]
        if anchor.offset[0] != 0 or "left" in anchor.joint:
            index = BODY_ANCHORS.index(anchor)
            pair.append(BODY_ANCHORS[index + 1])
        offset, error = solve_offset(pair, found)
        numbers = ", ".join(f"{value:6.3f}" for value in offset)
        print(f"{anchor.landmark:3d} {anchor.joint:14s} ({numbers})  median {1000 * error:.0f} mm")


if __name__ == "__main__":
    main()
