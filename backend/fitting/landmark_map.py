"""Where MediaPipe's landmarks lie on a body with SMPL-X's joints.

MediaPipe's hips, knees or heels are not SMPL-X's joint centres. The offsets here were measured, not
guessed: 140 renders of our body (random shapes, standing poses, yaw within 50 degrees) were given to
MediaPipe 0.10.14, and each landmark's place in its joint's frame was solved by robust least squares
over all renders, left and right mirrored into one (calibration.py does it). ``sigma`` follows what
remained, the noise of that landmark. Offsets are metres in the T-pose of a body of ``REFERENCE_STATURE``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REFERENCE_STATURE = 1.80


@dataclass(frozen=True)
class Anchor:
    """A landmark bound to a joint."""

    landmark: int
    """Index in its group (33 body, 478 face, 21 hand)."""
    joint: str
    offset: tuple[float, float, float]
    sigma: float
    """Metres in the picture plane."""

    def mirrored(self, landmark: int) -> Anchor:
        """The same on the person's right side."""
        x, y, z = self.offset
        return Anchor(landmark, self.joint.replace("left", "right"), (-x, y, z), self.sigma)


_LEFT_BODY = (
    # (left landmark, right landmark): joint, offset, sigma
    ((2, 5), "head", (0.029, 0.047, 0.094), 0.012),
    ((7, 8), "head", (0.056, 0.034, 0.027), 0.014),
    ((9, 10), "head", (0.022, -0.020, 0.107), 0.012),
    ((11, 12), "left_shoulder", (-0.012, 0.006, 0.006), 0.016),
    ((13, 14), "left_elbow", (-0.007, 0.004, 0.025), 0.016),
    ((15, 16), "left_wrist", (0.003, -0.001, 0.010), 0.014),
    ((17, 18), "left_wrist", (0.086, -0.008, -0.005), 0.018),
    ((19, 20), "left_wrist", (0.088, -0.014, 0.014), 0.018),
    ((21, 22), "left_wrist", (0.061, -0.016, 0.021), 0.018),
    ((23, 24), "pelvis", (0.101, -0.090, 0.036), 0.020),
    ((25, 26), "left_knee", (-0.010, 0.009, 0.000), 0.022),
    ((27, 28), "left_ankle", (0.002, 0.038, -0.003), 0.014),
    ((29, 30), "left_ankle", (-0.012, -0.020, -0.042), 0.020),
    ((31, 32), "left_foot", (-0.023, -0.012, 0.030), 0.020),
)

BODY_ANCHORS: tuple[Anchor, ...] = (
    Anchor(0, "head", (0.0, 0.015, 0.129), 0.012),
    *(
        anchor
        for (left, right), joint, offset, sigma in _LEFT_BODY
        for anchor in (
            Anchor(left, joint, offset, sigma),
            Anchor(left, joint, offset, sigma).mirrored(right),
        )
    ),
)

# The face mesh is four times sharper than the body's face landmarks and replaces them where it exists.
BODY_FACE_LANDMARKS = frozenset(range(11))

_FACE_SIGMA = 0.004
_FACE_MIDDLE = (
    (4, (0.0, 0.0063, 0.1360)),
    (6, (0.0, 0.0362, 0.1164)),
    (10, (0.0, 0.0953, 0.1057)),
    (152, (0.0, -0.0689, 0.1009)),
)
_FACE_LEFT = (
    ((263, 33), (0.0454, 0.0409, 0.0895)),
    ((362, 133), (0.0184, 0.0388, 0.0970)),
    ((291, 61), (0.0232, -0.0283, 0.1044)),
    ((454, 234), (0.0717, 0.0243, 0.0319)),
    ((397, 172), (0.0560, -0.0372, 0.0500)),
    ((334, 105), (0.0412, 0.0614, 0.0998)),
    ((473, 468), (0.0308, 0.0416, 0.0983)),
)

FACE_ANCHORS: tuple[Anchor, ...] = (
    *(Anchor(index, "head", offset, _FACE_SIGMA) for index, offset in _FACE_MIDDLE),
    *(
        anchor
        for (left, right), offset in _FACE_LEFT
        for anchor in (
            Anchor(left, "head", offset, _FACE_SIGMA),
            Anchor(left, "head", offset, _FACE_SIGMA).mirrored(right),
        )
    ),
)

# MediaPipe's hand points are the finger joints themselves (within 1 cm); tips follow the last bone.
_HAND_SIGMA = 0.007
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_TIPS = {
    "thumb": (0.020, -0.008, 0.011),
    "index": (0.024, -0.001, 0.001),
    "middle": (0.023, -0.002, -0.001),
    "ring": (0.022, -0.002, -0.001),
    "pinky": (0.018, -0.001, -0.002),
}


def hand_anchors(side: str) -> tuple[Anchor, ...]:
    """The 21 hand landmarks of ``side`` (``"left"`` or ``"right"``)."""
    anchors = [Anchor(0, "left_wrist", (0.010, 0.003, 0.002), _HAND_SIGMA)]
    for number, finger in enumerate(_FINGERS):
        first = 1 + 4 * number
        anchors += [
            Anchor(first + k, f"left_{finger}{k + 1}", (0.0, 0.0, 0.0), _HAND_SIGMA)
            for k in range(3)
        ]
        anchors.append(Anchor(first + 3, f"left_{finger}3", _TIPS[finger], _HAND_SIGMA))
    if side == "left":
        return tuple(anchors)
    return tuple(anchor.mirrored(anchor.landmark) for anchor in anchors)


# Pairs of body landmarks whose difference in depth is worth listening to.
DEPTH_PAIRS: tuple[tuple[int, int], ...] = (
    (11, 12),
    (23, 24),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
    (23, 25),
    (25, 27),
    (24, 26),
    (26, 28),
    (27, 31),
    (28, 32),
    (23, 11),
    (24, 12),
)

# The body joints a landmark speaks for: unseen landmark, unseen joint.
JOINT_OF_LANDMARK: dict[int, str] = {
    11: "left_shoulder",
    12: "right_shoulder",
    13: "left_elbow",
    14: "right_elbow",
    15: "left_wrist",
    16: "right_wrist",
    23: "left_hip",
    24: "right_hip",
    25: "left_knee",
    26: "right_knee",
    27: "left_ankle",
    28: "right_ankle",
    31: "left_foot",
    32: "right_foot",
    0: "head",
}

# For each joint that turns a limb: the landmarks that show how. All unseen: nobody can tell.
SHOWN_BY: dict[str, tuple[int, ...]] = {
    "left_shoulder": (13, 15),
    "right_shoulder": (14, 16),
    "left_elbow": (15,),
    "right_elbow": (16,),
    "left_wrist": (15,),
    "right_wrist": (16,),
    "left_hip": (25, 27),
    "right_hip": (26, 28),
    "left_knee": (27,),
    "right_knee": (28,),
    "left_ankle": (27, 31),
    "right_ankle": (28, 32),
}


def offsets(anchors: tuple[Anchor, ...]) -> np.ndarray:
    """(m, 3) offsets of ``anchors``."""
    return np.array([anchor.offset for anchor in anchors])
