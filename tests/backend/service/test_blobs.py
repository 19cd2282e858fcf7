"""Blobs: whole or not there, each owner's apart, and no word of a client's becomes a path."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from backend.errors import HumanRefError
from backend.service.blobs import BlobStore
from shared_protocol.errors import ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import BlobRef
from shared_protocol.packing import blob_ref

DATA = bytes(range(256)) * 10


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty one."""
    return BlobStore(tmp_path / "blobs", Limits())


def _files(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_pieces_become_a_blob(store: BlobStore) -> None:
    blob = blob_ref(DATA)
    assert store.put("a", blob, 0, b"") == 0
    assert store.put("a", blob, 0, DATA[:1000]) == 1000
    with pytest.raises(ProtocolError, match="does not have"):
        store.path("a", blob)
    assert store.put("a", blob, 1000, memoryview(DATA)[1000:]) == len(DATA)
    assert store.put("a", blob, 0, b"") == len(DATA)
    assert store.path("a", blob).read_bytes() == DATA
    assert store.get("a", blob, 500, 100) == DATA[500:600]
    assert store.get("a", blob, len(DATA) - 5, 1 << 30) == DATA[-5:]
    assert store.get("a", blob, len(DATA), 10) == b""


def test_wrong_bytes_are_thrown_away(store: BlobStore, tmp_path: Path) -> None:
    blob = blob_ref(DATA)
    with pytest.raises(ProtocolError) as refused:
        store.put("a", blob, 0, DATA[::-1])
    assert refused.value.code == "blob_digest"
    assert _files(tmp_path) == []
    with pytest.raises(ProtocolError) as refused:
        store.put("a", blob, 0, DATA + b"more")
    assert refused.value.code == "malformed"


def test_what_another_owner_has_does_not_exist(store: BlobStore) -> None:
    blob = blob_ref(DATA)
    store.put("anna", blob, 0, DATA)
    # Neither by asking how much is there nor by reading.
    assert store.put("ben", blob, 0, b"") == 0
    with pytest.raises(ProtocolError) as refused:
        store.get("ben", blob, 0, 10)
    assert refused.value.code == "blob_missing"
    store.put("ben", blob, 0, DATA)
    assert store.delete("ben", blob.sha256) == len(DATA)
    assert store.get("anna", blob, 0, 3) == DATA[:3]


@pytest.mark.parametrize(
    "sha256", ["", "../" * 10 + "etc/passwd", "A" * 64, "a" * 63 + "/", "a" * 64 + "\n", "." * 64]
)
def test_digests_are_no_paths(store: BlobStore, tmp_path: Path, sha256: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        store.put("../../owner", BlobRef(sha256=sha256, size=3), 0, b"abc")
    assert refused.value.code == "malformed"
    assert _files(tmp_path) == []


@pytest.mark.parametrize("owner", ["../../somewhere", "local", "k" * 40, "", "a/b"])
def test_owners_are_no_paths(store: BlobStore, tmp_path: Path, owner: str) -> None:
    store.put(owner, blob_ref(DATA), 0, DATA)
    (file,) = _files(tmp_path)
    assert file.is_relative_to(tmp_path / "blobs")
    assert len(file.relative_to(tmp_path / "blobs").parts) == 3


@pytest.mark.parametrize("size", [0, -1, (256 << 20) + 1])
def test_sizes_are_limited(store: BlobStore, size: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        store.put("a", BlobRef(sha256="a" * 64, size=size), 0, b"")
    assert refused.value.code == "too_large"


def test_full_disk_keeps_the_pieces_before(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write that fails half-way leaves what was there, and the upload goes on later."""
    blob = blob_ref(DATA)
    store.put("a", blob, 0, DATA[:1000])
    plain = Path.open

    class Filling:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> Filling:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def write(self, data: bytes) -> None:
            self._file.write(bytes(data)[:300])
            self._file.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode="r": Filling(plain(path, mode)))
        with pytest.raises(HumanRefError) as refused:
            store.put("a", blob, 1000, DATA[1000:])
    assert (refused.value.code, refused.value.retryable) == ("disk_full", True)
    assert str(tmp_path) not in str(refused.value)
    assert store.put("a", blob, 0, b"") == 1000
    assert store.put("a", blob, 1000, DATA[1000:]) == len(DATA)


def test_sweep_takes_what_is_old_and_not_needed(store: BlobStore, tmp_path: Path) -> None:
    needed, old, young = (blob_ref(bytes([n]) * 100) for n in range(3))
    for n, blob in enumerate((needed, old, young)):
        store.put("a", blob, 0, bytes([n]) * 100)
    unfinished = blob_ref(DATA)
    store.put("a", unfinished, 0, DATA[:10])
    week_ago = time.time() - 7 * 86400
    for path in _files(tmp_path):
        if not path.name.startswith(young.sha256):
            os.utime(path, (week_ago, week_ago))
    assert store.sweep("a", {needed.sha256}, time.time() - 86400) == 110
    assert {path.name for path in _files(tmp_path)} == {needed.sha256, young.sha256}
    store.sweep_strangers({"b"}, time.time() - 86400)
    assert {path.name for path in _files(tmp_path)} == {young.sha256}
