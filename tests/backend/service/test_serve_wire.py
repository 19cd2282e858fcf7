"""Greetings, blobs, limits and strangers."""

from __future__ import annotations

import time

import numpy as np
import pytest
import zmq
from service_harness import (
    PATIENCE,
    PHOTO,
    RawClient,
    RunningServer,
    greeted,
    options,
    running,
)
from zmq.utils.monitor import recv_monitor_message

from shared_protocol.codec import Envelope, decode, encode, new_id
from shared_protocol.errors import Error, ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import (
    Bye,
    Chunk,
    ChunkStored,
    FetchChunk,
    GrantPreview,
    JobList,
    ListJobs,
    Ping,
    Pong,
    Preview,
    PutChunk,
    Result,
)
from shared_protocol.packing import blob_ref


def test_welcome_says_what_there_is(server: RunningServer) -> None:
    with RawClient(server.connection) as client:
        welcome = client.hello()
        assert welcome.presets == ("draft", "standard", "paper")
        # The usual one first; VSD wants a Stable Diffusion.
        assert welcome.guidances == ("ref-sds", "mirror", "ref-sds-global", "sds", "none")
        assert welcome.memory_mb > 100
        end = time.monotonic() + PATIENCE
        while not client.ask(Ping(), Pong).ready:
            assert time.monotonic() < end
            time.sleep(0.02)
        welcome = client.hello()
        assert welcome.ready
        assert welcome.device == "cpu: a test"
        assert welcome.bodies[0].name == "anny_smplx55"


@pytest.mark.parametrize("token", ["", "wrong", "\u00fc" * 43])
def test_without_the_token_nobody_comes_in(server: RunningServer, token: str) -> None:
    with RawClient(server.connection) as client:
        with pytest.raises(ProtocolError) as refused:
            client.hello(token=token)
        assert refused.value.code == "not_allowed"
        with pytest.raises(ProtocolError) as refused:
            client.ask(ListJobs(), JobList)
        assert refused.value.code == "no_session"


def test_another_major_version_is_told(server: RunningServer) -> None:
    with RawClient(server.connection) as client:
        with pytest.raises(ProtocolError) as refused:
            client.hello(protocol="99.0")
        assert refused.value.code == "protocol_mismatch"


def test_message_on_the_wrong_line_is_malformed(client: RawClient) -> None:
    with pytest.raises(ProtocolError) as refused:
        client.ask(ListJobs(), JobList, line="data")
    assert refused.value.code == "malformed"
    fetch = FetchChunk(blob=blob_ref(b"x"), offset=0, length=1)
    with pytest.raises(ProtocolError) as refused:
        client.ask(fetch, Chunk)
    assert refused.value.code == "malformed"


def test_bye_ends_the_session_only(server: RunningServer) -> None:
    with greeted(server.connection) as client:
        job = client.submit("steps=30 pause=0.02")
        client.send(Bye())
        with pytest.raises(ProtocolError) as refused:
            client.ask(Ping(), Pong)
        assert refused.value.code == "no_session"
        client.hello(session=client.session)
        assert client.status(job).state in ("queued", "running")
        client.push(Result, job)


def test_garbage_is_answered_within_reason_and_harms_nobody(
    server: RunningServer, client: RawClient
) -> None:
    rng = np.random.default_rng(0)
    good = encode(Envelope(content=Ping(), session=client.session), Limits())
    with RawClient(server.connection) as stranger:
        for n in range(1000):
            frames = [bytes(frame) for frame in good]
            spoiled = bytearray(frames[1])
            spoiled[rng.integers(len(spoiled))] ^= int(rng.integers(1, 256))
            frames[1] = bytes(spoiled) if n % 3 else rng.bytes(50)
            frames += [rng.bytes(10)] * (n % 4)
            stranger.sockets["control" if n % 2 else "data"].send_multipart(frames)
        answers = 0
        while stranger.sockets["control"].poll(300):
            message = decode(stranger.sockets["control"].recv_multipart(), Limits())
            answers += isinstance(message.content, Error)
        assert 0 < answers < 300
    assert client.ask(Ping(), Pong).ready


def test_more_than_the_rate_is_refused(server: RunningServer) -> None:
    with greeted(server.connection) as client:
        for _ in range(400):
            client.send(Ping())
        codes = []
        while (message := client.receive(seconds=0.3)) is not None:
            if isinstance(message.content, Error):
                codes.append(message.content.code)
        assert set(codes) == {"rate_limited"}
        time.sleep(0.2)
        client.ask(Ping(), Pong)


def test_upload_is_resumed_and_checked(client: RawClient) -> None:
    data = bytes(np.random.default_rng(1).integers(0, 256, 3_000_000, dtype=np.uint8))
    blob = blob_ref(data)

    def put(offset: int, piece: bytes) -> int:
        array = {"data": np.frombuffer(piece, np.uint8)} if piece else {}
        told = PutChunk(blob=blob, offset=offset)
        return client.ask(told, ChunkStored, line="data", buffers=array).offset

    assert put(0, b"") == 0
    assert put(0, data[:1_000_000]) == 1_000_000
    # Doubled, early and asked-again pieces change nothing.
    assert put(0, data[:1_000_000]) == 1_000_000
    assert put(2_000_000, data[2_000_000:]) == 1_000_000
    assert put(0, b"") == 1_000_000
    assert put(1_000_000, data[1_000_000:]) == len(data)
    assert client.fetch(blob) == data
    wrong = blob_ref(b"something else")
    piece = {"data": np.frombuffer(b"not what it is", np.uint8)}
    with pytest.raises(ProtocolError) as refused:
        client.ask(PutChunk(blob=wrong, offset=0), ChunkStored, line="data", buffers=piece)
    assert refused.value.code == "blob_digest"
    assert client.ask(PutChunk(blob=wrong, offset=0), ChunkStored, line="data").offset == 0


def test_too_many_sessions_push_out_the_silent(tmp_path_factory: pytest.TempPathFactory) -> None:
    chosen = options(tmp_path_factory.mktemp("crowd"), max_sessions=3)
    with running(chosen) as server:
        crowd = [greeted(server.connection) for _ in range(3)]
        with RawClient(server.connection) as late:
            with pytest.raises(ProtocolError) as refused:
                late.hello()
            assert refused.value.code == "rate_limited"
        crowd[0].send(Bye())
        with pytest.raises(ProtocolError, match="session"):
            crowd[0].ask(Ping(), Pong)
        with greeted(server.connection) as late:
            assert late.ask(Ping(), Pong)
        for each in crowd:
            each.__exit__()


def test_client_that_reads_nothing_costs_little(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It asks for 3 MB pieces 300 times and takes none: what the server holds stays bounded."""
    import resource

    with running(options(tmp_path_factory.mktemp("slow"))) as server:
        with greeted(server.connection) as client, greeted(server.connection, hwm=1) as slow:
            blob = client.put(bytes(3_000_000))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            job = client.submit("steps=100 pause=0.002")
            for _ in range(300):
                slow.send(FetchChunk(blob=blob, offset=0, length=3_000_000), line="data")
                slow.send(GrantPreview(), line="data", job_id=job)
            client.push(Result, job)
            # Others are served meanwhile, on both lines.
            assert client.fetch(blob_ref(PHOTO)) == PHOTO
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 100 << 10, f"{grown >> 10} MiB"


def test_server_without_listeners_sends_no_previews(client: RawClient) -> None:
    job = client.submit("steps=5")
    client.push(Result, job)
    client.send(GrantPreview(), line="data", job_id=job)
    client.send(GrantPreview(), line="data", job_id=new_id())
    assert client.receive("data", 0.2) is None
    assert not any(isinstance(message.content, Preview) for message in client.pushed)


def test_frame_above_the_limit_only_costs_its_sender_the_line(
    server: RunningServer, client: RawClient
) -> None:
    with greeted(server.connection) as big:
        monitor = big.sockets["control"].get_monitor_socket()
        big.sockets["control"].send_multipart([b"HR1", bytes(80 << 20)], copy=False)
        events = set()
        while monitor.poll(2000) and zmq.EVENT_DISCONNECTED not in events:
            events.add(recv_monitor_message(monitor)["event"])
        big.sockets["control"].disable_monitor()
        monitor.close(0)
        assert zmq.EVENT_DISCONNECTED in events
    assert client.ask(Ping(), Pong).ready
