"""What one owner may take up on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from service_harness import greeted, options, running

from backend.service.blobs import BlobStore
from backend.service.quota import Quota
from shared_protocol.errors import ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import Accepted, BlobRef, Forget, Forgotten, Result, Submit
from shared_protocol.packing import blob_ref

KB = 1000


def _counted(store: BlobStore, owner: str) -> tuple[int, int]:
    """As it is kept in step, and as a fresh look at the disk finds it."""
    folder = store._folder(owner)
    return store._quota.used(folder), Quota(1).used(folder)


def _refused(store: BlobStore, owner: str, data: bytes) -> str:
    with pytest.raises(ProtocolError) as refused:
        store.put(owner, blob_ref(data), 0, data)
    return refused.value.code


def test_an_owner_has_a_share_and_no_more(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, Limits(), 1000 * KB)
    first, second, third = (bytes([n]) * 400 * KB for n in range(3))
    for data in (first, second):
        store.put("anna", blob_ref(data), 0, data)
        assert len(set(_counted(store, "anna"))) == 1
    assert _refused(store, "anna", third) == "quota"
    # What is there already costs nothing, and nobody else is concerned.
    assert store.put("anna", blob_ref(first), 0, first) == len(first)
    assert store.put("ben", blob_ref(third), 0, third) == len(third)
    store.check_quota("anna")
    store.delete("anna", blob_ref(first).sha256)
    assert store.put("anna", blob_ref(third), 0, third) == len(third)
    assert _counted(store, "anna") == (800 * KB, 800 * KB)


def test_what_is_announced_counts_before_it_is_there(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, Limits(), 1000 * KB)
    blobs = [BlobRef(sha256=f"{n:064x}", size=400 * KB) for n in range(3)]
    for blob in blobs[:2]:
        store.put("anna", blob, 0, b"a")
        assert store.put("anna", blob, 1, b"b") == 2
    assert _counted(store, "anna") == (800 * KB, 800 * KB)
    with pytest.raises(ProtocolError, match="are allowed"):
        store.put("anna", blobs[2], 0, b"a")
    again = BlobStore(tmp_path, Limits(), 1000 * KB)
    with pytest.raises(ProtocolError) as refused:
        again.put("anna", blobs[2], 0, b"a")
    assert refused.value.code == "quota"
    assert store.sweep("anna", set(), 1e12) > 0
    store.put("anna", blobs[2], 0, b"a")
    assert _counted(store, "anna") == (400 * KB, 400 * KB)


def test_wrong_bytes_give_their_room_back(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, Limits(), 1000 * KB)
    wrong = BlobRef(sha256="a" * 64, size=300 * KB)
    for _ in range(5):
        with pytest.raises(ProtocolError) as refused:
            store.put("anna", wrong, 0, bytes(300 * KB))
        assert refused.value.code == "blob_digest"
    assert _counted(store, "anna") == (0, 0)


def test_a_result_is_never_refused_but_counts(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", Limits(), 500 * KB)
    made = tmp_path / "made"
    for n in range(2):
        data = bytes([n]) * 400 * KB
        made.write_bytes(data)
        store.adopt("anna", blob_ref(data), made)
    assert _counted(store, "anna") == (800 * KB, 800 * KB)
    with pytest.raises(ProtocolError) as refused:
        store.check_quota("anna")
    assert refused.value.code == "quota"
    assert "GB" in refused.value.message


def test_many_tiny_files_are_not_free(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, Limits(), 1 << 20)
    for n in range(16):
        store.put("anna", blob_ref(b"%d" % n), 0, b"%d" % n)
    assert _refused(store, "anna", b"one more") == "quota"


def test_server_that_is_full_for_its_owner_delivers_and_takes_more_after_a_forget(
    tmp_path: Path,
) -> None:
    with running(options(tmp_path, quota_gb=0.003)) as server, greeted(server.connection) as client:
        job = client.submit("steps=1")
        # The result alone is larger than the share.
        assert client.push(Result, job).content.character.size > 3_000_000
        photo = blob_ref(b"a photo of a person" * 1000)
        for ask in (
            lambda: client.put(b"another"),
            lambda: client.ask(Submit(photo=photo, photo_name="x"), Accepted, job_id="j" * 9),
        ):
            with pytest.raises(ProtocolError) as refused:
                ask()
            assert (refused.value.code, refused.value.retryable) == ("quota", False)
        client.ask(Forget(), Forgotten, job_id=job)
        client.push(Result, client.submit("steps=1"))
