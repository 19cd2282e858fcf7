"""Peers of other versions at a real server: another minor works, another major is told so and parts."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from service_harness import PHOTO, RawClient, RunningServer, greeted, options, running

from shared_protocol.arrays import digest
from shared_protocol.client.client import BackendClient
from shared_protocol.client.events import Connected
from shared_protocol.codec import Envelope, encode, new_id
from shared_protocol.errors import Error, ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import (
    Accepted,
    ChunkStored,
    Content,
    Hello,
    Ping,
    Pong,
    PutChunk,
    Result,
    Submit,
    Welcome,
)
from shared_protocol.packing import blob_ref
from shared_protocol.version import MAJOR, MINOR, PROTOCOL

LATER = f"{MAJOR}.{MINOR + 7}"


def _tell(
    client: RawClient, content: Content, *, line: str = "control", head: bytes = b"", **more: Any
) -> Envelope:
    """Say it as a client of a later minor would: with fields and an array that nobody here knows."""
    type_ = more.pop("type", "")
    session = more.pop("session", client.session)
    asked = Envelope(content=content, session=session, **more)
    frames = [bytes(frame) for frame in encode(asked, Limits())]
    tree = msgpack.unpackb(frames[1])
    tree["priority"] = {"of": ["a", "later", "minor"]}
    tree["type"] = type_ or tree["type"]
    tree["content"]["mood"] = "sunny"
    for value in tree["content"].values():
        if isinstance(value, dict):
            value["shade"] = 3
    extra = b"\0\1\2"
    tree["buffers"].append(
        {"name": "later", "dtype": "uint8", "shape": [3], "length": 3, "digest": digest(extra)}
    )
    client.sockets[line].send_multipart(
        [head or frames[0], msgpack.packb(tree), *frames[2:], extra]
    )
    while (message := client.receive(line)) is not None:
        if message.parent_id in (asked.msg_id, ""):
            return message
        client.pushed.append(message)
    raise AssertionError("no reply")


def _hello(protocol: str, token: str, session: str = "") -> Hello:
    return Hello(client="test", client_version="1", protocol=protocol, token=token, session=session)


def test_client_of_a_later_minor_is_served(server: RunningServer) -> None:
    with RawClient(server.connection) as client:
        token = server.connection.token
        welcome = _tell(client, _hello(LATER, token)).content
        assert isinstance(welcome, Welcome)
        assert welcome.protocol == PROTOCOL
        client.session = welcome.session
        assert isinstance(
            _tell(client, _hello(LATER, token, client.session), line="data").content, Welcome
        )
        photo = blob_ref(PHOTO)
        data = {"data": np.frombuffer(PHOTO, np.uint8)}
        told = _tell(client, PutChunk(blob=photo, offset=0), line="data", buffers=data).content
        assert told == ChunkStored(blob=photo, offset=len(PHOTO))
        job = new_id()
        content = Submit(photo=photo, photo_name="me.png", prompt="steps=2")
        assert isinstance(_tell(client, content, job_id=job).content, Accepted)
        result = client.push(Result, job).content
        assert client.fetch(result.files["run.json"]) == b"from 0 to 2"
        # A type of that minor is refused by name, and nothing else suffers.
        error = _tell(client, Ping(), type="dance").content
        assert isinstance(error, Error)
        assert error.code == "unknown_type"
        assert "'dance'" in error.message
        assert isinstance(_tell(client, Ping()).content, Pong)


def test_clients_of_this_minor_work_with_a_later_server(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("reception", "server"):
        monkeypatch.setattr(f"backend.service.{module}.PROTOCOL", LATER)
    with running(options(tmp_path)) as server:
        assert server.connection.protocol == LATER
        with greeted(server.connection) as client:
            assert client.hello().protocol == LATER
            client.push(Result, client.submit("steps=2"))
        real = BackendClient(
            server.connection, client="test", client_version="1", cache_dir=tmp_path / "cache"
        ).start()
        try:
            events: list[Any] = []
            while not any(isinstance(event, Connected) for event in events):
                assert real.wait(5.0)
                events += real.poll()
        finally:
            assert real.close()


@pytest.mark.parametrize("theirs", [f"{MAJOR + 1}.0", f"{MAJOR - 1}.9"])
def test_another_major_is_refused_with_one_sentence(server: RunningServer, theirs: str) -> None:
    with RawClient(server.connection) as client, greeted(server.connection) as other:
        # By the first frame, after which nothing may be read, and by the greeting's own word.
        unread = _tell(client, Ping(), head=b"HR" + theirs.split(".")[0].encode()).content
        with pytest.raises(ProtocolError) as refused:
            client.hello(protocol=theirs)
        assert isinstance(unread, Error)
        for error, said in ((unread, theirs.split(".")[0]), (refused.value, theirs)):
            assert error.code == "protocol_mismatch"
            sentence = f"The other side speaks protocol '{said}', this side {PROTOCOL}."
            assert error.message == sentence
            assert not error.retryable
        assert client.session == ""
        assert other.ask(Ping(), Pong)
