"""``humanref estimate --server``: the pose found by a server, written here."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend.cli.arguments import Estimate, check_height
from backend.cli.estimate_command import NEEDED_BYTES, print_result
from backend.cli.output import OutputFiles, check_outputs, check_suffix
from backend.cli.preflight import check_request, named_inputs
from backend.cli.progress import make_progress
from backend.cli.server_generate import read_wire_pose
from backend.cli.server_options import (
    check_can_travel,
    common_fields,
    connection_path,
    key_pair,
)
from backend.cli.server_run import ServerRun
from backend.run_report import RunRecorder
from shared_protocol.client.events import PoseArrived


def run_estimate_on_server(args: Estimate) -> dict[str, Any]:
    """Have pose and shape estimated and write them here.

    Raises:
        Cancelled: stopped by Ctrl-C, here and on the server.
        HumanRefError: bad options, outputs or photo; the server's own errors as it words them.
    """
    assert args.remote.server is not None
    check_height(args.body.height_cm)
    check_request(args)
    check_can_travel(args)
    check_suffix(args.output, (".json",), "The output")
    outputs = [args.output]
    if args.overlay is not None:
        check_suffix(args.overlay, (".png",), "The overlay")
        outputs.append(args.overlay)
    check_outputs(outputs, named_inputs(args).values(), force=args.force, needed_bytes=NEEDED_BYTES)
    keys = key_pair(args.remote.key)
    with (
        make_progress() as progress,
        tempfile.TemporaryDirectory(prefix="humanref-") as cache,
        OutputFiles() as files,
    ):
        recorder = RunRecorder(progress)
        pose, camera = read_wire_pose(args, recorder) if args.pose is not None else (None, None)
        with ServerRun(connection_path(args.remote.server), keys, Path(cache), recorder) as run:
            run.connect()
            locked = [name.strip() for name in (args.lock or "").split(",")]
            run.client.estimate(
                run.job_id,
                args.photo,
                **common_fields(args),
                initial=pose,
                camera=camera,
                locked_joints=tuple(name for name in locked if name),
            )
            arrived = run.finish(PoseArrived)
        _write(args, arrived, files)
        files.commit()
    made = {"pose": args.output, "overlay": args.overlay}
    fit = asdict_fit(arrived, recorder.warnings)
    result: dict[str, Any] = {
        "command": "estimate",
        "files": {what: str(path.resolve()) for what, path in made.items() if path is not None},
        "fit": fit,
        "providers": dict(arrived.proposed.providers),
        "warnings": list(recorder.warnings),
        "seconds": recorder.seconds,
    }
    if not args.json:
        print_result(result)
    return result


def asdict_fit(arrived: PoseArrived, warnings: tuple[str, ...]) -> dict[str, Any]:
    """How well the body explains the photo, as a run here says it."""
    return asdict(_report(arrived, warnings))


def _report(arrived: PoseArrived, warnings: tuple[str, ...]) -> Any:
    from backend.fitting.report import FitReport

    fit = arrived.proposed.fit
    return FitReport(
        reprojection_error_px=fit.reprojection_error_px,
        reprojection_error_percent=fit.reprojection_error_percent,
        silhouette_iou=fit.silhouette_iou,
        missing_joints=fit.missing_joints,
        seconds=fit.seconds,
        warnings=warnings,
    )


def _write(args: Estimate, arrived: PoseArrived, files: OutputFiles) -> None:
    """pose.json and, where asked for, the body over the photo."""
    from backend.cli.server_body import posed_template
    from backend.export.overlay import overlay
    from backend.export.pictures import write_picture
    from backend.fitting.pose_file import write_pose
    from backend.fitting.pose_schema import PhotoInfo, PoseFile
    from backend.geometry.frames import PhotoCamera
    from backend.perception.photo import load_photo

    proposed = arrived.proposed
    camera = PhotoCamera(
        proposed.camera.pixels_per_metre, proposed.camera.center_u, proposed.camera.center_v
    )
    body = posed_template(arrived.template, proposed.pose)
    photo = PhotoInfo(proposed.photo.width, proposed.photo.height, proposed.photo.sha256)
    pose_file = PoseFile(body.pose, camera, body.joints, photo, _report(arrived, ()))
    write_pose(files.stage(args.output), pose_file)
    if args.overlay is not None:
        picture = overlay(load_photo(args.photo).rgb, body, camera)
        write_picture(files.stage(args.overlay), picture)
