import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from backend.export.colors import linear_from_srgb, srgb_from_linear
from backend.export.glb import glb_bytes, write_glb
from shared_protocol.skeleton import JOINT_NAMES

ROOT = Path(__file__).parents[3]
VALIDATOR = ROOT / "build" / "validator"
TYPES = {5126: np.float32, 5125: np.uint32, 5123: np.uint16, 5121: np.uint8}
WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@pytest.fixture(scope="module")
def document(character):
    return pygltflib.GLTF2.load_from_bytes(glb_bytes(character, "someone", {"photo": "me.jpg"}))


def array(document, index):
    accessor = document.accessors[index]
    view = document.bufferViews[accessor.bufferView]
    data = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(data, TYPES[accessor.componentType]).reshape(
        accessor.count, WIDTH[accessor.type]
    )


def attribute(document, name):
    return array(document, getattr(document.meshes[0].primitives[0].attributes, name))


def node_matrices(document):
    """World matrix of every node of the scene, from its TRS."""
    matrices = {}

    def visit(index, parent):
        node = document.nodes[index]
        local = np.eye(4)
        if node.rotation is not None:
            local[:3, :3] = Rotation.from_quat(node.rotation).as_matrix()
        if node.translation is not None:
            local[:3, 3] = node.translation
        matrices[index] = parent @ local
        for child in node.children or []:
            visit(child, matrices[index])

    for root in document.scenes[document.scene].nodes:
        visit(root, np.eye(4))
    return matrices


def test_the_default_pose_is_the_photos(document, character):
    """Skin the stored T-pose with the stored nodes, as a viewer does."""
    skin = document.skins[0]
    matrices = node_matrices(document)
    bind = array(document, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    joint = np.stack([matrices[j] for j in skin.joints]) @ bind
    weights, indices = attribute(document, "WEIGHTS_0"), attribute(document, "JOINTS_0")
    rest = np.concatenate([attribute(document, "POSITION"), np.ones((len(weights), 1))], 1)
    posed = np.einsum("vk,vkij,vj->vi", weights, joint[indices], rest)[:, :3]
    np.testing.assert_allclose(posed, character.mesh.vertices, atol=2e-5)
    joints = np.stack([matrices[j][:3, 3] for j in skin.joints])
    np.testing.assert_allclose(joints, character.joints, atol=2e-5)


def test_with_no_rotation_it_stands_in_the_t_pose(document, character):
    bind = array(document, document.skins[0].inverseBindMatrices).reshape(-1, 4, 4)
    np.testing.assert_allclose(-bind[:, 3, :3], character.rest_joints, atol=1e-6)
    positions = attribute(document, "POSITION")
    assert np.ptp(positions[:, 1]) == pytest.approx(1.75, abs=1e-5)
    assert positions[:, 1].min() == pytest.approx(0, abs=1e-6)
    for node in document.nodes[: len(JOINT_NAMES)]:
        for child in node.children or []:
            at = np.array(document.nodes[child].translation)
            expected = (
                character.rest_joints[child] - character.rest_joints[JOINT_NAMES.index(node.name)]
            )
            np.testing.assert_allclose(at, expected, atol=1e-6)


def test_skeleton_weights_and_pose_are_complete(document, character):
    skin = document.skins[0]
    assert [document.nodes[j].name for j in skin.joints] == list(JOINT_NAMES)
    weights = attribute(document, "WEIGHTS_0")
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    extras = document.nodes[len(JOINT_NAMES)].extras
    np.testing.assert_allclose(extras["humanref_pose"]["full_pose"], character.pose.full_pose)
    assert extras["humanref_pose"]["scale"] == pytest.approx(character.pose.scale)
    assert extras["photo"] == "me.jpg"
    assert document.nodes[len(JOINT_NAMES)].name == "someone"


def test_colours_are_linear_and_keep_the_dark(document, character):
    stored = attribute(document, "COLOR_0")
    assert (stored[:, 3] == 65535).all()
    back = srgb_from_linear(stored[:, :3] / 65535)
    np.testing.assert_allclose(back, character.mesh.colors, atol=2e-4)
    steps = np.arange(256) / 255
    assert len(np.unique(np.round(linear_from_srgb(steps) * 65535))) == 256


def test_srgb_curve_at_known_points():
    np.testing.assert_allclose(linear_from_srgb(np.array([0.0, 0.04045, 0.5, 1.0])),
                               [0, 0.0031308, 0.2140411, 1], atol=1e-6)  # fmt: skip
    ramp = np.linspace(0, 1, 101)
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(ramp)), ramp, atol=1e-6)


def test_a_texture_takes_the_place_of_the_colours(textured):
    document = pygltflib.GLTF2.load_from_bytes(glb_bytes(textured))
    assert document.meshes[0].primitives[0].attributes.COLOR_0 is None
    faces = array(document, document.meshes[0].primitives[0].indices).reshape(-1, 3)
    uv = attribute(document, "TEXCOORD_0")[faces.ravel()]
    # Each corner has its own place, v down; it shows the same texel as in our convention.
    np.testing.assert_allclose(uv[:, 0], textured.uv[:, 0])
    np.testing.assert_allclose(1 - uv[:, 1], textured.uv[:, 1], atol=1e-7)
    material = document.materials[document.meshes[0].primitives[0].material]
    texture = document.textures[material.pbrMetallicRoughness.baseColorTexture.index]
    image = document.images[texture.source]
    view = document.bufferViews[image.bufferView]
    data = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), textured.texture)


def test_copies_at_seams_leave_no_crack(textured):
    """Same position, normal and skin to the bit; and no more copies than places."""
    document = pygltflib.GLTF2.load_from_bytes(glb_bytes(textured))
    faces = array(document, document.meshes[0].primitives[0].indices).reshape(-1, 3)
    original = textured.mesh.faces
    for name, values in {
        "POSITION": textured.rest_vertices,
        "NORMAL": textured.rest_normals,
        "WEIGHTS_0": textured.weights,
        "JOINTS_0": textured.indices,
    }.items():
        np.testing.assert_array_equal(attribute(document, name)[faces], values[original])
    assert len(attribute(document, "POSITION")) == 3 * len(original) - 2


@pytest.mark.parametrize("kind", ["character", "textured"])
def test_khronos_validator_finds_no_error(kind, request, tmp_path):
    character = request.getfixturevalue(kind)
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (VALIDATOR / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("run: npm install --prefix build/validator gltf-validator@2.0.0-dev.3.10")
    write_glb(tmp_path / "a.glb", character)
    script = Path(__file__).parent / "validate_glb.mjs"
    done = subprocess.run(
        ["node", str(script), str(VALIDATOR), str(tmp_path / "a.glb")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    report = json.loads(done.stdout)
    assert report["info"]["version"] == "2.0"
    assert report["issues"]["numErrors"] == 0, report["issues"]["messages"]
    assert report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["totalTriangleCount"] == len(character.mesh.faces)
