"""Is the backend there at once, whatever it computes, and does it leave the computer alone when idle?

    python benchmarks/service.py [--quick] [--json FILE] [--photo examples/photo.png]

Starts a server of its own and measures, as Blender would see it: the wait for a pose and its body, the
wait for the first mesh after Generate (draft and standard), the round trip of a control message while a
character is fitted, what a preview of 50,000 vertices costs on its way, CPU time when idle, and the
memory that a client who never reads makes the server keep. ``--quick`` measures less often, and standard
not at all. Exit code 1 when a target is missed. Other programs on the same cores make every number worse;
the load is reported.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from cpu import Target, print_targets
from rich.console import Console
from service_peers import RawPeer, ServerProcess, Watcher

from shared_protocol.client.client import new_job_id
from shared_protocol.client.events import JobCancelled, PoseArrived, PreviewArrived, ResultArrived
from shared_protocol.codec import Envelope, decode, encode
from shared_protocol.limits import Limits
from shared_protocol.messages import (
    BlobRef,
    Cancel,
    FetchChunk,
    GrantPreview,
    Ping,
    PoseProposed,
    Preview,
    Status,
)

ROUND_TRIP_MS = 100.0
PREVIEW_MS = 30.0
POSE_SECONDS = 4.0
FIRST_MESH_SECONDS = 8.0
IDLE_PERCENT = 1.0
SLOW_CLIENT_MB = 32.0
"""Three chunks of 4 MiB may wait for a client, and a few results pass through: far below this."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def preview_milliseconds(vertices: int, repeat: int) -> dict[str, float]:
    """Encode, loopback TCP and decode of a preview, median, with and without its faces."""
    random = np.random.default_rng(0)
    buffers = {
        "vertices": random.normal(size=(vertices, 3)).astype(np.float32),
        "colors": random.integers(0, 256, (vertices, 3), dtype=np.uint8),
        "faces": random.integers(0, vertices, (2 * vertices, 3), dtype=np.int32),
    }
    context = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    try:
        dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        dealer.send(b"")
        route = router.recv_multipart()[0]

        def once(sent: Mapping[str, np.ndarray]) -> float:
            content = Preview(step=1, topology="t", vertex_count=vertices, face_count=2 * vertices)
            start = time.perf_counter()
            frames = encode(Envelope(content=content, job_id="j", seq=0, buffers=sent), Limits())
            router.send_multipart([route, *frames], copy=False)
            received = [frame.buffer for frame in dealer.recv_multipart(copy=False)]
            decoded = decode(received, Limits())
            seconds = time.perf_counter() - start
            assert decoded.buffers["vertices"].shape == (vertices, 3)
            return 1000.0 * seconds

        same = {name: buffers[name] for name in ("vertices", "colors")}
        return {
            "with_faces": statistics.median(once(buffers) for _ in range(repeat)),
            "same_topology": statistics.median(once(same) for _ in range(repeat)),
        }
    finally:
        context.destroy(linger=0)


class Photos:
    """The same picture every time, but never the same file: no worker has looked at it before."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._number = 0

    def next(self) -> bytes:
        """A new one. Bytes behind a picture's end are no part of it."""
        self._number += 1
        return self._data + bytes(self._number)


class RoundTrips:
    """Asks all the time, on a thread of its own: how long does a control message take?"""

    def __init__(self, connection_file: Path, job_id: str) -> None:
        self.milliseconds: list[float] = []
        self._peer = RawPeer(connection_file, "control")
        self._job_id = job_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> RoundTrips:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._peer.close()

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(0.05):
            # Heartbeat, status and a cancel that hits nothing, in turn.
            content, job_id = (
                (Ping(), ""),
                (Status(since_seq=0, watch=False), self._job_id),
                (Cancel(), "nobody-has-this-job"),
            )[turn % 3]
            turn += 1
            start = time.perf_counter()
            self._peer.ask(content, job_id)
            self.milliseconds.append(1000.0 * (time.perf_counter() - start))


class SlowClient:
    """Asks for everything and reads nothing."""

    def __init__(self, connection_file: Path, job_id: str) -> None:
        self._control = RawPeer(connection_file, "control")
        self._data = RawPeer(connection_file, "data", self._control.session)
        self._job_id = job_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.asked = 0

    def __enter__(self) -> SlowClient:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._control.close()
        self._data.close()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self.asked += 2
            self._control.send(Status(since_seq=0), self._job_id)
            self._data.send(GrantPreview(), self._job_id)

    def fetch(self, blob: BlobRef, times: int) -> None:
        """Ask for a result again and again."""
        for number in range(times):
            offset = (number << 20) % max(1, blob.size)
            length = min(1 << 20, blob.size - offset)
            self._data.send(FetchChunk(blob=blob, offset=offset, length=length))
            self.asked += 1
            time.sleep(0.005)


def measure(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Everything that needs a server; see the module text."""
    numbers: dict[str, Any] = {}
    photos = Photos(args.photo)
    with tempfile.TemporaryDirectory(prefix="humanref-bench-") as name:
        folder = Path(name)
        console.print("Starting a server ...")
        start = time.monotonic()
        with ServerProcess(folder) as server:
            watcher = Watcher(server, folder / "cache")
            try:
                watcher.until_warm()
                numbers["start_to_warm_s"] = time.monotonic() - start
                # Once uncounted: kernels are compiled, files are read for the first time.
                _estimate(watcher, photos.next())
                console.print("Estimates ...")
                poses = [_estimate(watcher, photos.next()) for _ in range(1 if args.quick else 3)]
                numbers["pose_s"] = statistics.median(seconds for seconds, _ in poses)
                proposed = poses[-1][1]
                console.print("Idle ...")
                time.sleep(3.0)
                numbers["idle_percent"] = _idle(server, 5.0 if args.quick else 20.0)
                if not args.quick:
                    console.print("standard until its first mesh ...")
                    numbers["first_mesh_s"] = {
                        "standard": _first_mesh(watcher, photos.next(), proposed)
                    }
                console.print("draft, watched by a client that never reads ...")
                numbers.update(
                    _whole_job(server, watcher, photos.next(), proposed, numbers, args.quick)
                )
            finally:
                watcher.client.close()
    return numbers


def _estimate(watcher: Watcher, photo: bytes) -> tuple[float, PoseProposed]:
    """Seconds from asking for a pose to pose and body at the client, and the pose."""
    job_id, start = new_job_id(), time.monotonic()
    watcher.client.estimate(job_id, photo)
    proposed = watcher.until(PoseArrived, 120, job_id=job_id).proposed
    seconds = time.monotonic() - start
    watcher.client.forget(job_id)
    return seconds, proposed


def _first_mesh(watcher: Watcher, photo: bytes, proposed: PoseProposed) -> float:
    """Seconds from Generate (with the pose, as in Blender) to the first mesh; then it is cancelled."""
    job_id, start = new_job_id(), time.monotonic()
    pose, camera = proposed.pose, proposed.camera
    watcher.client.submit(job_id, photo, preset="standard", pose=pose, camera=camera)
    watcher.until(PreviewArrived, 180, job_id=job_id)
    seconds = time.monotonic() - start
    watcher.client.cancel(job_id)
    watcher.until(JobCancelled, 30, job_id=job_id)
    # The worker that was stopped may be replaced: the next job shall find a warm one.
    time.sleep(15.0)
    return seconds


def _idle(server: ServerProcess, seconds: float) -> float | None:
    """CPU of the server and its workers with one client connected, percent of a core."""
    before = server.cpu_seconds()
    time.sleep(seconds)
    after = server.cpu_seconds()
    return None if before is None or after is None else 100.0 * (after - before) / seconds


def _whole_job(
    server: ServerProcess,
    watcher: Watcher,
    photo: bytes,
    proposed: PoseProposed,
    numbers: dict[str, Any],
    quick: bool,
) -> dict[str, Any]:
    """A draft from Generate to its files, with round trips and a slow client beside it."""
    job_id = new_job_id()
    before = server.memory_mb()
    start = time.monotonic()
    steps = 30 if quick else None
    pose, camera = proposed.pose, proposed.camera
    watcher.client.submit(job_id, photo, preset="draft", steps=steps, pose=pose, camera=camera)
    watcher.until(PreviewArrived, 180, job_id=job_id)
    first = time.monotonic() - start
    highest = before
    with (
        RoundTrips(server.connection_file, job_id) as trips,
        SlowClient(server.connection_file, job_id) as slow,
    ):
        result = watcher.until(ResultArrived, 600, job_id=job_id).result
        slow.fetch(result.character, 100 if quick else 400)
        time.sleep(1.0)
        after = server.memory_mb()
    if before is not None and after is not None:
        highest = after - before
    times = trips.milliseconds
    return {
        "first_mesh_s": {"draft": first, **numbers.get("first_mesh_s", {})},
        "round_trips": len(times),
        "round_trip_p50_ms": percentile(times, 0.5),
        "round_trip_p99_ms": percentile(times, 0.99),
        "round_trip_max_ms": max(times),
        "slow_client_requests": slow.asked,
        "slow_client_growth_mb": highest,
        "draft_s": result.seconds,
    }


def targets(numbers: Mapping[str, Any]) -> list[Target]:
    """What was asked for."""
    first = numbers["first_mesh_s"]
    previews = numbers["preview_ms"]
    trip = numbers["round_trip_p99_ms"]
    return [
        Target("control round trip while fitting, p99", trip, ROUND_TRIP_MS, "ms"),
        Target("preview of 50k vertices", previews["with_faces"], PREVIEW_MS, "ms"),
        Target("preview, same topology", previews["same_topology"], PREVIEW_MS, "ms"),
        Target("estimate to pose and body", numbers["pose_s"], POSE_SECONDS, "s"),
        *(
            Target(f"Generate to first mesh, {preset}", seconds, FIRST_MESH_SECONDS, "s")
            for preset, seconds in first.items()
        ),
        Target("idle backend", numbers["idle_percent"], IDLE_PERCENT, "% of a core"),
        Target(
            "growth by a client that never reads",
            numbers["slow_client_growth_mb"],
            SLOW_CLIENT_MB,
            "MiB",
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--photo", type=Path, default=Path(__file__).resolve().parents[1] / "examples/photo.png"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    console = Console()
    load = None
    with suppress(AttributeError, OSError):
        load = os.getloadavg()[0]
    numbers: dict[str, Any] = {"preview_ms": preview_milliseconds(50_000, 10 if args.quick else 30)}
    numbers.update(measure(args, console))
    lines = targets(numbers)
    print_targets(console, lines)
    console.print(
        f"{numbers['round_trips']} round trips: median {numbers['round_trip_p50_ms']:.1f} ms, "
        f"longest {numbers['round_trip_max_ms']:.1f} ms. Start to warm "
        f"{numbers['start_to_warm_s']:.1f} s; a draft {numbers['draft_s']:.0f} s"
        + ("." if load is None else f"; load before the start {load:.1f}.")
    )
    if args.json:
        checked = [{**dataclasses.asdict(line), "ok": line.ok} for line in lines]
        answer = {"load": load, "quick": args.quick, **numbers, "targets": checked}
        args.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return int(not all(line.ok for line in lines))


if __name__ == "__main__":
    sys.exit(main())
