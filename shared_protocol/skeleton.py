"""The 55-joint SMPL-X skeleton: names, parents and the layout of a full pose.

Rest pose: T-pose, all joint frames parallel to the world axes (y up, facing +z, the person's left is
+x). A full pose is (55, 3): one axis-angle vector (radians) a joint, in the parent's frame.
"""

from typing import Final

_FINGERS: Final = ("index", "middle", "pinky", "ring", "thumb")

JOINT_NAMES: Final[tuple[str, ...]] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "jaw",
    "left_eye_smplhf",
    "right_eye_smplhf",
    *(f"left_{finger}{k}" for finger in _FINGERS for k in (1, 2, 3)),
    *(f"right_{finger}{k}" for finger in _FINGERS for k in (1, 2, 3)),
)

N_JOINTS: Final = len(JOINT_NAMES)

JOINT_INDEX: Final[dict[str, int]] = {name: index for index, name in enumerate(JOINT_NAMES)}


def _parents() -> tuple[int, ...]:
    parents = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
    for wrist in (20, 21):
        for _ in _FINGERS:
            first = len(parents)
            parents += [wrist, first, first + 1]
    return tuple(parents)


PARENTS: Final[tuple[int, ...]] = _parents()

# Where each named part of a pose file lies in the (55, 3) full pose (the order of the smplx package).
POSE_SLICES: Final[dict[str, slice]] = {
    "global_orient": slice(0, 1),
    "body_pose": slice(1, 22),
    "jaw_pose": slice(22, 23),
    "leye_pose": slice(23, 24),
    "reye_pose": slice(24, 25),
    "left_hand_pose": slice(25, 40),
    "right_hand_pose": slice(40, 55),
}
