"""One fixed sample of every message and document, and the golden bytes made from them.

``python tests/shared_protocol/wire_samples.py`` writes the golden files of a new protocol version; those
of a version that has some already are history and stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from shared_protocol import messages as m
from shared_protocol.codec import Envelope, encode
from shared_protocol.documents import BodyTemplate, CharacterData
from shared_protocol.errors import Error
from shared_protocol.limits import Limits
from shared_protocol.packing import pack_character, pack_template
from shared_protocol.skeleton import N_JOINTS
from shared_protocol.version import PROTOCOL

GOLDEN = Path(__file__).parent / "golden"
LIMITS = Limits()

_BLOB = m.BlobRef(sha256="0123456789abcdef" * 4, size=1000)
_POSE = m.Pose(
    model="anny_smplx55",
    betas=(0.5, -1.25),
    full_pose=tuple(i / 64 for i in range(3 * N_JOINTS)),
    transl=(0.0, 0.875, -0.125),
    scale=1.5,
)
_CAMERA = m.Camera(pixels_per_metre=512.5, center_u=320.0, center_v=411.25)
_PHOTO = m.PhotoInfo(width=640, height=800, sha256="fedcba9876543210" * 4)
_FIT = m.Fit(reprojection_error_px=4.5, missing_joints=("left_knee",), seconds=2.25)
_PROGRESS = m.Progress(stage="optimize", step=3, total=10, eta=1.5, losses={"rgb": 0.25})
_PROPOSED = m.PoseProposed(
    pose=_POSE,
    camera=_CAMERA,
    photo=_PHOTO,
    fit=_FIT,
    body=_BLOB,
    caption="a person in a coat",
    providers={"landmarks": "mediapipe"},
)
_RESULT = m.Result(
    character=_BLOB,
    files={"character.glb": _BLOB, "run.json": _BLOB},
    faces=2,
    seconds=61.5,
    guidance="mirror",
    warnings=("hands were not seen",),
)
_REFUSAL = Error(code="photo_unreadable", message="The photo cannot be read.", hint="Use PNG.")
_VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
_FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
_COLORS = np.arange(12, dtype=np.uint8).reshape(4, 3)

_CONTENTS: dict[str, m.Content] = {
    "accepted": m.Accepted(state="queued", position=2),
    "bye": m.Bye(reason="quit"),
    "cancel": m.Cancel(),
    "cancelled": m.Cancelled(outcome="pending"),
    "chunk": m.Chunk(blob=_BLOB, offset=996),
    "chunk_stored": m.ChunkStored(blob=_BLOB, offset=1000),
    "error": _REFUSAL,
    "estimate": m.Estimate(
        photo=_BLOB, photo_name="ph\u00f6to.png", initial=_POSE, locked_joints=("left_elbow",)
    ),
    "fetch_chunk": m.FetchChunk(blob=_BLOB, offset=4, length=996),
    "forget": m.Forget(),
    "forgotten": m.Forgotten(jobs=2, bytes=123456),
    "grant_preview": m.GrantPreview(topology="t7"),
    "hello": m.Hello(client="blender", client_version="4.2.0", protocol=PROTOCOL, token="secret"),
    "job_list": m.JobList(
        jobs=(
            m.JobSummary(
                job_id="job-1",
                kind="generate",
                state="running",
                photo_name="a.png",
                created=1000.5,
                expires=2000.5,
                preset="draft",
                stage="optimize",
                step=3,
                total=10,
            ),
        )
    ),
    "job_status": m.JobStatus(
        kind="generate",
        state="done",
        photo_name="a.png",
        created=1000.5,
        seq=2,
        events=(
            m.JobEvent(seq=1, progress=_PROGRESS),
            m.JobEvent(seq=2, notice=m.Notice(code="hands", message="Hands were not seen.")),
        ),
        pose=_PROPOSED,
        result=_RESULT,
        error=_REFUSAL,
    ),
    "list_jobs": m.ListJobs(),
    "notice": m.Notice(code="hands", message="Hands were not seen."),
    "ping": m.Ping(),
    "pong": m.Pong(ready=True, running_jobs=1, queued_jobs=2),
    "pose_proposed": _PROPOSED,
    "preview": m.Preview(step=3, topology="t7", vertex_count=4, face_count=2),
    "progress": _PROGRESS,
    "put_chunk": m.PutChunk(blob=_BLOB, offset=0),
    "result": _RESULT,
    "status": m.Status(since_seq=4, watch=False),
    "submit": m.Submit(
        photo=_BLOB,
        photo_name="a.png",
        pose=_POSE,
        camera=_CAMERA,
        prompt="a person",
        steps=20,
        maps=m.Maps(mask=_BLOB),
    ),
    "welcome": m.Welcome(
        session="s1",
        server="humanref",
        server_version="0.1.0",
        protocol=PROTOCOL,
        limits=LIMITS,
        device="cpu: no GPU was found",
        memory_mb=8000,
        providers={"landmarks": "mediapipe"},
        bodies=(m.BodyInfo(name="anny", licence="CC0-1.0", n_betas=10),),
        presets=("draft", "standard", "paper"),
        guidances=("mirror",),
    ),
}

_BUFFERS = {
    "preview": {"vertices": _VERTICES, "colors": _COLORS, "faces": _FACES},
    "chunk": {"data": np.arange(4, dtype=np.uint8)},
    "put_chunk": {"data": np.arange(100, dtype=np.uint8)},
}


def envelopes() -> dict[str, Envelope]:
    """Type -> a message with every part of its envelope filled."""
    return {
        name: Envelope(
            content=content,
            msg_id="m1",
            parent_id="m0",
            session="s1",
            job_id="job-1",
            seq=7,
            buffers=_BUFFERS.get(name, {}),
        )
        for name, content in _CONTENTS.items()
    }


def template() -> BodyTemplate:
    """Four vertices, two betas."""
    weights = np.zeros((4, 8), np.float32)
    weights[:, :2] = 0.75, 0.25
    return BodyTemplate(
        model="anny_smplx55",
        licence="CC0-1.0",
        vertices=_VERTICES,
        shape_directions=np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 3, 2),
        joints=np.linspace(0, 1, 3 * N_JOINTS, dtype=np.float32).reshape(-1, 3),
        joint_directions=np.linspace(0, 1, 6 * N_JOINTS, dtype=np.float32).reshape(-1, 3, 2),
        faces=_FACES,
        skin_indices=np.arange(32, dtype=np.uint8).reshape(4, 8),
        skin_weights=weights,
        regions=np.array([0, 1, 2, 4], np.uint8),
    )


def character() -> CharacterData:
    """Four vertices, two faces, a texture of one pixel's signature."""
    weights = np.zeros((4, 4), np.float32)
    weights[:, 0] = 1
    joints = np.linspace(0, 1, 3 * N_JOINTS, dtype=np.float32).reshape(-1, 3)
    return CharacterData(
        name="a",
        pose=_POSE,
        camera=_CAMERA,
        photo=_PHOTO,
        vertices=_VERTICES,
        rest_vertices=_VERTICES + 1,
        faces=_FACES,
        colors=_COLORS,
        skin_indices=np.arange(16, dtype=np.uint8).reshape(4, 4),
        skin_weights=weights,
        rest_joints=joints,
        joints=joints + 1,
        uv=np.linspace(0, 1, 12, dtype=np.float32).reshape(6, 2),
        texture=b"\x89PNG\r\n\x1a\nrest",
    )


def join(frames: list[bytes | memoryview]) -> bytes:
    """Frames in one file: each behind its length, four bytes, little-endian."""
    return b"".join(len(frame).to_bytes(4, "little") + bytes(frame) for frame in frames)


def take_apart(data: bytes) -> list[bytes]:
    """The frames of :func:`join`."""
    frames = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        frames.append(data[4:end])
        data = data[end:]
    return frames


def golden() -> dict[str, bytes]:
    """File name -> bytes, as this version writes them."""
    files = {f"{name}.bin": join(encode(e, LIMITS)) for name, e in envelopes().items()}
    files["body_template.bin"] = pack_template(template())
    files["character.bin"] = pack_character(character())
    return files


def main() -> None:
    """Write the golden files of this version, once."""
    folder = GOLDEN / PROTOCOL
    folder.mkdir(parents=True)
    for name, data in golden().items():
        (folder / name).write_bytes(data)
    print(f"{folder.name}: {len(golden())} files")


if __name__ == "__main__":
    main()
