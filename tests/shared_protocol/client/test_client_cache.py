"""Blobs on the client's disk: whole or going on, bounded, shared between programs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shared_protocol.client.cache import BlobCache, PartialBlob
from shared_protocol.errors import BLOB_DIGEST, DISK_FULL, ProtocolError
from shared_protocol.packing import blob_ref

DATA = bytes(range(256)) * 100


def put(cache: BlobCache, data: bytes) -> Path:
    """Bring a whole blob in."""
    partial = cache.begin(blob_ref(data))
    partial.write(data)
    return partial.finish()


def test_a_blob_appears_whole_and_a_beginning_goes_on(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache", 1 << 20)
    ref = blob_ref(DATA)
    partial = cache.begin(ref)
    partial.write(DATA[:1000])
    assert cache.find(ref) is None
    partial.close()
    again = cache.begin(ref)
    assert again.offset == 1000
    again.write(DATA[1000:])
    path = again.finish()
    assert path.read_bytes() == DATA
    assert cache.find(ref) == path
    assert [each.name for each in path.parent.iterdir()] == [ref.sha256]


def test_all_goes_but_what_is_being_written(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache", 1 << 20)
    put(cache, DATA)
    for data in (DATA[1:], DATA[2:]):
        partial = cache.begin(blob_ref(data))
        partial.write(data[:1000])
        if data == DATA[1:]:
            partial.close()
    cache.clear()
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [
        f"{blob_ref(DATA[2:]).sha256}.part"
    ]
    partial.write(DATA[2:][1000:])
    assert partial.finish().read_bytes() == DATA[2:]


def test_wrong_bytes_are_thrown_away(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1 << 20)
    partial = cache.begin(blob_ref(DATA))
    partial.write(bytes(len(DATA)))
    with pytest.raises(ProtocolError) as caught:
        partial.finish()
    assert caught.value.code == BLOB_DIGEST
    assert partial.offset == 0
    partial.write(DATA)
    path = partial.finish()
    path.write_bytes(DATA[:-1] + b"?")
    assert cache.find(blob_ref(DATA)) is None
    assert not path.exists()


def test_a_beginning_longer_than_the_blob_starts_anew(tmp_path: Path) -> None:
    ref = blob_ref(DATA)
    (tmp_path / f"{ref.sha256}.part").write_bytes(DATA + b"more")
    assert BlobCache(tmp_path, 1 << 20).begin(ref).offset == 0


_OTHER_PROGRAM = """
import sys
from pathlib import Path
from shared_protocol.client.cache import BlobCache
from shared_protocol.messages import BlobRef
from shared_protocol.packing import blob_ref
partial = BlobCache(Path(sys.argv[1]), 1 << 20).begin(BlobRef(sha256=sys.argv[2], size=25600))
partial.write(b"?" * 500)
print("locked", flush=True)
sys.stdin.read()
"""


def test_two_programs_fetch_the_same_without_harm(tmp_path: Path) -> None:
    ref = blob_ref(DATA)
    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER_PROGRAM, tmp_path, ref.sha256],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"locked\n"
    cache = BlobCache(tmp_path, 1 << 20)
    partial = cache.begin(ref)
    assert partial.offset == 0
    partial.write(DATA)
    assert partial.finish().read_bytes() == DATA
    other.kill()
    other.communicate()
    # The other's beginning is free now, and was never ours.
    assert PartialBlob(tmp_path, ref).offset == 500


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = BlobCache(tmp_path, 1 << 20).begin(blob_ref(DATA))

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partial, "_file", Full())
    with pytest.raises(ProtocolError) as caught:
        partial.write(DATA)
    assert caught.value.code == DISK_FULL
    assert caught.value.retryable
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    with pytest.raises(ProtocolError) as unwritable:
        BlobCache(in_the_way, 1 << 20).begin(blob_ref(DATA))
    assert unwritable.value.code == "cache_unwritable"


def test_what_is_old_or_too_much_goes(tmp_path: Path) -> None:
    def aged(data: bytes, seconds: float) -> Path:
        path = put(BlobCache(tmp_path, 1 << 30), data)
        used = time.time() - seconds
        os.utime(path, (used, used))
        return path

    day = 86_400.0
    files: dict[str, Any] = {
        "ancient": aged(b"a" * 100, 40 * day),
        "old": aged(b"b" * 1000, 3 * day),
        "newer": aged(b"c" * 1000, 2 * day),
        "fresh": aged(b"d" * 5000, 1.0),
    }
    BlobCache(tmp_path, 10_000).prune()
    assert [name for name, path in files.items() if path.exists()] == ["old", "newer", "fresh"]
    BlobCache(tmp_path, 6500).prune()
    assert [name for name, path in files.items() if path.exists()] == ["newer", "fresh"]
    # What was used just now stays, however much it is: somebody is about to read it.
    BlobCache(tmp_path, 100).prune()
    assert [name for name, path in files.items() if path.exists()] == ["fresh"]
