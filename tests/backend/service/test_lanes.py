"""Work on another thread whose answer comes back to the loop."""

from __future__ import annotations

import select
import threading

from backend.service.lanes import Failure, Lane, Mailbox


def _drain_one(mailbox: Mailbox) -> None:
    assert select.select([mailbox.fileno()], [], [], 5)[0], "nothing woke the loop"
    mailbox.drain()


def test_work_is_done_in_order_elsewhere_and_answered_here() -> None:
    errors: list[Exception] = []
    mailbox = Mailbox(errors.append)
    lane = Lane("test", mailbox)
    order: list[object] = []
    threads = set()

    def work(n: int) -> int:
        threads.add(threading.current_thread())
        if n == 2:
            raise OSError("full")
        return n

    def done(answer: int | Failure) -> None:
        threads.add(threading.current_thread())
        order.append(type(answer.error) if isinstance(answer, Failure) else answer)

    for n in range(4):
        lane.do(lambda n=n: work(n), done)  # type: ignore[misc]
    while len(order) < 4:
        _drain_one(mailbox)
    assert order == [0, 1, OSError, 3]
    assert len(threads) == 2
    assert errors == []
    lane.close()
    mailbox.close()


def test_call_that_fails_is_told_and_the_next_is_made() -> None:
    errors: list[Exception] = []
    mailbox, made = Mailbox(errors.append), []
    mailbox.post(lambda: made.append(1 // 0))
    mailbox.post(lambda: made.append(2))
    _drain_one(mailbox)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert made == [2]
    # Nothing is left that would wake the loop again.
    assert not select.select([mailbox.fileno()], [], [], 0)[0]
    mailbox.close()


def test_posting_after_the_end_harms_nobody() -> None:
    mailbox = Mailbox(lambda error: None)
    mailbox.close()
    mailbox.post(lambda: None)
