"""The pipeline's results as documents, checked against the body models themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.errors import Cancelled, HumanRefError
from backend.events import Preview, StageStarted, Step, Warned
from backend.service import documents
from backend.service.observer import JobObserver, preview_mesh
from backend.service.worker import describe, names_of
from backend.service.worker_jobs import generate_settings
from backend.service.worker_messages import FromWorker, RunJob, Told
from backend.settings import COMPACT_PRIOR, preset_settings
from shared_protocol.messages import BlobRef, Estimate, Maps, Notice, Progress, Submit
from shared_protocol.packing import pack_template, unpack_template
from shared_protocol.skeleton import PARENTS

BLOB = BlobRef(sha256="a" * 64, size=1)


def test_template_posed_by_an_armature_is_the_body() -> None:
    """Linear shape, then linear blend skinning with eight weights a vertex: under a millimetre off."""
    model = load_body("anny")
    template = documents.body_template(model)
    again = unpack_template(pack_template(template))
    np.testing.assert_array_equal(again.shape_directions, template.shape_directions)
    rng = np.random.default_rng(0)
    betas = rng.normal(size=model.n_betas).astype(np.float32)
    full_pose = rng.normal(scale=0.4, size=(55, 3)).astype(np.float32)
    pose = BodyPose(betas, full_pose, np.array([0.1, 0.9, 0.2], np.float32), 1.1, model.name)
    vertices = template.vertices + template.shape_directions @ betas
    joints = template.joints + template.joint_directions @ betas
    transforms = _armature(full_pose, joints)
    moved = np.einsum("vkij,vj->vki", transforms[template.skin_indices][..., :3, :3], vertices)
    moved += transforms[template.skin_indices][..., :3, 3]
    skinned = (moved * template.skin_weights[..., None]).sum(1) * pose.scale + pose.transl
    apart = np.linalg.norm(skinned - model.pose(pose).vertices, axis=1)
    assert apart.max() < 1e-3
    assert np.abs(template.skin_weights.sum(1) - 1).max() < 1e-6
    assert (np.diff(template.skin_weights, axis=1) <= 0).all()


def _armature(full_pose: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Rest-to-posed matrices, joint by joint, as an armature computes them."""

    world = np.tile(np.eye(4), (55, 1, 1))
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = Rotation.from_rotvec(full_pose[joint]).as_matrix()
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world[joint] = (world[parent] if parent >= 0 else np.eye(4)) @ local
    rest = world.copy()
    for joint in range(55):
        rest[joint, :3, 3] -= world[joint, :3, :3] @ joints[joint]
    return rest


def test_pose_survives_the_wire() -> None:
    rng = np.random.default_rng(1)
    pose = BodyPose(
        rng.normal(size=16).astype(np.float32),
        rng.normal(size=(55, 3)).astype(np.float32),
        rng.normal(size=3).astype(np.float32),
        1.25,
    )
    back = documents.body_pose(documents.wire_pose(pose))
    for name in ("betas", "full_pose", "transl"):
        np.testing.assert_array_equal(getattr(back, name), getattr(pose, name))
    assert (back.scale, back.model) == (pose.scale, pose.model)


def test_settings_of_a_request_are_the_presets_with_its_options() -> None:
    plain = generate_settings(
        Submit(photo=BLOB, photo_name="x", preset="draft", guidance="ref-sds")
    )
    assert plain.optimization.checkpoint_every <= 40
    every = preset_settings("draft").optimization.checkpoint_every
    usual = replace(plain.optimization, checkpoint_every=every)
    assert replace(plain, optimization=usual) == preset_settings("draft")
    asked = generate_settings(
        Submit(photo=BLOB, photo_name="x", steps=7, faces=2000, texture=0, seed=5, height_cm=150.0,
               guidance="none", device="cpu")
    )  # fmt: skip
    assert (asked.optimization.steps, asked.meshing.faces, asked.meshing.texture) == (7, 2000, 0)
    assert (asked.seed, asked.height_cm, asked.guidance, asked.device) == (5, 150.0, "none", "cpu")


def test_a_prior_is_the_servers_own() -> None:
    request = Submit(photo=BLOB, photo_name="x", guidance="ref-sds")
    assert generate_settings(request).prior == COMPACT_PRIOR
    assert generate_settings(request, "some/model@" + "a" * 40).prior.repo == "some/model"
    assert generate_settings(request, "some/model@" + "a" * 40).prior.revision == "a" * 40
    mirror = Submit(photo=BLOB, photo_name="x")
    assert generate_settings(mirror, "some/model").prior == preset_settings("standard").prior


def test_observer_tells_within_reason_and_stops_at_any_event() -> None:
    sent: list[FromWorker] = []
    now, stopped = [0.0], [False]
    observe = JobObserver("job", sent.append, lambda: stopped[0], lambda: now[0])
    observe(StageStarted("optimization", "numba"))
    for step in range(1, 101):
        now[0] += 0.1
        observe(Step("optimization", step, 100, float("nan"), {"rgb": 1.0, "bad": float("inf")}))
    observe(Warned("w", "careful"))
    contents = [message.content for message in sent if isinstance(message, Told)]
    assert contents[0] == Progress(stage="optimization", provider="numba")
    steps = [c.step for c in contents if isinstance(c, Progress)][1:]
    assert (steps[0], steps[-1]) == (1, 100)
    assert 20 <= len(steps) <= 30
    assert contents[1] == Progress(
        stage="optimization", step=1, total=100, eta=None, losses={"rgb": 1.0}
    )
    assert contents[-1] == Notice(code="w", message="careful")
    stopped[0] = True
    with pytest.raises(Cancelled):
        observe(StageStarted("meshing"))


def test_preview_has_the_types_of_the_wire() -> None:
    faces = np.array([[0, 1, 2]], np.int64)
    vertices = torch.rand(3, 3, dtype=torch.float64).numpy()
    colors = np.array([[-0.1, 0.5, 1.2]] * 3, np.float32)
    mesh = preview_mesh(Preview(4, vertices, faces, colors))
    assert (mesh.vertices.dtype, mesh.colors.dtype, mesh.faces.dtype) == (
        np.float32,
        np.uint8,
        np.int32,
    )
    assert mesh.colors[0].tolist() == [0, 128, 255]
    moved = preview_mesh(Preview(5, vertices + 1, faces, colors))
    other = preview_mesh(Preview(5, vertices, faces[:, ::-1], colors))
    assert moved.topology == mesh.topology != other.topology


def test_errors_lose_every_path_of_the_server(tmp_path: Path) -> None:
    photo, mask = tmp_path / ("a" * 64), tmp_path / ("b" * 64)
    maps = Maps(mask=BlobRef(sha256=mask.name, size=1))
    request = Estimate(photo=BLOB, photo_name="anna.jpg", maps=maps)
    files = {photo.name: photo, mask.name: mask}
    job = RunJob("uid", request, files, tmp_path / "jobs" / "uid", resume=False)

    said = describe(
        HumanRefError(
            "mask_size",
            f"{mask.name} is not the size of {photo}.",
            f"See {job.folder / 'checkpoint'} or {mask}.",
        ),
        names_of(job),
    )
    assert said.message == "the mask is not the size of anna.jpg."
    assert said.hint == f"See the job's folder{Path('/checkpoint')} or the mask."
    assert describe(MemoryError(), {}).code == "out_of_memory"
    with pytest.raises(RuntimeError) as torch_says:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert describe(torch_says.value, {}).code == "out_of_memory"
    assert describe(OSError(28, "full"), {}).code == "disk_full"
    odd = describe(ValueError(str(tmp_path)), {})
    assert odd.code == "internal"
    assert str(tmp_path) not in odd.message + odd.hint
