"""Jobs over the wire: made once, told in order, cancelled, listed, forgotten."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from attrs import evolve
from fake_runner import POSE
from service_harness import PHOTO, RawClient, RunningServer, greeted, options, running

from shared_protocol.codec import new_id
from shared_protocol.errors import JOB_UNKNOWN, ProtocolError
from shared_protocol.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Estimate,
    Forget,
    Forgotten,
    GrantPreview,
    JobList,
    JobStatus,
    ListJobs,
    Notice,
    Ping,
    Pong,
    PoseProposed,
    Preview,
    Progress,
    Result,
    Status,
    Submit,
)
from shared_protocol.packing import blob_ref


def test_estimate_proposes_a_pose_and_its_body_can_be_fetched(client: RawClient) -> None:
    job = client.estimate()
    proposed = client.push(PoseProposed, job).content
    assert proposed.pose == POSE
    assert client.fetch(proposed.body) == b"a body"
    assert client.status(job).pose == proposed


def test_submit_tells_numbers_and_delivers(client: RawClient) -> None:
    job = client.submit("steps=4")
    end = client.push(Result, job)
    told = [m for m in client.pushed if m.job_id == job]
    assert [m.seq for m in told] == list(range(1, len(told) + 1))
    assert [m.content.step for m in told if isinstance(m.content, Progress)] == [1, 2, 3, 4]
    assert isinstance(told[-1].content, Notice)
    assert end.seq == len(told) + 1
    assert client.fetch(end.content.files["run.json"]) == b"from 0 to 4"
    assert len(client.fetch(end.content.character)) > 3_000_000
    status = client.status(job, since_seq=3)
    assert (status.state, status.seq, status.result) == ("done", end.seq, end.content)
    assert [event.seq for event in status.events] == list(range(4, len(told) + 1))


def test_same_id_and_request_is_the_same_job(client: RawClient) -> None:
    job = client.submit("steps=2")
    client.push(Result, job)
    request = Submit(photo=blob_ref(PHOTO), photo_name="me.png", prompt="steps=2")
    assert client.ask(request, Accepted, job_id=job).state == "done"
    with pytest.raises(ProtocolError) as refused:
        client.ask(evolve(request, seed=1), Accepted, job_id=job)
    assert refused.value.code == "job_conflict"
    estimate = Estimate(photo=blob_ref(PHOTO), photo_name="me.png")
    with pytest.raises(ProtocolError, match="id"):
        client.ask(estimate, Accepted, job_id=job)


def test_submitted_twice_at_once_runs_once(client: RawClient) -> None:
    client.put(PHOTO)
    request, job = Submit(photo=blob_ref(PHOTO), photo_name="me.png", prompt="steps=2"), new_id()
    sent = {client.send(request, job_id=job) for _ in range(3)}
    replies = set()
    while replies != sent:
        message = client.receive()
        assert message is not None
        if isinstance(message.content, Accepted):
            replies.add(message.parent_id)
        else:
            client.pushed.append(message)
    client.push(Result, job)
    assert client.status(job).seq == 4


def test_cancel_has_four_outcomes_and_again_is_the_same(client: RawClient) -> None:
    running_job = client.submit("steps=1000 pause=0.02")
    client.until(running_job, "running", step=1)
    waiting_job = client.submit("steps=1")
    assert client.status(waiting_job).position == 0
    assert client.cancel(waiting_job) == "pending"
    assert client.cancel(waiting_job) == "terminal"
    assert client.cancel(running_job) == "running"
    assert client.cancel(running_job) in ("running", "terminal")
    assert client.push(JobStatus, running_job).content.state == "cancelled"
    assert client.cancel(running_job) == "terminal"
    assert client.cancel("nobody-made-this") == "unknown"
    assert client.status(waiting_job).state == "cancelled"
    assert client.status(running_job).state == "cancelled"


@pytest.mark.parametrize("everything", [False, True])
def test_forgotten_before_it_was_written_down(client: RawClient, everything: bool) -> None:
    job_id, photo = new_id(), client.put(PHOTO)
    # Both at once: the second is there before the disk has the first.
    client.send(Submit(photo=photo, photo_name="me.png"), job_id=job_id)
    gone = client.ask(Forget(), Forgotten, job_id="" if everything else job_id)
    assert gone.jobs >= 1
    with pytest.raises(ProtocolError) as refused:
        client.status(job_id)
    assert refused.value.code == JOB_UNKNOWN


def test_estimate_and_cancel_do_not_wait_for_a_character(client: RawClient) -> None:
    busy = client.submit("steps=1000 pause=0.05")
    client.until(busy, "running", step=1)
    client.push(PoseProposed, client.estimate())
    assert client.status(busy).state == "running"
    waits = []
    for _ in range(50):
        start = time.perf_counter()
        pong = client.ask(Ping(), Pong)
        waits.append(time.perf_counter() - start)
    assert pong.ready
    assert pong.running_jobs == 1
    assert np.median(waits) < 0.1
    client.cancel(busy)
    client.until(busy, "cancelled")


def test_job_without_its_photo_is_refused(client: RawClient) -> None:
    request = Submit(photo=blob_ref(b"never put"), photo_name="me.png")
    with pytest.raises(ProtocolError) as refused:
        client.ask(request, Accepted, job_id=new_id())
    assert refused.value.code == "blob_missing"
    assert refused.value.retryable


@pytest.mark.parametrize("job_id", ["", "short", "a" * 64 + "b"])
def test_job_ids_are_checked(client: RawClient, job_id: str) -> None:
    request = Submit(photo=client.put(PHOTO), photo_name="me.png")
    if len(job_id) > 64:
        with pytest.raises(ProtocolError):
            client.send(request, job_id=job_id)
        return
    with pytest.raises(ProtocolError) as refused:
        client.ask(request, Accepted, job_id=job_id)
    assert refused.value.code == "malformed"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"height_cm": 12.0}, "option_out_of_range"),
        ({"steps": 0}, "option_out_of_range"),
        ({"faces": 3}, "option_out_of_range"),
        ({"texture": 100_000}, "option_out_of_range"),
        ({"seed": -1}, "option_out_of_range"),
        ({"prompt": "x" * 2000}, "option_out_of_range"),
        ({"guidance": "magic"}, "guidance_unknown"),
        ({"guidance": "vsd"}, "guidance_unknown"),
        ({"guidance": "ref-sds", "preset": "paper"}, "prior_missing"),
        ({"body": "smplx"}, "smplx_missing"),
        ({"pose": evolve(POSE, model="smplx")}, "pose_other_body"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    client: RawClient, fields: dict[str, object], code: str
) -> None:
    request = Submit(**{"photo": client.put(PHOTO), "photo_name": "me.png", **fields})
    with pytest.raises(ProtocolError) as refused:
        client.ask(request, Accepted, job_id=new_id())
    assert refused.value.code == code
    assert refused.value.hint


def test_locks_need_a_pose(client: RawClient) -> None:
    with pytest.raises(ProtocolError) as refused:
        client.estimate(locked_joints=("left_elbow",))
    assert refused.value.code == "locked_without_pose"


def test_photo_name_is_only_shown(client: RawClient, server: RunningServer) -> None:
    job = client.submit("steps=1", photo_name="../../etc/pass\nwd\x07.png")
    client.push(Result, job)
    assert client.status(job).photo_name == "passwd.png"
    names = {path.name for path in server.options.data_dir.rglob("*")}
    assert not any("passwd" in name for name in names)
    assert "passwd" not in server.log_text()
    assert "steps" not in server.log_text()


def test_unfinished_jobs_are_limited(client: RawClient, server: RunningServer) -> None:
    most = server.options.limits.open_jobs
    jobs = [client.submit("steps=500 pause=0.02") for _ in range(most)]
    with pytest.raises(ProtocolError) as refused:
        client.submit()
    assert refused.value.code == "too_many_jobs"
    for job in reversed(jobs):
        client.cancel(job)
    client.until(jobs[0], "cancelled")
    client.push(Result, client.submit("steps=1"))


def test_list_is_newest_first_and_says_when_it_ends(
    client: RawClient, server: RunningServer
) -> None:
    client.ask(Forget(), Forgotten)
    jobs = [client.estimate(), client.submit("steps=7", preset="draft")]
    client.push(Result, jobs[1])
    listed = client.ask(ListJobs(), JobList).jobs
    assert [line.job_id for line in listed] == jobs[::-1]
    assert (listed[0].preset, listed[0].stage, listed[0].step) == ("draft", "counting", 7)
    lasts = listed[0].expires - time.time()
    assert lasts == pytest.approx(server.options.ttl_days * 86400, abs=60)


def test_forget_deletes_files_at_once(client: RawClient, server: RunningServer) -> None:
    client.ask(Forget(), Forgotten)
    kept = client.submit("steps=1")
    gone = client.submit("steps=2")
    result = client.push(Result, gone).content
    client.push(Result, kept)
    freed = client.ask(Forget(), Forgotten, job_id=gone)
    assert (freed.jobs, freed.bytes) == (1, result.character.size + len("from 0 to 2"))
    with pytest.raises(ProtocolError, match="does not have"):
        client.fetch(result.character)
    with pytest.raises(ProtocolError) as unknown:
        client.status(gone)
    assert unknown.value.code == "job_unknown"
    # The photo is the other job's too, and asking again is no error.
    assert client.ask(Forget(), Forgotten, job_id=gone).jobs == 0
    assert client.fetch(blob_ref(PHOTO)) == PHOTO
    client.put(b"an upload that no job used")
    assert client.ask(Forget(), Forgotten).jobs == 1
    assert [path for path in (server.options.data_dir / "blobs").rglob("*") if path.is_file()] == []
    assert list((server.options.data_dir / "jobs").iterdir()) == []


def test_what_a_worker_remembers_of_a_photo_goes_with_its_jobs(client: RawClient) -> None:
    def told() -> tuple[str, ...]:
        return client.push(PoseProposed, client.estimate()).content.fit.missing_joints

    client.ask(Forget(), Forgotten)
    assert told() == ()
    assert told() == ("remembered",)
    client.ask(Forget(), Forgotten)
    assert told() == ()


def test_forget_of_a_running_job_ends_it(client: RawClient, server: RunningServer) -> None:
    job = client.submit("steps=1000 pause=0.02 checkpoint")
    client.until(job, "running", step=1)
    assert client.ask(Forget(), Forgotten, job_id=job).jobs == 1
    assert list((server.options.data_dir / "jobs").iterdir()) == []
    client.push(Result, client.submit("steps=1"))


def test_previews_follow_credit_and_leave_known_faces_out(client: RawClient) -> None:
    job = client.submit("steps=400 pause=0.02")
    seen = []
    held = ""
    for _ in range(4):
        client.send(GrantPreview(topology=held), line="data", job_id=job)
        message = client.receive("data")
        assert message is not None
        assert isinstance(message.content, Preview)
        assert ("faces" in message.buffers) == (held != message.content.topology)
        assert message.buffers["vertices"].shape == (300, 3)
        held = message.content.topology
        seen.append(message.content.step)
        # Nothing comes without credit, however many meshes there are.
        assert client.receive("data", 0.1) is None
    assert seen == sorted(set(seen))
    client.cancel(job)
    client.until(job, "cancelled")


def test_two_clients_watch_one_job_and_one_leaves(server: RunningServer, client: RawClient) -> None:
    job = client.submit("steps=60 pause=0.02")
    with greeted(server.connection) as other:
        assert other.status(job).kind == "generate"
        other.push(Progress, job)
        gone = greeted(server.connection)
        gone.status(job)
        gone.vanish()
        first = client.push(Result, job)
        assert other.push(Result, job).content == first.content


def test_reconnected_session_goes_on(server: RunningServer) -> None:
    first = greeted(server.connection)
    job = first.submit("steps=50 pause=0.02")
    session = first.session
    first.vanish()
    with RawClient(server.connection) as second:
        assert second.hello(session=session).session == session
        # It still watches what it watched before.
        second.push(Result, job)


def test_old_jobs_expire(tmp_path_factory: pytest.TempPathFactory) -> None:
    chosen = options(tmp_path_factory.mktemp("old"))
    with running(chosen) as server, greeted(server.connection) as client:
        job = client.submit("steps=1")
        client.push(Result, job)
        client.put(b"never used")
    week_ago = time.time() - 8 * 86400
    blobs = [p for p in (chosen.data_dir / "blobs").rglob("*") if p.is_file()]
    for path in blobs:
        os.utime(path, (week_ago, week_ago))
    with running(chosen) as server, greeted(server.connection) as client:
        # Job blobs are as old as their job; what nobody needs goes by its own age.
        assert client.status(job).state == "done"
        assert client.fetch(blob_ref(PHOTO)) == PHOTO
        with pytest.raises(ProtocolError, match="does not have"):
            client.fetch(blob_ref(b"never used"))
    with running(options(chosen.data_dir.parent, ttl_days=1e-7)) as server:
        time.sleep(0.1)
        with greeted(server.connection) as client:
            assert client.ask(ListJobs(), JobList).jobs == ()
    assert [p for p in (chosen.data_dir / "blobs").rglob("*") if p.is_file()] == []


def test_cancel_needs_no_watching(client: RawClient) -> None:
    job = client.submit("steps=300 pause=0.02")
    client.ask(Status(watch=False), JobStatus, job_id=job)
    client.ask(Cancel(), Cancelled, job_id=job)
    client.pushed.clear()
    client.until(job, "cancelled")
