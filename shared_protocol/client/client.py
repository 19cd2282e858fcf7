"""The backend, as Blender and the command line see it: requests that return at once, events to take."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from typing import Literal

from ..connection import Connection
from ..messages import Camera, Pose
from .engine import Engine
from .events import ClientEvent
from .inbox import Inbox
from .job_request import JobRequest, Source
from .keys import KeyPair
from .timing import Timing


def new_job_id() -> str:
    """A job id nobody else has: 22 characters, safe in file names."""
    return secrets.token_hex(11)


class BackendClient:
    """One line to one backend, kept up by a thread of its own.

    Requests may be made at any time, connected or not: they return at once, are sent when the backend
    is there, and again after a reconnect. What comes of them are events, taken with :meth:`poll` on
    the owner's thread. Every method may be called from any thread.

    Args:
        connection: where the backend is; a path is read again before every attempt, because a
            restarted backend has new ports.
        client: who asks (``humanref-blender`` ...), with ``client_version``.
        cache_dir: results and body templates are kept here, each under the SHA-256 of its content.
        keys: own CURVE key pair, for a connection with a server key.
        cache_bytes: size the cache is kept below.
        timing: how long to wait for what.
    """

    def __init__(
        self,
        connection: Connection | Path,
        *,
        client: str,
        client_version: str,
        cache_dir: Path,
        keys: KeyPair | None = None,
        cache_bytes: int = 2 << 30,
        timing: Timing | None = None,
    ) -> None:
        self._inbox = Inbox()
        self._engine = Engine(
            connection,
            self._inbox,
            client=client,
            client_version=client_version,
            cache_dir=cache_dir,
            keys=keys,
            cache_bytes=cache_bytes,
            timing=timing or Timing(),
        )
        self._thread: Thread | None = None

    def start(self) -> BackendClient:
        """Begin to connect, on a thread of its own. Raises RuntimeError when it was started before."""
        if self._thread is not None:
            raise RuntimeError("A client can be started once.")
        self._thread = Thread(target=self._engine.run, name="humanref-client", daemon=True)
        self._thread.start()
        return self

    def close(self, timeout: float = 5.0) -> bool:
        """Say good-bye, end the thread and free the sockets; jobs go on without us.

        Returns whether the thread has ended within ``timeout`` seconds. Calling it again does no harm.
        """
        self._engine.stop()
        if self._thread is None:
            self._engine.dispose()
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def __enter__(self) -> BackendClient:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- events -------------------------------------------------------------------------------------

    def poll(self, max_events: int | None = None) -> list[ClientEvent]:
        """What happened since the last call, oldest first; never waits."""
        return self._inbox.take(max_events)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until :meth:`poll` has something to give; False when ``timeout`` seconds brought nothing."""
        return self._inbox.wait(timeout)

    # -- requests -----------------------------------------------------------------------------------

    def estimate(
        self,
        job_id: str,
        photo: Source,
        *,
        photo_name: str = "",
        height_cm: float = 175.0,
        person: int | None = None,
        body: Literal["anny", "smplx"] = "anny",
        initial: Pose | None = None,
        camera: Camera | None = None,
        locked_joints: tuple[str, ...] = (),
        device: Literal["auto", "cpu", "cuda"] = "auto",
        maps: Mapping[str, Source] | None = None,
    ) -> None:
        """Ask for a pose; ends with PoseArrived, JobFailed or JobEnded.

        Args:
            job_id: see :func:`new_job_id`; the same again is the same job.
            photo: a file, or the bytes of one.
            photo_name: for people; the file's name when left out.
            maps: ``mask``, ``regions``, ``normals_front``, ``normals_back`` -> picture file or its bytes.

        The others are the fields of :class:`messages.Estimate`.
        """
        fields = {
            "height_cm": height_cm,
            "person": person,
            "body": body,
            "initial": initial,
            "camera": camera,
            "locked_joints": locked_joints,
            "device": device,
        }
        job = JobRequest("estimate", job_id, photo, photo_name, dict(maps or {}), fields, False)
        self._post(lambda engine: engine.submit(job))

    def refit(
        self,
        job_id: str,
        photo: Source,
        *,
        initial: Pose,
        camera: Camera,
        locked_joints: tuple[str, ...] = (),
        photo_name: str = "",
        height_cm: float = 175.0,
        person: int | None = None,
        body: Literal["anny", "smplx"] = "anny",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        maps: Mapping[str, Source] | None = None,
    ) -> None:
        """Estimate again from ``initial``, whose ``locked_joints`` stay as they are."""
        self.estimate(
            job_id,
            photo,
            photo_name=photo_name,
            height_cm=height_cm,
            person=person,
            body=body,
            initial=initial,
            camera=camera,
            locked_joints=locked_joints,
            device=device,
            maps=maps,
        )

    def submit(
        self,
        job_id: str,
        photo: Source,
        *,
        photo_name: str = "",
        pose: Pose | None = None,
        camera: Camera | None = None,
        height_cm: float = 175.0,
        person: int | None = None,
        body: Literal["anny", "smplx"] = "anny",
        preset: Literal["draft", "standard", "paper"] = "standard",
        guidance: str = "ref-sds",
        prompt: str = "",
        seed: int = 0,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        steps: int | None = None,
        faces: int | None = None,
        texture: int | None = None,
        maps: Mapping[str, Source] | None = None,
        previews: bool = True,
    ) -> None:
        """Generate a character; ends with ResultArrived, JobFailed or JobEnded.

        Args:
            job_id: see :func:`new_job_id`; the same again is the same job.
            photo: a file, or the bytes of one.
            photo_name: for people; the file's name when left out.
            maps: ``mask``, ``regions``, ``normals_front``, ``normals_back`` -> picture file or its bytes.
            previews: whether the mesh is wanted as it grows.

        The others are the fields of :class:`messages.Submit`.
        """
        fields = {
            "pose": pose,
            "camera": camera,
            "height_cm": height_cm,
            "person": person,
            "body": body,
            "preset": preset,
            "guidance": guidance,
            "prompt": prompt,
            "seed": seed,
            "device": device,
            "steps": steps,
            "faces": faces,
            "texture": texture,
        }
        job = JobRequest("generate", job_id, photo, photo_name, dict(maps or {}), fields, previews)
        self._post(lambda engine: engine.submit(job))

    def watch(self, job_id: str, since_seq: int = 0, *, previews: bool = True) -> None:
        """Follow a job that is there already (after a restart of ours); ends like the job's request."""
        self._post(lambda engine: engine.watch(job_id, since_seq, previews))

    def fetch_result(self, job_id: str) -> None:
        """The result of a finished job, or the pose of a finished estimate, once more."""
        self._post(lambda engine: engine.watch(job_id, 0, False))

    def cancel(self, job_id: str) -> None:
        """Stop a job; answered by JobCancelled, and JobEnded once it has stopped."""
        self._post(lambda engine: engine.cancel(job_id))

    def list_jobs(self) -> None:
        """Ask for all jobs of this owner; answered by JobsListed."""
        self._post(lambda engine: engine.list_jobs())

    def forget(self, job_id: str = "") -> None:
        """Delete a job and its files on the backend, or everything of ours; answered by JobsForgotten.

        The cache here is emptied too, once no other job is followed any more.
        """
        self._post(lambda engine: engine.forget(job_id))

    def reconnect(self) -> None:
        """Try again at once, also after a refusal for good."""
        self._post(lambda engine: engine.reconnect())

    def _post(self, command: Callable[[Engine], None]) -> None:
        self._engine.post(command)
