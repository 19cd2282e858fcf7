"""A job's log is bounded and loses nothing that matters."""

from __future__ import annotations

from backend.service.event_log import EventLog
from shared_protocol.messages import Notice, Progress


def test_long_job_is_thinned_out() -> None:
    log, dropped = EventLog(), set()
    log.add(Progress(stage="photo"))
    log.add(Notice(code="n", message="kept"))
    for step in range(20_000):
        event, gone = log.add(Progress(stage="optimization", step=step))
        assert event.seq == step + 3
        dropped.update(gone)
        assert len(log.events) <= 241
    numbers = [event.seq for event in log.events]
    assert numbers == sorted(set(numbers))
    assert dropped | set(numbers) == set(range(1, 20_003))
    assert not dropped & {1, 2, 20_002}
    assert log.progress == Progress(stage="optimization", step=19_999)


def test_since_gives_what_came_after() -> None:
    log = EventLog(seq=10)
    for step in range(5):
        log.add(Progress(stage="s", step=step))
    assert [event.seq for event in log.since(12)] == [13, 14, 15]
    assert log.since(15) == ()


def test_flood_of_notices_and_stages_is_bounded() -> None:
    log = EventLog()
    for n in range(1000):
        log.add(Notice(code="n", message=str(n)))
        log.add(Progress(stage=f"stage {n}"))
    assert len(log.events) <= 500
    assert log.seq == 2000
