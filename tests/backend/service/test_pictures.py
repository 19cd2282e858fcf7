"""Pictures with more pixels than are allowed, found out by their headers."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from service_harness import greeted, options, running

from backend.service.pictures import check_pixels
from shared_protocol.codec import new_id
from shared_protocol.errors import ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import Accepted, Estimate, Maps, Submit
from shared_protocol.packing import blob_ref


def _png_of(width: int, height: int) -> bytes:
    """A few bytes that announce a picture of any size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def _picture(kind: str, width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pixels_are_read_from_the_header(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "photo"
    file.write_bytes(_picture(kind, 200, 150))
    check_pixels(file, 30_000)
    with pytest.raises(ProtocolError) as refused:
        check_pixels(file, 29_999)
    assert refused.value.code == "photo_too_large"


@pytest.mark.parametrize("side", [13_500, 20_000, 100_000])
def test_announced_pixels_cost_nothing(tmp_path: Path, side: int) -> None:
    file = tmp_path / "photo"
    file.write_bytes(_png_of(side, side))
    with pytest.raises(ProtocolError, match="180 million"):
        check_pixels(file, Limits().image_pixels)
    file.write_bytes(_png_of(10_000, 10_000))
    check_pixels(file, Limits().image_pixels)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", _picture("JPEG", 64, 64)[:40], _png_of(0, 5), b"RIFF\0\0\0\0WEBP"]
)
def test_what_is_no_picture_is_left_to_the_worker(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "photo"
    file.write_bytes(data)
    check_pixels(file, 1000)


def test_server_refuses_before_work_begins(tmp_path: Path) -> None:
    small = Limits(image_pixels=5000)
    with running(options(tmp_path, limits=small)) as server, greeted(server.connection) as client:
        good, large = client.put(_picture("PNG", 50, 50)), client.put(_picture("PNG", 100, 51))
        for request in (
            Estimate(photo=large, photo_name="x.png"),
            Submit(photo=large, photo_name="x.png"),
            Submit(photo=good, photo_name="x.png", maps=Maps(mask=large)),
        ):
            with pytest.raises(ProtocolError) as refused:
                client.ask(request, Accepted, job_id=new_id())
            assert refused.value.code == "photo_too_large"
        assert not server.server.dispatcher.jobs
        content = Estimate(photo=good, photo_name="x.png")
        assert client.ask(content, Accepted, job_id=new_id()).state in ("queued", "running")
        assert blob_ref(_picture("PNG", 50, 50)) == good
