"""``humanref generate --server``: the same files, made by a server."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from backend.cli.arguments import Generate, generate_settings
from backend.cli.generate_command import ARTIFACTS, CHARACTER_FORMATS, RESULT_BYTES, print_result
from backend.cli.output import OutputFiles, check_outputs, check_suffix
from backend.cli.preflight import check_request, named_inputs
from backend.cli.progress import loading, make_progress
from backend.cli.server_options import (
    check_can_travel,
    common_fields,
    connection_path,
    key_pair,
)
from backend.cli.server_run import ServerRun
from backend.errors import HumanRefError
from backend.events import OnEvent, Warned
from backend.files import write_error
from backend.run_report import RunRecorder
from shared_protocol.client.events import ResultArrived
from shared_protocol.messages import Camera, Pose


def run_generate_on_server(args: Generate) -> dict[str, Any]:
    """Have a character made and write it here; a failure leaves the folders as they were.

    Raises:
        Cancelled: stopped by Ctrl-C, here and on the server.
        HumanRefError: bad options, outputs or photo; the server's own errors as it words them.
    """
    assert args.remote.server is not None
    generate_settings(args)
    check_request(args)
    check_can_travel(args)
    check_suffix(args.output, CHARACTER_FORMATS, "The output")
    artifacts = {name: args.artifacts / name for name in ARTIFACTS} if args.artifacts else {}
    check_outputs(
        [args.output, *artifacts.values()],
        named_inputs(args).values(),
        force=args.force,
        needed_bytes=RESULT_BYTES,
    )
    keys = key_pair(args.remote.key)
    with (
        make_progress() as progress,
        tempfile.TemporaryDirectory(prefix="humanref-") as cache,
        OutputFiles() as files,
    ):
        on_event = RunRecorder(progress)
        pose, camera = read_wire_pose(args, on_event) if args.pose is not None else (None, None)
        with ServerRun(connection_path(args.remote.server), keys, Path(cache), on_event) as run:
            run.connect()
            run.client.submit(
                run.job_id,
                args.photo,
                **common_fields(args),
                pose=pose,
                camera=camera,
                preset=args.preset,
                guidance=args.guidance,
                prompt=args.your_own.caption or "",
                seed=args.seed,
                steps=args.steps,
                faces=args.faces,
                texture=args.texture,
                previews=False,
            )
            arrived = run.finish(ResultArrived)
        written = _write(args, artifacts, arrived, files, on_event)
        report = _read_report(arrived)
        files.commit()
    result = {
        "command": "generate",
        "files": {name: str(path.resolve()) for name, path in written.items()},
        "run": report,
    }
    if not args.json:
        print_result(args, report, [name for name in written if name != "character"])
    return result


def read_wire_pose(args: Any, on_event: OnEvent) -> tuple[Pose, Camera | None]:
    """The pose of ``--pose``, as it travels. Loads the body, to check the pose against it.

    Raises:
        HumanRefError: see :func:`backend.fitting.pose_file.read_pose`.
    """
    with loading(on_event):
        from backend.body import load_body
        from backend.fitting.pose_file import read_pose
        from backend.service.documents import wire_camera, wire_pose

    # The licensed body need not be on this computer: the server checks such a pose against its own.
    model = load_body("anny") if args.body.model == "anny" else None
    brought = read_pose(args.pose, model)
    for note in brought.notes:
        on_event(Warned("pose_note", note))
    return wire_pose(brought.pose), None if brought.camera is None else wire_camera(brought.camera)


def _write(
    args: Generate,
    artifacts: dict[str, Path],
    arrived: ResultArrived,
    files: OutputFiles,
    on_event: OnEvent,
) -> dict[str, Path]:
    """Stage everything that came; returns what was written under its name."""
    written = {"character": args.output}
    staged = files.stage(args.output)
    if args.output.suffix.lower() == ".glb":
        _copy(_received(arrived, "character.glb"), staged)
    else:
        _write_mesh(staged, arrived)
    for name, path in artifacts.items():
        if name not in arrived.files:
            on_event(Warned("artifact_missing", f"The server sends no {name}."))
            continue
        _copy(arrived.files[name], files.stage(path))
        written[name] = path
    return written


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise write_error(error, target) from error


def _write_mesh(path: Path, arrived: ResultArrived) -> None:
    """The mesh in the photo's pose, as PLY or OBJ."""
    import numpy as np

    from backend.export.meshes import write_obj, write_ply
    from backend.geometry.mesh import ColoredMesh, vertex_normals

    data = arrived.character
    mesh = ColoredMesh(
        vertices=data.vertices,
        faces=data.faces,
        colors=data.colors.astype(np.float32) / 255.0,
        normals=vertex_normals(data.vertices, data.faces).astype(np.float32),
    )
    (write_ply if path.suffix.lower() == ".ply" else write_obj)(path, mesh)


def _read_report(arrived: ResultArrived) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(_received(arrived, "run.json").read_text("utf-8"))
    return report


def _received(arrived: ResultArrived, name: str) -> Path:
    path = arrived.files.get(name)
    if path is None:
        raise HumanRefError(
            "result_incomplete",
            f"The server's result has no {name}.",
            "Update the server, or look into its log.",
        )
    return path
