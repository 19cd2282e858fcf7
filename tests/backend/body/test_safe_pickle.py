"""The restricted unpickler reads arrays of every protocol and runs nothing."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from backend.body.safe_pickle import load_pickle
from backend.errors import HumanRefError


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_scalars_and_containers_survive_every_protocol(protocol):
    data = OrderedDict(
        whole=np.arange(6, dtype=np.int64).reshape(2, 3),
        fortran=np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)),
        scalar=np.float32(1.5),
        empty=np.zeros((0, 3)),
        nested=[(1, "two", None), {"k": 2.5}],
    )
    loaded = load_pickle(pickle.dumps(data, protocol))
    assert list(loaded) == list(data)
    for key in ("whole", "fortran", "empty"):
        np.testing.assert_array_equal(loaded[key], data[key])
        assert loaded[key].dtype == data[key].dtype
    assert loaded["scalar"] == 1.5
    assert loaded["nested"] == data["nested"]


def test_a_pickle_written_by_python_2_is_read():
    # {'betas': numpy.array([1.0, 2.0])} as Python 2 with numpy 1 writes it (protocol 2).
    values = np.array([1.0, 2.0]).tobytes()
    data = (
        b"\x80\x02}U\x05betascnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10" + values + b"tbs."
    )
    np.testing.assert_array_equal(load_pickle(data)["betas"], [1.0, 2.0])


class _Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_refused_and_not_run(tmp_path, protocol):
    marker = tmp_path / "ran"
    with pytest.raises(HumanRefError) as raised:
        load_pickle(pickle.dumps({"betas": _Bomb(str(marker))}, protocol))
    assert raised.value.code == "parameters_unsafe"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (b"cchumpy.ch\nCh\n.", "chumpy"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n.", "torch"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "fromfile"),
        (b"cbuiltins\neval\n.", "eval"),
    ],
)
def test_refused_globals_are_named(code, word):
    with pytest.raises(HumanRefError, match=word) as raised:
        load_pickle(code)
    assert raised.value.code == "parameters_unsafe"
    assert raised.value.hint


def test_objects_cannot_hide_in_buffers():
    code = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\ntRS'12345678'\ntR."
    with pytest.raises(ValueError, match="pickle"):
        load_pickle(code)


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps({"a": np.ones(9)})[:-30]])
def test_damaged_files_are_value_errors(data):
    with pytest.raises(ValueError, match="pickle"):
        load_pickle(data)
