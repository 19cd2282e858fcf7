"""Pictures of a clothed person: colour with soft light, body-frame normals, silhouette."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int

from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import vertex_normals
from backend.geometry.rasterizer import Raster, rasterize
from backend.training.cutout import draw_cutout
from backend.training.dressing import Clothed, Layer

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Light:
    """Soft light that stays with the room: a bright surrounding and two wide lamps (world frame)."""

    ambient: float
    key: Float[np.ndarray, "3"]
    """Unit direction towards the key lamp."""
    key_power: float
    fill: Float[np.ndarray, "3"]
    fill_power: float
    color: Float[np.ndarray, "3"]

    def on(self, normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """What arrives at surfaces facing ``normals``; 1 is a fully lit white."""
        sky = self.ambient * (0.88 + 0.12 * normals[:, 1])
        key = self.key_power * np.clip((normals @ self.key + 0.35) / 1.35, 0.0, None)
        fill = self.fill_power * np.clip((normals @ self.fill + 0.35) / 1.35, 0.0, None)
        return np.asarray(sky[:, None] + (key + fill)[:, None] * self.color)


def sample_light(rng: np.random.Generator) -> Light:
    """A window somewhere in front or aside, something dimmer behind."""
    side = rng.uniform(-1.1, 1.1)
    key = np.array([np.sin(side), rng.uniform(0.2, 0.9), np.cos(side)])
    back = np.array([-np.sin(side), rng.uniform(0.1, 0.6), -np.cos(side)])
    warm = rng.normal(0.0, 0.03)
    power = rng.uniform(0.22, 0.42)
    return Light(
        ambient=float(rng.uniform(0.60, 0.78)),
        key=key / np.linalg.norm(key),
        key_power=float(power),
        fill=back / np.linalg.norm(back),
        fill_power=float(power * rng.uniform(0.6, 1.0)),
        color=np.array([1.0 + warm, 1.0, 1.0 - warm]),
    )


@dataclass(frozen=True)
class View:
    """Pictures of one camera; row 0 on top."""

    color: Float[np.ndarray, "n n 4"]
    """Straight (not premultiplied) sRGB and coverage."""
    normal: Float[np.ndarray, "n n 3"]
    """Unit body-frame normals; zero on the background."""


class Portraitist:
    """One person, ready to be drawn from anywhere."""

    def __init__(self, person: Clothed, light: Light) -> None:
        self._light = light
        solid = [layer for layer in person.layers if not layer.has_cutouts]
        self._layers = solid + [layer for layer in person.layers if layer.has_cutouts]
        self._solid_count = len(solid)
        counts = [len(layer.vertices) for layer in self._layers]
        self._shift = np.concatenate([[0], np.cumsum(counts)])
        self._first = np.concatenate([[0], np.cumsum([len(x.faces) for x in self._layers])])
        self.vertices = np.concatenate([layer.vertices for layer in self._layers])
        self.faces: Int[np.ndarray, "f 3"] = np.concatenate(
            [layer.faces + s for layer, s in zip(self._layers, self._shift, strict=False)]
        )
        normals = [vertex_normals(x.vertices, x.faces) for x in self._layers]
        self._normals = np.concatenate(normals)
        self._brightness = [_usual_brightness(layer) for layer in self._layers]

    def bounds(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Lowest and highest corner of what can be seen, metres."""
        seen = self.vertices[np.unique(self.faces)]
        return seen.min(0), seen.max(0)

    def draw(self, camera: OrthographicCamera, size: int) -> View:
        """Draw at ``size`` pixels, averaged from four samples a pixel."""
        fine = size * SUPERSAMPLING
        raster = self.raster(camera, fine)
        seen = raster.covered
        face, weights = raster.face_index[seen], raster.barycentric[seen].astype(np.float64)
        corner = self.faces[face]
        normal = np.einsum("pk,pkc->pc", weights, self._normals[corner])
        backward = camera.axes()[2]
        # Cloth and hair are open surfaces: their inside is lit like an outside.
        normal *= np.where(normal @ backward < 0.0, -1.0, 1.0)[:, None]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        color, slope = self._paint(face, weights)
        bumped = normal + slope
        bumped /= np.maximum(np.linalg.norm(bumped, axis=1, keepdims=True), 1e-9)
        shade = self._light.on(bumped) * _creases(raster, camera.half_height)[seen][:, None]
        picture = np.zeros((fine, fine, 4))
        picture[seen, :3] = np.clip(color * shade, 0.0, 1.0)
        picture[seen, 3] = 1.0
        facing = np.zeros((fine, fine, 3))
        facing[seen] = normal
        return View(_average_color(picture, size), _average_normal(facing, size))

    def raster(self, camera: OrthographicCamera, size: int) -> Raster:
        """Which triangle each pixel sees, cut-outs respected."""
        xyz = camera.project(self.vertices)
        solid_faces = self.faces[: self._first[self._solid_count]]
        raster = rasterize(xyz, solid_faces, size)
        for k in range(self._solid_count, len(self._layers)):
            layer = self._layers[k]
            assert layer.image is not None
            assert layer.corner_uv is not None
            faces = self.faces[self._first[k] : self._first[k + 1]]
            alpha = layer.image[..., 3]
            raster = draw_cutout(raster, xyz, faces, layer.corner_uv, alpha, int(self._first[k]))
        return raster

    def _paint(
        self, face: Int[np.ndarray, "p"], weights: Float[np.ndarray, "p 3"]
    ) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"]]:
        """Unlit colour and fold slope of seen points."""
        color, slope = np.zeros((len(face), 3)), np.zeros((len(face), 3))
        which = np.searchsorted(self._first, face, side="right") - 1
        for k, layer in enumerate(self._layers):
            mine = np.nonzero(which == k)[0]
            if len(mine):
                local, w = face[mine] - self._first[k], weights[mine]
                color[mine], slope[mine] = _paint_layer(layer, local, w, self._brightness[k])
        return color, slope


def _paint_layer(
    layer: Layer,
    face: Int[np.ndarray, "p"],
    weights: Float[np.ndarray, "p 3"],
    brightness: Float[np.ndarray, "g"],
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"]]:
    slope = np.zeros((len(face), 3))
    corner = layer.faces[face]
    if layer.tint is not None:
        return np.einsum("pk,pkc->pc", weights, layer.tint[corner]), slope
    texel = _texels(layer, face, weights)
    if layer.dye is not None:
        level = np.clip(texel.mean(1, keepdims=True) / brightness[0], 0.35, 2.2)
        return np.clip(layer.dye * level**0.7, 0.0, 1.0), slope
    if not layer.fabrics or layer.fabric_of_face is None:
        return texel, slope
    color = np.zeros((len(face), 3))
    place = np.einsum("pk,pkc->pc", weights, layer.place[corner])
    for k, fabric in enumerate(layer.fabrics):
        mine = layer.fabric_of_face[face] == k
        points = place[mine]
        level = np.clip(texel[mine].mean(1, keepdims=True) / brightness[k], 0.45, 1.5)
        color[mine] = fabric.color(points, _around(points)) * level**0.6
        slope[mine] = fabric.fold_slope(points)
    return color, slope


def _around(place: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Length around the trunk or the leg that a rest point (1.7 m person) lies on."""
    leg = place[:, 1] < 0.78
    center = np.where(leg, np.sign(place[:, 0]) * 0.1, 0.0)
    radius = np.where(leg, 0.08, 0.14)
    return np.asarray(radius * np.arctan2(place[:, 0] - center, place[:, 2]))


def _texels(
    layer: Layer, face: Int[np.ndarray, "p"], weights: Float[np.ndarray, "p 3"]
) -> Float[np.ndarray, "p 3"]:
    """Nearest texture colours in [0, 1]; light grey where there is no texture."""
    if layer.image is None or layer.corner_uv is None:
        return np.full((len(face), 3), 0.75)
    uv = np.einsum("pk,pkc->pc", weights, layer.corner_uv[face])
    uv = uv - np.floor(uv)
    height, width = layer.image.shape[:2]
    column = np.minimum((uv[:, 0] * width).astype(np.int64), width - 1)
    row = np.minimum(((1.0 - uv[:, 1]) * height).astype(np.int64), height - 1)
    return np.asarray(layer.image[row, column, :3] / 255.0)


def _usual_brightness(layer: Layer) -> Float[np.ndarray, "g"]:
    """Median brightness of a layer's texture, one a fabric: what counts as neither lit nor creased."""
    faces = np.arange(len(layer.faces))
    texel = _texels(layer, faces, np.full((len(faces), 3), 1.0 / 3.0)).mean(1)
    groups = layer.fabric_of_face
    if groups is None or not layer.fabrics:
        groups = np.zeros(len(faces), np.int64)
    count = max(1, len(layer.fabrics))
    medians = [texel[groups == k] for k in range(count)]
    return np.array([max(0.04, float(np.median(m))) if len(m) else 1.0 for m in medians])


def _creases(raster: Raster, half_height: float) -> Float[np.ndarray, "n n"]:
    """Darker where the surroundings stand nearer to the camera: armpits, between legs, under hems."""
    seen = raster.covered
    depth = np.where(seen, raster.depth, 0.0).astype(np.float32) * np.float32(half_height)
    sigma = 0.018 / half_height * raster.depth.shape[0] / 2
    share = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), sigma)
    mean = cv2.GaussianBlur(depth, (0, 0), sigma) / np.maximum(share, 1e-3)
    return np.asarray(1.0 - np.clip((mean - depth) * 9.0, 0.0, 0.35), np.float64)


def _average_color(picture: Float[np.ndarray, "m m 4"], size: int) -> Float[np.ndarray, "n n 4"]:
    blocks = picture.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 4)
    mean = blocks.mean((1, 3))
    # Uncovered samples are zero: dividing by the coverage leaves the colour of the covered ones.
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-9)
    return np.asarray(mean)


def _average_normal(normal: Float[np.ndarray, "m m 3"], size: int) -> Float[np.ndarray, "n n 3"]:
    mean = normal.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3))
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 1e-6, mean / np.maximum(length, 1e-6), 0.0))
