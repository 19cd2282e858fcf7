"""What other tools call the 55 joints. Names only; bone_names.py does the renaming."""

from __future__ import annotations

from typing import Final, Literal

from ..shared_protocol.skeleton import JOINT_NAMES

Scheme = Literal["SMPLX", "RIGIFY", "RIGIFY_DEF", "MIXAMO", "UNREAL", "VRM"]
SCHEMES: Final[tuple[Scheme, ...]] = ("SMPLX", "RIGIFY", "RIGIFY_DEF", "MIXAMO", "UNREAL", "VRM")

_MIDDLE: Final = {
    #          Rigify       Mixamo    Unreal     VRM 1.0
    "pelvis": ("spine", "Hips", "pelvis", "hips"),
    "spine1": ("spine.001", "Spine", "spine_01", "spine"),
    "spine2": ("spine.002", "Spine1", "spine_02", "chest"),
    "spine3": ("spine.003", "Spine2", "spine_03", "upperChest"),
    "neck": ("spine.004", "Neck", "neck_01", "neck"),
    "head": ("spine.006", "Head", "head", "head"),
    "jaw": ("jaw", "Jaw", "jaw", "jaw"),
}
_SIDED: Final = {
    "hip": ("thigh", "UpLeg", "thigh", "UpperLeg"),
    "knee": ("shin", "Leg", "calf", "LowerLeg"),
    "ankle": ("foot", "Foot", "foot", "Foot"),
    "foot": ("toe", "ToeBase", "ball", "Toes"),
    "collar": ("shoulder", "Shoulder", "clavicle", "Shoulder"),
    "shoulder": ("upper_arm", "Arm", "upperarm", "UpperArm"),
    "elbow": ("forearm", "ForeArm", "lowerarm", "LowerArm"),
    "wrist": ("hand", "Hand", "hand", "Hand"),
    "eye_smplhf": ("eye", "Eye", "eye", "Eye"),
}
_VRM_FINGER: Final = {"pinky": "Little", "thumb": "Thumb"}
_VRM_PHALANX: Final = ("Proximal", "Intermediate", "Distal")
_VRM_THUMB: Final = ("Metacarpal", "Proximal", "Distal")


def names_of(scheme: Scheme) -> dict[str, str]:
    """SMPL-X name -> name in ``scheme``, for all 55 joints; all different."""
    return {joint: _name(scheme, joint) for joint in JOINT_NAMES}


def _name(scheme: Scheme, joint: str) -> str:
    if scheme == "SMPLX":
        return joint
    if scheme == "RIGIFY_DEF":
        return f"DEF-{_name('RIGIFY', joint)}"
    column = ("RIGIFY", "MIXAMO", "UNREAL", "VRM").index(scheme)
    if joint in _MIDDLE:
        name = _MIDDLE[joint][column]
        return f"mixamorig:{name}" if scheme == "MIXAMO" else name
    side, part = joint.split("_", 1)
    name = _SIDED[part][column] if part in _SIDED else _finger(scheme, part)
    if scheme == "RIGIFY":
        return f"{name}.{side[0].upper()}"
    if scheme == "MIXAMO":
        return f"mixamorig:{side.capitalize()}{name}"
    if scheme == "UNREAL":
        return f"{name}_{side[0]}"
    return f"{side}{name}"


def _finger(scheme: Scheme, part: str) -> str:
    finger, k = part[:-1], int(part[-1])
    if scheme == "RIGIFY":
        return f"{'' if finger == 'thumb' else 'f_'}{finger}.0{k}"
    if scheme == "MIXAMO":
        return f"Hand{finger.capitalize()}{k}"
    if scheme == "UNREAL":
        return f"{finger}_0{k}"
    phalanx = (_VRM_THUMB if finger == "thumb" else _VRM_PHALANX)[k - 1]
    return f"{_VRM_FINGER.get(finger, finger.capitalize())}{phalanx}"
