import numpy as np
from humanref_addon.session.jobs import Job, JobBook
from humanref_addon.shared_protocol.client import events
from humanref_addon.shared_protocol.errors import Error
from humanref_addon.shared_protocol.messages import (
    Accepted,
    JobStatus,
    JobSummary,
    Notice,
    Progress,
)


def book(state: str = "sending") -> JobBook:
    made = JobBook()
    made.add(Job("j", "generate", "a.png", state=state, created=1.0))
    return made


def progress(**told: object) -> events.JobProgressed:
    return events.JobProgressed(job_id="j", progress=Progress(stage="optimization", **told))


def summary(job_id: str, state: str, created: float = 5.0) -> JobSummary:
    return JobSummary(
        job_id=job_id,
        kind="generate",
        state=state,
        photo_name="b.png",
        created=created,
        expires=9.0,
        preset="draft",
    )


def test_a_job_runs_through_its_states() -> None:
    jobs = book()
    jobs.apply(events.Transfer(job_id="j", direction="up", done=1, total=4))
    assert (jobs.get("j").state, jobs.get("j").stage, jobs.get("j").fraction) == (
        *("sending", "upload"),
        0.25,
    )
    jobs.apply(events.JobAccepted(job_id="j", accepted=Accepted(state="queued", position=2)))
    assert (jobs.get("j").state, jobs.get("j").position) == ("queued", 2)
    jobs.apply(progress(step=40, total=160, eta=12.0))
    assert (jobs.get("j").state, jobs.get("j").fraction, jobs.get("j").eta) == ("running", 0.25, 12)
    jobs.apply(events.JobNoticed(job_id="j", notice=Notice(code="x", message="Feet are cut off.")))
    jobs.apply(events.JobNoticed(job_id="j", notice=Notice(code="x", message="Feet are cut off.")))
    assert jobs.get("j").warnings == ("Feet are cut off.",)
    jobs.apply(events.Transfer(job_id="j", direction="down", done=2, total=2))
    assert jobs.get("j").state == "fetching"
    # Progress that was overtaken by the result does not take the job back.
    jobs.apply(progress(step=160, total=160))
    assert jobs.get("j").state == "fetching"


def test_cancel_has_four_outcomes() -> None:
    for outcome, state in {
        "running": "cancelling",
        "pending": "cancelled",
        "terminal": "running",
        "unknown": "cancelled",
    }.items():
        jobs = book("running")
        jobs.apply(events.JobCancelled(job_id="j", outcome=outcome))
        assert jobs.get("j").state == state
    jobs = book("cancelling")
    jobs.apply(progress(step=1, total=2))
    assert jobs.get("j").state == "cancelling"
    status = JobStatus(kind="generate", state="cancelled", photo_name="", created=0.0, seq=1)
    jobs.apply(events.JobEnded(job_id="j", status=status))
    assert not jobs.get("j").active


def test_a_failure_is_kept_in_words() -> None:
    jobs = book("running")
    error = Error(code="photo_unreadable", message="No picture.")
    jobs.apply(events.JobFailed(job_id="j", error=error))
    assert (jobs.get("j").state, jobs.get("j").problem) == ("failed", "No picture.")


def test_the_backends_list_is_the_truth_except_for_what_it_has_not_heard_of() -> None:
    jobs = book("running")
    jobs.add(Job("new", "generate", "c.png", state="sending", created=7.0))
    jobs.merge([summary("other", "done"), summary("old", "failed", created=2.0)])
    assert [job.job_id for job in jobs.all()] == ["new", "other", "old"]
    assert jobs.get("other").photo_name == "b.png"
    # A refresh must not undo what we know better.
    jobs.add(Job("other", "generate", "b.png", state="fetching"))
    jobs.add(Job("old", "generate", "b.png", state="cancelling"))
    jobs.merge([summary("other", "done"), summary("old", "running")])
    assert (jobs.get("other").state, jobs.get("old").state) == ("fetching", "cancelling")


def test_forgotten_jobs_are_gone_and_strangers_change_nothing() -> None:
    jobs = book("done")
    jobs.apply(events.JobFailed(job_id="stranger", error=Error(code="x", message="y")))
    assert len(jobs.all()) == 1
    jobs.apply(events.JobsForgotten(job_id="", jobs=1, bytes=3))
    assert jobs.all() == []


def test_a_preview_is_no_news_for_the_book() -> None:
    jobs = book("running")
    before = jobs.get("j")
    none = np.zeros((0, 3))
    jobs.apply(
        events.PreviewArrived(
            job_id="j",
            step=1,
            topology="t",
            vertices=none.astype(np.float32),
            faces=none.astype(np.int32),
            colors=none.astype(np.uint8),
        )
    )
    assert jobs.get("j") == before
