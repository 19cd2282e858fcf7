"""The client's small parts: order of events, the inbox, waiting longer, keys."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
import zmq.auth

from shared_protocol.client.event_order import EventOrder
from shared_protocol.client.events import (
    Connected,
    Disconnected,
    JobAccepted,
    JobFailed,
    JobNoticed,
    JobProgressed,
    Transfer,
)
from shared_protocol.client.inbox import Inbox
from shared_protocol.client.keys import read_key_pair
from shared_protocol.client.reconnect import Backoff
from shared_protocol.errors import NOT_ALLOWED, Error, ProtocolError
from shared_protocol.messages import Accepted, Notice, Progress

ERROR = Error(code="x", message="X.")


@pytest.mark.parametrize("seed", range(20))
def test_every_order_and_any_loss_tells_each_notice_once_and_progress_forwards(seed: int) -> None:
    chance = random.Random(seed)
    kinds = {seq: chance.random() < 0.7 for seq in range(1, 60)}
    pushes = [seq for seq in kinds if chance.random() < 0.8] * 2
    pushes.sort(key=lambda seq: seq + chance.uniform(0, 12))
    order = EventOrder()
    told: list[int] = []

    def tell(seq: int) -> None:
        if order.tell(seq, progress=kinds[seq]):
            told.append(seq)

    for number, seq in enumerate(pushes):
        tell(seq)
        if number % 15 == 14 and order.gap:
            newest = chance.randint(seq, 59)
            since = order.seen
            order.begin_answer(newest)
            for each in range(since + 1, newest + 1):
                # Old progress is thinned out of the log; notices never are.
                if not kinds[each] or chance.random() < 0.5:
                    tell(each)
            order.end_answer(newest)
            assert order.seen >= newest
    since = order.seen
    order.begin_answer(59)
    for each in range(since + 1, 60):
        tell(each)
    order.end_answer(59)
    assert (order.seen, order.gap) == (59, False)
    notices = [seq for seq in told if not kinds[seq]]
    assert sorted(notices) == [seq for seq, progress in kinds.items() if not progress]
    shown = [seq for seq in told if kinds[seq]]
    assert shown == sorted(set(shown))


def test_a_backend_that_knows_less_after_a_restart_is_believed_once() -> None:
    order = EventOrder()
    for seq in range(1, 11):
        assert order.tell(seq, progress=True)
    order.restart()
    assert not order.tell(8, progress=True)
    order.begin_answer(7)
    order.end_answer(7)
    assert order.tell(8, progress=True)
    # A late answer of before changes nothing.
    order.begin_answer(3)
    order.end_answer(3)
    assert order.seen == 8


def test_the_inbox_keeps_the_newest_and_all_that_matters() -> None:
    inbox = Inbox()
    inbox.put(Disconnected(error=ERROR, retry_in=1.0))
    for step in range(1000):
        inbox.put(JobProgressed(job_id="a", progress=Progress(stage="s", step=step)))
        inbox.put(Transfer(job_id="a", direction="up", done=step, total=1000))
    for number in range(2000):
        notice = Notice(code=str(number), message="")
        inbox.put(JobNoticed(job_id="a", notice=notice))
    inbox.put(JobAccepted(job_id="a", accepted=Accepted(state="queued")))
    inbox.put(JobFailed(job_id="a", error=ERROR))
    inbox.put(JobFailed(job_id="b", error=ERROR))
    first = inbox.take(2)
    assert isinstance(first[0], Disconnected)
    assert first[1] == JobProgressed(job_id="a", progress=Progress(stage="s", step=999))
    rest = inbox.take()
    assert rest[0] == Transfer(job_id="a", direction="up", done=999, total=1000)
    notices = [event.notice.code for event in rest if isinstance(event, JobNoticed)]
    assert notices == [str(number) for number in range(2000 - 512, 2000)]
    assert [event.job_id for event in rest if isinstance(event, JobFailed)] == ["a", "b"]
    assert inbox.take() == []


def test_waiting_ends_with_an_event() -> None:
    inbox = Inbox()
    assert not inbox.wait(0.01)
    threading.Timer(0.1, inbox.put, [Disconnected(error=ERROR, retry_in=None)]).start()
    start = time.monotonic()
    assert inbox.wait(5.0)
    assert time.monotonic() - start < 2.0
    assert not any(isinstance(event, Connected) for event in inbox.take())


def test_waits_grow_to_the_longest_with_jitter_and_start_again() -> None:
    backoff = Backoff(0.5, 10.0, random.Random(1))
    waits = [backoff.next() for _ in range(5000)]
    for number, wait in enumerate(waits):
        whole = min(10.0, 0.5 * 2.0 ** min(number, 32))
        assert max(0.5, whole / 2) <= wait <= whole
    assert len(set(waits[10:])) > 4000
    backoff.reset()
    assert backoff.next() == 0.5


def test_keys_are_read_and_bad_ones_refused(tmp_path: Path) -> None:
    public, secret = zmq.auth.create_certificates(tmp_path, "me")
    pair = read_key_pair(Path(secret))
    assert zmq.curve_public(pair.secret) == pair.public
    assert pair.secret.decode() not in repr(pair)
    other = Path(zmq.auth.create_certificates(tmp_path, "other")[1])
    mixed = tmp_path / "mixed.key_secret"
    mixed.write_text(
        other.read_text().replace(
            zmq.auth.load_certificate(other)[0].decode(), pair.public.decode()
        )
    )
    (tmp_path / "text").write_text("hello")
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    for bad in (public, mixed, tmp_path / "text", tmp_path / "bytes", tmp_path, tmp_path / "none"):
        with pytest.raises(ProtocolError) as caught:
            read_key_pair(Path(bad))
        assert caught.value.code == NOT_ALLOWED
        assert caught.value.hint
