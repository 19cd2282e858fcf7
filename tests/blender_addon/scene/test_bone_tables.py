import pytest
from humanref_addon.scene.bone_tables import SCHEMES, Scheme, names_of

from shared_protocol.skeleton import JOINT_NAMES


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_joint_has_a_name_of_its_own(scheme: Scheme) -> None:
    names = names_of(scheme)
    assert tuple(names) == JOINT_NAMES
    assert len(set(names.values())) == 55
    # Blender cuts longer names.
    assert max(map(len, names.values())) < 63


@pytest.mark.parametrize(
    ("scheme", "joint", "name"),
    [
        ("SMPLX", "left_hip", "left_hip"),
        ("RIGIFY", "pelvis", "spine"),
        ("RIGIFY", "head", "spine.006"),
        ("RIGIFY", "left_shoulder", "upper_arm.L"),
        ("RIGIFY", "right_index1", "f_index.01.R"),
        ("RIGIFY", "left_thumb3", "thumb.03.L"),
        ("RIGIFY_DEF", "left_knee", "DEF-shin.L"),
        ("MIXAMO", "pelvis", "mixamorig:Hips"),
        ("MIXAMO", "left_collar", "mixamorig:LeftShoulder"),
        ("MIXAMO", "left_shoulder", "mixamorig:LeftArm"),
        ("MIXAMO", "right_foot", "mixamorig:RightToeBase"),
        ("MIXAMO", "right_pinky2", "mixamorig:RightHandPinky2"),
        ("UNREAL", "spine3", "spine_03"),
        ("UNREAL", "left_elbow", "lowerarm_l"),
        ("UNREAL", "right_thumb1", "thumb_01_r"),
        ("UNREAL", "right_foot", "ball_r"),
        ("VRM", "spine3", "upperChest"),
        ("VRM", "left_pinky3", "leftLittleDistal"),
        ("VRM", "right_thumb1", "rightThumbMetacarpal"),
        ("VRM", "left_eye_smplhf", "leftEye"),
    ],
)
def test_names_that_the_other_tools_use(scheme: Scheme, joint: str, name: str) -> None:
    assert names_of(scheme)[joint] == name
