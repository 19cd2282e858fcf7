"""Regions of rendered views."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.body import load_body
from backend.body.model import PosedBody, Region
from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.frames import FieldToWorld
from backend.geometry.rasterizer import rasterize
from backend.guidance.target_regions import (
    BandCuts,
    band_cuts,
    band_labels,
    hidden_face,
    raster_labels,
    with_background,
)


@pytest.fixture(scope="module")
def body() -> tuple[PosedBody, FieldToWorld]:
    model = load_body()
    posed = model.pose(BodyPose.t_pose(model.n_betas))
    low, high = posed.vertices.min(0), posed.vertices.max(0)
    middle = (low + high) / 2
    scale = float((high - low).max() / 2 / 0.94)
    return posed, FieldToWorld(scale, (float(middle[0]), float(middle[1]), float(middle[2])))


def labels_of(body: PosedBody, frame: FieldToWorld, camera: OrthographicCamera) -> np.ndarray:
    faces = body.faces[body.outer_faces]
    drawn = rasterize(camera.project(frame.to_field(body.vertices)), faces, 96)
    return raster_labels(drawn, faces, body.regions)


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 180.0])
def test_body_labels_put_each_joint_in_its_part(
    body: tuple[PosedBody, FieldToWorld], azimuth: float
) -> None:
    posed, frame = body
    camera = OrthographicCamera(azimuth, 10.0)
    labels = labels_of(posed, frame, camera)
    assert labels.shape == (96, 96)
    assert set(np.unique(labels)) <= {1, 2, 3, 4}, "every pixel has the nearest part"
    wanted = {15: Region.HEAD, 9: Region.UPPER, 4: Region.LOWER, 10: Region.FEET}
    for joint, region in wanted.items():
        x, y, _ = camera.project(frame.to_field(posed.joints[joint][None]))[0]
        row, column = int((1 - y) / 2 * 96), int((x + 1) / 2 * 96)
        assert labels[row, column] == region, joint


def test_raised_arms_stay_upper_body_where_bands_call_them_head(
    body: tuple[PosedBody, FieldToWorld],
) -> None:
    """The T-pose's hands lie at the height of the neck: why bands are not our default."""
    posed, frame = body
    camera = OrthographicCamera(180.0)
    labels = labels_of(posed, frame, camera)
    x, y, _ = camera.project(frame.to_field(posed.joints[20][None]))[0]
    row, column = int((1 - y) / 2 * 96), int((x + 1) / 2 * 96)
    assert labels[row, column] == Region.UPPER
    bands = band_labels(BandCuts((float(y) - 0.05, -0.1, -0.8)), camera, 96)
    assert bands[row, column] == Region.HEAD


def test_band_cuts_leave_the_fewest_pixels_on_the_wrong_side() -> None:
    regions = np.zeros((100, 100), np.uint8)
    regions[10:25, 40:60] = Region.HEAD
    regions[25:50, 30:70] = Region.UPPER
    regions[50:90, 35:65] = Region.LOWER
    regions[90:95, 35:65] = Region.FEET
    regions[12:20, 70:72] = Region.UPPER  # a raised hand
    assert band_cuts(regions).heights == pytest.approx((0.5, 0.0, -0.8))
    seen = band_labels(band_cuts(regions), OrthographicCamera(90.0), 100)
    assert (seen[[20, 40, 70, 97], 50] == [1, 2, 3, 4]).all()
    # A half-length picture: no band for what it does not show.
    assert band_cuts(regions[:50, :50]).heights[1:] == (-1.0, -1.0)
    with pytest.raises(HumanRefError) as raised:
        band_cuts(np.zeros((8, 8), np.uint8))
    assert raised.value.code == "regions_empty"


def test_bands_of_space_shrink_with_elevation() -> None:
    cuts = BandCuts((0.5, 0.0, -0.5))
    level = band_labels(cuts, OrthographicCamera(0.0), 200)
    raised = band_labels(cuts, OrthographicCamera(0.0, 60.0), 200)
    assert (level[:, 0] == 2).sum() == 50
    assert (raised[:, 0] == 2).sum() == 25


def test_background_and_hidden_faces() -> None:
    labels = torch.full((2, 4, 4), 3)
    opacity = torch.zeros(2, 4, 4)
    opacity[1, 2:] = 0.8
    assert with_background(labels, opacity).sum((1, 2)).tolist() == [0, 24]
    face = torch.zeros(4, 4, dtype=torch.bool)
    face[1, 1] = True
    assert hidden_face(face, [0.0, 90.0, -95.0, 355.0]) is None
    hidden = hidden_face(face, [0.0, 180.0, -120.0])
    assert hidden is not None
    assert hidden.sum((1, 2)).tolist() == [0, 1, 1]
