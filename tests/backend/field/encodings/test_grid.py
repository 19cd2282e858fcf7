"""The hash grid's layout is tiny-cuda-nn's, so that its tables can be exchanged."""

import numpy as np
import pytest

from backend.errors import HumanRefError
from backend.field.encodings.grid import HashGridLayout
from backend.settings import FieldSettings, preset_settings


def test_levels_grow_from_base_to_maximum():
    settings = FieldSettings(levels=12, log2_table=17, base_resolution=16, max_resolution=512)
    layout = HashGridLayout.from_settings(settings)
    assert layout.resolutions[0] == 16
    assert layout.resolutions[-1] == 512
    assert list(layout.resolutions) == sorted(layout.resolutions)
    ratios = np.array(layout.resolutions[1:]) / np.array(layout.resolutions[:-1])
    assert abs(ratios - 32 ** (1 / 11)).max() < 0.06


def test_scale_resolution_and_sizes_follow_the_documented_rule():
    layout = HashGridLayout(levels=5, log2_table=14, base_resolution=8, growth=1.5)
    for level in range(5):
        scale = 8 * 1.5**level - 1
        assert layout.scales[level] == pytest.approx(scale, rel=1e-6)
        resolution = int(np.ceil(scale)) + 1
        assert layout.resolutions[level] == resolution
        points = resolution**3
        assert layout.dense[level] == (points <= 2**14)
        expected = (points + 7) // 8 * 8 if points <= 2**14 else 2**14
        assert layout.sizes[level] == expected
    assert layout.offsets == tuple(int(n) for n in np.cumsum([0, *layout.sizes]))
    assert layout.total == sum(layout.sizes)
    assert True in layout.dense
    assert False in layout.dense


def test_the_finest_scale_stays_below_a_whole_number():
    # Otherwise ceil, and so the table's size, would hang on the last bit of a machine's exp2.
    for preset in ("draft", "standard", "paper"):
        layout = HashGridLayout.from_settings(preset_settings(preset).field)
        fraction = layout.scales[-1] % 1.0
        assert 0.001 < fraction < 0.9999


def test_one_level_and_impossible_grids():
    assert HashGridLayout.from_settings(FieldSettings(levels=1)).total == 16**3
    for settings in (
        FieldSettings(levels=0),
        FieldSettings(log2_table=40),
        FieldSettings(base_resolution=64, max_resolution=32),
    ):
        with pytest.raises(HumanRefError) as error:
            HashGridLayout.from_settings(settings)
        assert error.value.code == "field_settings_invalid"
