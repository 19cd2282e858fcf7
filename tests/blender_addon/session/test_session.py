"""What a session does with what comes in, and what it says when something is wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from humanref_addon.session.jobs import Job
from humanref_addon.session.options import BackendOptions
from humanref_addon.session.problem import ProblemError
from humanref_addon.session.session import TICK_BUDGET
from humanref_addon.shared_protocol.client import events
from humanref_addon.shared_protocol.connection import write_connection
from humanref_addon.shared_protocol.errors import PROTOCOL_MISMATCH, Error
from humanref_addon.shared_protocol.messages import Accepted, JobStatus
from session_world import WELCOME, World, preview, result, running


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_it_attaches_by_itself_and_takes_up_what_the_scenes_wait_for(world: World) -> None:
    world.scene.waiting = [Job("old", "generate", "a.png", state="queued")]
    world.session.tick()
    assert world.session.link.state == "off"
    world.clock.now = 2
    world.connected()
    assert world.session.link.welcome == WELCOME
    assert world.client.asked == [("start",), ("watch", "old"), ("list_jobs",)]
    assert world.session.book.get("old") is not None


def test_what_was_disconnected_on_purpose_stays_so(world: World) -> None:
    world.connected().session.disconnect()
    assert world.client.asked[-1] == ("close",)
    world.clock.now = 60
    world.session.tick()
    assert world.session.link.state == "off"
    with pytest.raises(ProblemError) as caught:
        world.session.client()
    assert caught.value.problem.code == "not_connected"


def test_a_lost_line_is_said_and_comes_back(world: World) -> None:
    world.connected()
    gone = Error(code="no_backend", message="The backend is silent.")
    world.tell(events.Disconnected(error=gone, retry_in=0.5))
    assert (world.session.link.state, world.session.link.detail) == (
        *("lost", "The backend is silent."),
    )
    assert world.session.problem is None
    world.tell(events.Connected(welcome=WELCOME))
    assert world.session.link.connected


def test_a_refusal_is_one_clear_problem(world: World) -> None:
    world.connected()
    words = "This add-on speaks protocol 1.0, the backend 2.0."
    mismatch = Error(code=PROTOCOL_MISMATCH, message=words, hint="Update.")
    world.tell(events.Disconnected(error=mismatch, retry_in=None))
    assert world.session.link.state == "refused"
    assert world.session.problem.message == words


def test_after_a_refusal_one_can_try_again(world: World) -> None:
    world.connected()
    key = Error(code="not_allowed", message="The key is not on the list.")
    world.tell(events.Disconnected(error=key, retry_in=None))
    world.session.start_backend()
    assert world.session.link.state == "connecting"
    assert world.client.asked[-2:] == [("close",), ("start",)]


def test_trying_again_takes_the_old_problem_away(world: World) -> None:
    world.connected().session.book.add(running())
    world.tell(events.JobFailed(job_id="j", error=Error(code="x", message="y")))
    assert world.session.problem is not None
    world.session.request(running("again"), lambda client: None)
    assert world.session.problem is None


def test_only_the_newest_preview_is_shown_in_a_tick(world: World) -> None:
    world.connected().session.book.add(running())
    world.tell(preview("j", 10), preview("j", 20), preview("j", 30))
    assert world.scene.done == [("preview", "j", "30")]


def test_a_preview_after_the_end_leaves_no_stray_mesh(world: World) -> None:
    world.connected().session.book.add(running())
    status = JobStatus(kind="generate", state="cancelled", photo_name="", created=0.0, seq=1)
    world.tell(events.JobEnded(job_id="j", status=status), preview("j", 30))
    world.tell(preview("stranger", 1))
    assert world.scene.done == [("end", "j")]


def test_a_tick_begins_nothing_new_after_its_budget(world: World) -> None:
    world.connected()
    jobs = [running(f"j{k}") for k in range(10)]
    for job in jobs:
        world.session.book.add(job)
    took = 0.6 * TICK_BUDGET

    class Slow(list):
        def popleft(self) -> Any:
            world.clock.now += took
            return self.pop(0)

    world.session._events = Slow()
    failed = [
        events.JobFailed(job_id=job.job_id, error=Error(code="x", message="y")) for job in jobs
    ]
    world.tell(*failed)
    assert len(world.scene.done) == 2
    for _ in range(4):
        world.session.tick()
    assert len(world.scene.done) == 10


def test_a_result_waits_until_the_scene_is_ready(world: World) -> None:
    world.connected().session.book.add(running())
    world.scene.blocked = "in the middle of something"
    world.tell(result())
    world.session.tick()
    assert world.scene.done == []
    assert world.session.waiting == "in the middle of something"
    assert world.session.book.get("j").state == "done"
    world.scene.blocked = ""
    world.session.tick()
    assert world.scene.done == [("result", "j")]
    assert world.session.waiting == ""
    world.session.tick()
    assert len(world.scene.done) == 1


def test_a_result_that_does_not_fit_is_a_problem_once(world: World) -> None:
    world.connected().session.book.add(running())
    world.scene.broken = True
    world.tell(result())
    assert world.session.problem.code == "character_invalid"
    world.session.dismiss_problem()
    world.session.tick()
    assert world.session.problem is None


def test_a_failed_job_cleans_up_and_says_why(world: World) -> None:
    world.connected().session.book.add(running())
    error = Error(code="out_of_memory", message="There is not enough memory.", hint="Draft.")
    world.tell(events.JobFailed(job_id="j", error=error))
    assert world.scene.done == [("end", "j")]
    assert (world.session.problem.code, world.session.problem.job_id) == ("out_of_memory", "j")


def test_cancel_shows_at_once_and_a_refused_request_makes_no_job(world: World) -> None:
    with pytest.raises(ProblemError):
        world.session.request(running("never"), lambda client: None)
    assert world.session.book.get("never") is None
    world.connected().session.book.add(running())
    world.session.cancel("j")
    assert world.session.book.get("j").state == "cancelling"
    assert ("cancel", "j") in world.client.asked


def test_jobs_of_another_blender_are_looked_at(world: World) -> None:
    world.connected()
    world.session.request(running("mine"), lambda client: None)
    accepted = Accepted(state="queued")
    world.tell(events.JobAccepted(job_id="mine", accepted=accepted), events.JobsListed(jobs=()))
    assert world.session.book.get("mine") is None
    theirs = events.JobsListed(jobs=(*(summary("other", "running"), summary("finished", "done")),))
    world.tell(theirs)
    # Looked at every two seconds, not followed: the result is the other Blender's.
    assert not [asked for asked in world.client.asked if asked[0] == "watch"]
    before = world.client.asked.count(("list_jobs",))
    world.session.tick()
    world.clock.now += 2.5
    world.session.tick()
    world.session.tick()
    assert world.client.asked.count(("list_jobs",)) == before + 1


def summary(job_id: str, state: str) -> Any:
    from humanref_addon.shared_protocol.messages import JobSummary

    return JobSummary(
        job_id=job_id, kind="generate", state=state, photo_name="", created=0.0, expires=0.0
    )


def test_a_backend_that_is_not_there_is_said_on_start(world: World, tmp_path: Path) -> None:
    world.options = BackendOptions(
        connection_file=world.options.file, command=str(tmp_path / "none")
    )
    with pytest.raises(ProblemError) as caught:
        world.session.start_backend()
    assert caught.value.problem.code == "backend_not_found"


def test_start_attaches_to_a_backend_that_runs(world: World) -> None:
    write_connection(world.options.file, world.connection)
    world.session.start_backend()
    assert world.session.link.state == "connecting"
    assert world.client.asked == [("start",)]


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a first line")
def test_start_at_one_that_is_just_dying_starts_anew(world: World, tmp_path: Path) -> None:
    started = tmp_path / "started"
    command = tmp_path / "humanref"
    command.write_text(f"#!{sys.executable}\nopen({str(started)!r}, 'w').close()\n", "utf-8")
    command.chmod(0o700)
    world.options = BackendOptions(connection_file=world.options.file, command=str(command))
    dying = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_connection(world.options.file, evolve(world.connection, pid=dying.pid))
    world.session.start_backend()
    assert world.session.link.state == "connecting"

    gone = events.Disconnected(error=Error(code="no_backend", message="gone"), retry_in=0.5)
    world.tell(gone)
    assert world.session.link.state == "lost"
    dying.kill()
    dying.wait()
    world.session.tick()
    assert world.session.link.state == "starting"
    world.keeper.process._process.wait(20)  # type: ignore[union-attr]
    assert started.exists()


def arrived(world: World, count: int) -> list[str]:
    names = [f"j{k}" for k in range(count)]
    for name in names:
        world.session.book.add(running(name))
    world.tell(*map(result, names))
    return names


def test_more_results_than_can_wait_are_fetched_again(world: World) -> None:
    world.connected().scene.blocked = "in the middle of something"
    names = arrived(world, 7)
    assert not [asked for asked in world.client.asked if asked[0] == "fetch_result"]
    world.scene.blocked = ""
    for _ in range(20):
        world.session.tick()
        again = [asked[1] for asked in world.client.asked if asked[0] == "fetch_result"]
        world.client.asked = [asked for asked in world.client.asked if asked[0] != "fetch_result"]
        world.client.events += map(result, again)
    assert sorted(name for _, name in world.scene.done) == names


def test_a_full_queue_of_another_scene_holds_nobody_up(world: World) -> None:
    world.connected().scene.blocked_jobs = {"j0", "j1", "j2", "j3"}
    arrived(world, 5)
    world.session.tick()
    assert world.scene.done == [("result", "j4")]
    assert world.session.waiting == "elsewhere"
    # Deleted by the artist: nothing waits for it, and nothing is asked for.
    world.tell(events.JobsForgotten(job_id="", jobs=5, bytes=1))
    world.scene.blocked_jobs = set()
    world.session.tick()
    assert world.scene.done == [("result", "j4")]
    assert world.session.waiting == ""


@pytest.mark.parametrize(
    ("told", "stays"),
    [
        ([("other", "running")], True),
        ([("other", "queued"), ("mine", "done")], True),
        ([("mine", "done")], False),
        ([], False),
        (None, True),
    ],
)
def test_quitting_asks_whether_somebody_else_has_jobs(
    world: World, told: list[tuple[str, str]] | None, stays: bool
) -> None:
    left: list[bool] = []
    world.connected()
    world.keeper.owns = lambda _options: True
    world.keeper.leave = lambda _options, busy: left.append(busy)
    if told is not None:
        jobs = tuple(summary(*line) for line in told)
        world.client.on_list = [events.JobsListed(jobs=jobs)]
    world.session.close()
    assert left == [stays]
    assert world.client.asked[-1] == ("close",)
