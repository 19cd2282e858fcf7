import numpy as np

from backend.export.overlay import overlay
from backend.export.turntable import turntable
from backend.geometry.frames import PhotoCamera
from backend.geometry.mesh import ColoredMesh


def test_eight_views_turn_the_character_and_show_its_colours(character):
    red_front = character.mesh.colors * 0 + np.where(
        character.mesh.normals[:, 2:] > 0, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    ).astype(np.float32)
    mesh = ColoredMesh(
        character.mesh.vertices, character.mesh.faces, red_front, character.mesh.normals
    )
    sheet = turntable(mesh, height=128)
    assert sheet.shape[0] == 256
    assert sheet.shape[1] % 8 == 0
    tiles = np.split(sheet[:128], 8, 1)

    def share(tile, channel):
        person = (tile < 0.92).any(-1)
        return tile[person][:, channel].mean()

    assert share(tiles[0], 0) > 0.85
    assert share(tiles[4], 2) > 0.85
    front, back = (t.min(-1) < 0.5 for t in (tiles[0], tiles[4]))
    assert (front == back[:, ::-1]).mean() > 0.97
    assert not np.allclose(front, front[:, ::-1])
    normal_front = np.split(sheet[128:], 8, 1)[0]
    person = front & (normal_front[..., 2] < 0.92)
    assert normal_front[person][:, 2].mean() > 0.7


def test_the_photo_stands_first_cut_to_the_person(character):
    photo = np.zeros((90, 160, 3), np.float32)
    mask = np.zeros((90, 160), np.float32)
    mask[20:80, 70:100] = 1
    photo[20:80, 70:100] = 0.7
    plain = turntable(character.mesh, height=96, normals=False)
    sheet = turntable(character.mesh, photo, mask, height=96, normals=False)
    tile = sheet[:, : sheet.shape[1] - plain.shape[1]]
    np.testing.assert_array_equal(sheet[:, tile.shape[1] :], plain)
    assert 40 <= tile.shape[1] <= 60
    assert (tile > 0.5).mean() > 0.8
    whole = turntable(character.mesh, photo, height=96, normals=False)
    assert whole.shape[1] - plain.shape[1] == round(96 * 160 / 90)


def test_overlay_covers_the_projected_body_only(posed_body):
    photo = np.full((200, 140, 3), 0.5, np.float32)
    camera = PhotoCamera(95.0, 45.0, 235.0)
    picture = overlay(photo, posed_body, camera)
    assert picture.shape == photo.shape
    changed = np.abs(picture - photo).max(-1) > 0.01
    pixels = camera.project(posed_body.vertices)
    rows, columns = np.nonzero(changed)
    low, high = pixels.min(0), pixels.max(0)
    assert abs(columns.min() - low[0]) < 2
    assert abs(columns.max() + 1 - high[0]) < 2
    assert abs(rows.min() - low[1]) < 2
    assert abs(rows.max() + 1 - min(high[1], 200)) < 2
    at = np.floor(camera.project(posed_body.joints)).astype(int)
    inside = (at[:, 0] < 140) & (at[:, 1] < 200)
    assert changed[at[inside, 1], at[inside, 0]].all()
