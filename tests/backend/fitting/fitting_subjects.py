"""Made-up subjects whose truth is known: a posed body, its landmarks and its silhouette."""

from __future__ import annotations

import numpy as np

from backend.body.pose import BodyPose
from backend.fitting.kinematics import ArticulatedBody
from backend.fitting.landmark_map import (
    BODY_ANCHORS,
    FACE_ANCHORS,
    REFERENCE_STATURE,
    hand_anchors,
    offsets,
)
from backend.fitting.priors import natural_pose_prior
from backend.fitting.silhouette import draw_silhouette
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Landmarks, Photo, Subject
from shared_protocol.skeleton import JOINT_INDEX

WIDTH, HEIGHT = 480, 640


def pose_of(model, betas=None, **joints):
    """The natural pose with some joints replaced: ``pose_of(model, left_knee=(0.5, 0, 0))``."""
    full_pose = natural_pose_prior().mean.astype(np.float32)
    for name, angles in joints.items():
        full_pose[JOINT_INDEX[name]] = angles
    shape = np.zeros(model.n_betas) if betas is None else np.asarray(betas)
    return BodyPose(shape.astype(np.float32), full_pose, np.zeros(3, np.float32), 1.0, model.name)


def camera_for(posed, height=HEIGHT, fill=0.86):
    """A camera that shows the whole body in the middle of the photo."""
    low, high = posed.vertices.min(0), posed.vertices.max(0)
    ppm = float(fill * height / (high[1] - low[1]))
    center = (low + high) / 2
    return PhotoCamera(ppm, float(WIDTH / 2 - ppm * center[0]), float(height / 2 + ppm * center[1]))


def landmarks_of(model, pose, camera, noise_px=0.0, seed=0, hands=False, face=True):
    """What a perfect detector would see, plus Gaussian noise."""
    body = ArticulatedBody(model)
    rng = np.random.default_rng(seed)
    betas = pose.betas.astype(np.float64)
    state = body.articulate(pose.full_pose.astype(np.float64), betas)

    def seen(anchors, count, noise):
        points = body.joint_points([a.joint for a in anchors], offsets(anchors), REFERENCE_STATURE)
        world = body.place(state, points) * pose.scale + pose.transl
        place, deep = np.zeros((count, 2)), np.zeros((count, 3))
        index = [a.landmark for a in anchors]
        place[index] = camera.project(world) + noise * rng.normal(size=(len(index), 2))
        deep[index] = world
        return place, deep

    flat, deep = seen(BODY_ANCHORS, 33, noise_px)
    deep = deep - deep[[23, 24]].mean(0)
    extra = {}
    if face:
        extra["face"], face_3d = seen(FACE_ANCHORS, 478, noise_px / 4)
        extra["face_3d"] = camera.pixels_per_metre * (face_3d - face_3d[4])
    if hands:
        for side in ("left", "right"):
            points, points_3d = seen(hand_anchors(side), 21, noise_px / 4)
            extra[f"{side}_hand"], extra[f"{side}_hand_3d"] = points, points_3d - points_3d[0]
    visibility = np.zeros(33)
    visibility[[a.landmark for a in BODY_ANCHORS]] = 1.0
    return Landmarks(body=flat, body_3d=deep, visibility=visibility, **extra)


def subject_of(model, pose, noise_px=0.0, seed=0, hands=False, face=True):
    """The subject, the posed body and the camera that took it."""
    posed = model.pose(pose)
    camera = camera_for(posed)
    landmarks = landmarks_of(model, pose, camera, noise_px, seed, hands, face)
    return wrap(model, posed, camera, landmarks), posed, camera


def wrap(model, posed, camera, landmarks, height=HEIGHT):
    """A subject around landmarks; the photo is black, nobody looks at it here."""
    pixels = camera.project(posed.vertices.astype(np.float64))
    mask = draw_silhouette(pixels, model.faces, WIDTH, height).astype(np.float32)
    photo = Photo(np.zeros((height, WIDTH, 3), np.float32), "made", "0" * 64)
    return Subject(photo, mask, np.zeros((height, WIDTH), np.uint8), landmarks, "a person")


def aligned_error(joints, truth):
    """Per-joint distance (m) after the best similarity transform, and that transform's rotation."""
    a, b = joints - joints.mean(0), truth - truth.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = (u @ flip @ vt).T
    scale = (s * np.diag(flip)).sum() / (a**2).sum()
    return np.linalg.norm(scale * a @ rotation.T - b, axis=1)
