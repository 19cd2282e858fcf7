"""The four regions of the example photo, and of poses the cuts must not confuse."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from perception_support import Seen, as_photo

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.perception.cut_lines import CutLines
from backend.perception.parsing import LandmarkParsing, fill_from_nearest


def at(regions: np.ndarray, point: np.ndarray) -> Region:
    return Region(int(regions[int(point[1]), int(point[0])]))


def test_landmarks_lie_in_their_regions(seen: Seen) -> None:
    marks = seen.detection.landmarks
    regions = LandmarkParsing().parse(seen.photo, seen.mask, marks)
    inside = seen.mask > 0.5
    assert (regions[inside] > 0).all()
    assert (regions[~inside] == 0).all()
    body = marks.body
    assert at(regions, body[0]) == Region.HEAD
    for point in (body[11], body[12], body[13], body[14], body[[11, 12, 23, 24]].mean(0)):
        assert at(regions, point) == Region.UPPER
    for hand in (marks.left_hand, marks.right_hand):
        assert hand is not None
        assert at(regions, hand[9]) == Region.UPPER
    for point in (body[25], body[26], (body[23] + body[25]) / 2, (body[26] + body[28]) / 2):
        assert at(regions, point) == Region.LOWER
    for point in (body[31], body[32]):
        assert at(regions, point) == Region.FEET


def test_cuts_follow_the_clothes(seen: Seen) -> None:
    """The jeans are blue, the jacket above and the boots below are not."""
    regions = LandmarkParsing().parse(seen.photo, seen.mask, seen.detection.landmarks)
    blue = (seen.photo.rgb[..., 2] > seen.photo.rgb[..., 0] + 0.06) & (seen.mask > 0.9)
    lower = (regions == Region.LOWER) & (seen.mask > 0.9)
    assert float((blue & lower).sum()) / float(blue.sum()) > 0.97


def test_user_cuts_are_obeyed(seen: Seen) -> None:
    marks = seen.detection.landmarks
    hips, shoulders = marks.body[[23, 24], 1].mean(), marks.body[[11, 12], 1].mean()
    waist = float(hips - 0.4 * (hips - shoulders))
    ankle = float(marks.body[[25, 26], 1].mean() + 40)
    neck = float(marks.face[152, 1]) if marks.face is not None else 0.0
    cuts = CutLines(neck=neck, waist=waist, ankle=ankle)
    regions = LandmarkParsing(cuts).parse(seen.photo, seen.mask, marks)
    scale = max(seen.mask.shape) / 448
    middle = marks.body[[23, 24], 0].mean()
    column = regions[:, int(middle)]
    first_lower = np.flatnonzero(column == Region.LOWER)[0]
    assert abs(first_lower - waist) <= scale + 1
    feet_rows = np.flatnonzero((regions == Region.FEET).any(1))
    assert abs(feet_rows[0] - ankle) <= scale + 1
    head_rows = np.flatnonzero((regions == Region.HEAD).any(1))
    assert abs(head_rows[-1] + 1 - neck) <= scale + 1


def test_a_turned_picture_turns_its_regions(seen: Seen) -> None:
    """A person lying on their side is parsed like one who stands: cuts follow the body's axes."""
    upright = LandmarkParsing().parse(seen.photo, seen.mask, seen.detection.landmarks)
    height = seen.mask.shape[0]

    def turned(points: np.ndarray) -> np.ndarray:
        return np.stack([height - points[:, 1], points[:, 0]], -1)

    marks = seen.detection.landmarks
    assert marks.face is not None
    lying = replace(marks, body=turned(marks.body), face=turned(marks.face))
    rgb = np.ascontiguousarray(np.rot90(seen.photo.rgb, -1))
    mask = np.ascontiguousarray(np.rot90(seen.mask, -1))
    regions = np.rot90(LandmarkParsing().parse(as_photo(rgb), mask, lying), 1)
    same = (regions == upright)[seen.mask > 0.5].mean()
    assert same > 0.985


def test_raised_arms_stay_upper_body(seen: Seen) -> None:
    marks = seen.detection.landmarks
    body = marks.body.copy()
    reach = np.linalg.norm(body[13] - body[11])
    mask = np.zeros(seen.mask.shape, np.float32)
    for shoulder, elbow, wrist, knuckle, side in ((11, 13, 15, 19, 1), (12, 14, 16, 20, -1)):
        body[elbow] = body[shoulder] + [side * 0.7 * reach, -0.7 * reach]
        body[wrist] = body[elbow] + [0, -0.9 * reach]
        body[knuckle] = body[wrist] + [0, -0.3 * reach]
        joints = body[[shoulder, elbow, wrist, knuckle]].astype(np.int32)
        cv2.polylines(mask, [joints.reshape(-1, 1, 2)], False, 1.0, 24)
    mask = np.maximum(mask, seen.mask)
    body = body.clip([0, 0], [mask.shape[1] - 1, mask.shape[0] - 1])
    regions = LandmarkParsing().parse(seen.photo, mask, replace(marks, body=body))
    for joint in (13, 14, 15, 16, 19, 20):
        assert at(regions, body[joint]) == Region.UPPER


def test_blank_pixels_take_the_nearest_region() -> None:
    region = np.zeros((20, 20), np.int16)
    region[:, 2] = Region.HEAD
    region[:, 17] = Region.FEET
    mask = np.ones((20, 20), np.float32)
    mask[0] = 0
    filled = fill_from_nearest(region, mask)
    assert (filled[0] == 0).all()
    assert (filled[1:, :10] == Region.HEAD).all()
    assert (filled[1:, 10:] == Region.FEET).all()
    with pytest.raises(HumanRefError, match="region"):
        fill_from_nearest(np.zeros((20, 20), np.int16), mask)
