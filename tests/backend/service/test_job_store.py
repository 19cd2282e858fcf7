"""The jobs on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runner import POSE

from backend.errors import HumanRefError
from backend.service.job_store import JobRecord, JobStore
from shared_protocol.errors import Error, ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import (
    BlobRef,
    Estimate,
    JobEvent,
    Maps,
    Notice,
    Progress,
    Result,
    Submit,
)

BLOB = BlobRef(sha256="a" * 64, size=7)
LAST_WORDS = """
import os, signal, sys
from pathlib import Path
from test_job_store import record
from backend.service.job_store import JobStore
from shared_protocol.limits import Limits
from shared_protocol.messages import JobEvent, Progress
store = JobStore(Path(sys.argv[1]), Limits())
for n in range(100):
    store.insert(record(f"job{n}"), {"a" * 64})
    store.log(f"job{n}", [JobEvent(seq=1, progress=Progress(stage="s", step=n))], [])
os.kill(os.getpid(), signal.SIGKILL)
"""


def record(uid: str, owner: str = "local", **changes: object) -> JobRecord:
    """A job."""
    request = Submit(photo=BLOB, photo_name="me.png", pose=POSE, maps=Maps(mask=BLOB), seed=3)
    plain = JobRecord(uid, owner, f"id-{uid}", "generate", request, created=1.5)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_everything_comes_back(tmp_path: Path) -> None:
    result = Result(character=BLOB, files={"run.json": BLOB}, faces=3, warnings=("careful",))
    estimate = Estimate(photo=BLOB, photo_name="x", initial=POSE, locked_joints=("neck",))
    jobs = [
        record("one"),
        record("two", created=2.0, state="done", ended=3.0, attempts=2, seq=9, outcome=result),
        record("three", created=3.0, state="failed", outcome=Error(code="c", message="m")),
        record("four", created=4.0, kind="estimate", request=estimate),
    ]
    events = [
        JobEvent(seq=1, progress=Progress(stage="s", step=1, total=2, losses={"rgb": 0.5})),
        JobEvent(seq=2, notice=Notice(code="n", message="careful")),
    ]
    store = JobStore(tmp_path / "jobs.sqlite", Limits())
    for job in jobs:
        store.insert(replace(job, outcome=None), {"a" * 64})
        store.update(job, {"b" * 64})
    store.log("two", events, [])
    store.log("two", [JobEvent(seq=3, notice=events[1].notice)], [2])
    store.close()
    again = JobStore(tmp_path / "jobs.sqlite", Limits())
    assert again.load() == jobs
    assert [event.seq for event in again.events("two")] == [1, 3]
    assert again.events("two")[0] == events[0]
    assert again.blobs("local") == {"a" * 64, "b" * 64}
    again.close()


def test_killed_writer_leaves_all_that_it_finished(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parents[2])])
    ended = subprocess.run(
        [sys.executable, "-c", LAST_WORDS, str(path)], env={**os.environ, "PYTHONPATH": paths}
    )
    assert ended.returncode == -signal.SIGKILL
    store = JobStore(path, Limits())
    assert len(store.load()) == 100
    assert store.events("job99")[0].progress == Progress(stage="s", step=99)
    store.close()


def test_deletion_names_what_nobody_else_needs(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite", Limits())
    store.insert(record("one"), {"a" * 64, "b" * 64})
    store.insert(record("two"), {"b" * 64})
    store.insert(record("three", owner="somebody else"), {"a" * 64})
    assert store.delete("one") == {"a" * 64}
    assert store.delete("one") == set()
    assert store.delete("two") == {"b" * 64}
    assert [job.uid for job in store.load()] == ["three"]
    store.close()


def test_words_of_deleted_jobs_are_gone_from_the_disk(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite", Limits())
    request = Submit(photo=BLOB, photo_name="grandmother.png", prompt="a secret dress")
    store.insert(record("one", request=request), set())
    store.delete("one")
    store.scrub()
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()
    assert b"grandmother" not in on_disk
    assert b"secret dress" not in on_disk


def test_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = JobStore(path, Limits())
    store.insert(record("one"), set())
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    long = Submit(photo=BLOB, photo_name="me.png", prompt="x" * 9000)
    with pytest.raises(HumanRefError) as refused:
        store.insert(record("two", request=long), set())
    assert (refused.value.code, refused.value.retryable) == ("disk_full", True)
    assert [job.uid for job in store.load()] == ["one"]
    store._db.execute("PRAGMA max_page_count=1000000")
    store.insert(record("two", request=long), set())
    assert len(store.load()) == 2
    store.close()


def test_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = JobStore(path, Limits())
    store._db.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(HumanRefError) as refused:
        JobStore(path, Limits())
    assert refused.value.code == "store_unreadable"


def test_what_a_newer_version_wrote_stays_and_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = JobStore(path, Limits())
    for uid in ("old", "new"):
        store.insert(record(uid), set())
        store.log(uid, [JobEvent(seq=1, progress=Progress(stage="s"))], [])
    store._db.execute("UPDATE jobs SET request=x'80' WHERE uid='new'")
    store._db.execute("UPDATE events SET event=x'c1'")
    assert [job.uid for job in store.load()] == ["old"]
    assert store.events("old") == []
    store.close()


@pytest.mark.parametrize("table", ["jobs", "events", "job_blobs"])
def test_store_that_breaks_is_one_sentence(tmp_path: Path, table: str) -> None:
    store = JobStore(tmp_path / "jobs.sqlite", Limits())
    store.insert(record("one"), set())
    store._db.execute(f"DROP TABLE {table}")
    ask = {
        "jobs": store.load,
        "events": lambda: store.events("one"),
        "job_blobs": lambda: store.blobs("local"),
    }
    for call in (ask[table], store.scrub):
        with pytest.raises(HumanRefError) as refused:
            call()
        assert refused.value.code == "store_unreadable"
        store.close()


def test_number_that_could_not_be_read_again_is_refused(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite", Limits())
    store.insert(record("one"), set())
    with pytest.raises(ProtocolError):
        store.log("one", [JobEvent(seq=1, progress=Progress(stage="s", eta=float("nan")))], [])
    with pytest.raises(ProtocolError):
        store.update(record("one", outcome=Result(character=BLOB, seconds=float("inf"))))
    assert store.load() == [record("one")]
    store.close()
