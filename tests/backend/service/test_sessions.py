"""Sessions, rates and credit, by the clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_runner import POSE
from service_harness import options

from backend.service.job_store import JobRecord
from backend.service.jobs import Job
from backend.service.post import Viewers
from backend.service.rates import TokenBucket
from backend.service.sessions import Sessions
from backend.service.worker_messages import PreviewMesh
from shared_protocol.errors import ProtocolError
from shared_protocol.messages import Submit
from shared_protocol.packing import blob_ref


def test_bucket_allows_its_rate_and_its_burst() -> None:
    bucket = TokenBucket(rate=10.0, burst=5.0, now=100.0)
    assert [bucket.take(100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert sum(bucket.take(100.0 + n / 1000) for n in range(1, 1001)) == 10
    assert sum(bucket.take(500.0) for _ in range(20)) == 5
    # A clock that goes back gives nothing away.
    assert not bucket.take(400.0)


def test_silent_sessions_end(tmp_path: Path) -> None:
    sessions = Sessions(options(tmp_path, session_silence=3600.0, max_sessions=2))
    first = sessions.open("local", "a", 0.0)
    second = sessions.open("local", "b", 0.0)
    assert first.id != second.id
    assert sessions.get(first.id, "local", 3000.0) is first
    assert sessions.get(first.id, "somebody else", 3000.0) is None
    assert sessions.expire(3700.0) == [second]
    assert sessions.get(second.id, "local", 3700.0) is None
    sessions.open("local", "c", 3701.0)
    with pytest.raises(ProtocolError) as refused:
        sessions.open("local", "d", 3002.0)
    assert refused.value.code == "rate_limited"
    sessions.open("local", "d", 3761.0)
    assert sessions.get(first.id, "local", 3762.0) is None
    assert len(sessions) == 2


def test_one_owner_cannot_take_all_sessions(tmp_path: Path) -> None:
    sessions = Sessions(options(tmp_path, max_sessions=6, max_sessions_of_owner=3))
    anna = [sessions.open("anna", "x", float(n)) for n in range(3)]
    with pytest.raises(ProtocolError) as refused:
        sessions.open("anna", "x", 3.0)
    assert refused.value.code == "rate_limited"
    ben = [sessions.open("ben", "x", 4.0) for _ in range(3)]
    # A silent one of her own makes room, though others were silent for longer.
    sessions.get(anna[0].id, "anna", 100.0)
    fourth = sessions.open("anna", "x", 101.0)
    assert sessions.all() == [anna[0], anna[2], *ben, fourth]


def test_greetings_have_a_rate_of_their_own_for_each_owner(tmp_path: Path) -> None:
    sessions = Sessions(options(tmp_path, greetings_per_second=10.0))
    assert [sessions.may_greet("anna", 0.0) for _ in range(61)] == [True] * 60 + [False]
    assert sessions.may_greet("ben", 0.0)
    assert sum(sessions.may_greet("anna", n / 64) for n in range(65)) == 10


class _Post:
    """Takes previews, or does not."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, str]] = []
        self.takes = True

    def preview(self, session: object, job: Job, mesh: PreviewMesh, held: str) -> bool:
        if self.takes:
            self.sent.append((session.id, mesh.step, held))  # type: ignore[attr-defined]
        return self.takes


def test_a_credit_brings_one_preview_and_the_newest(tmp_path: Path) -> None:
    sessions = Sessions(options(tmp_path))
    near, far = (sessions.open("local", name, 0.0) for name in ("near", "far"))
    post = _Post()
    viewers = Viewers.__new__(Viewers)
    viewers._sessions, viewers._post, viewers._newest = sessions, post, {}  # type: ignore[assignment]
    request = Submit(photo=blob_ref(b"x"), photo_name="x", pose=POSE)
    job = Job(JobRecord("uid", "local", "job", "generate", request, 0.0))

    def mesh(step: int) -> PreviewMesh:
        three = np.zeros((3, 3), np.float32)
        return PreviewMesh(step, "t", three, three.astype(np.uint8), three.astype(np.int32))

    viewers.shown(job, mesh(1))
    assert post.sent == []
    viewers.grant(near, job, "")
    viewers.grant(near, job, "t")
    viewers.grant(near, job, "t")
    assert post.sent == [(near.id, 1, "")]
    viewers.shown(job, mesh(2))
    viewers.shown(job, mesh(3))
    assert post.sent[1:] == [(near.id, 2, "t")]
    viewers.grant(far, job, "")
    assert post.sent[2:] == [(far.id, 3, "")]
    # A client that takes nothing keeps its credit for the next one.
    post.takes = False
    viewers.grant(near, job, "t")
    viewers.shown(job, mesh(4))
    post.takes = True
    viewers.shown(job, mesh(5))
    assert post.sent[3:] == [(near.id, 5, "t")]
