"""What a request must satisfy beyond its types, refused before it costs anything."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve

from backend.service.options import ServeOptions
from backend.settings import MAX_TEXTURE, MIN_TEXTURE, PRIOR_GUIDANCE
from shared_protocol.errors import MALFORMED, ProtocolError
from shared_protocol.messages import BlobRef, Estimate, Submit

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_HEIGHT_CM = (30.0, 300.0)
_STEPS = (1, 100_000)
_FACES = (1000, 2_000_000)
_PROMPT = 1000
_PHOTO_NAME = 200

JobRequest = Estimate | Submit


def check_job_id(job_id: str) -> None:
    """Raises ProtocolError ``malformed`` for what cannot name a job."""
    if _JOB_ID.fullmatch(job_id) is None:
        raise ProtocolError(
            MALFORMED,
            "A job id has 8 to 64 letters, digits, hyphens and underscores.",
            "Make a random one for every new job.",
        )


def check_request(request: JobRequest, options: ServeOptions) -> None:
    """Refuse settings that make no sense, or that this server cannot follow.

    Raises:
        ProtocolError: ``option_out_of_range``, ``guidance_unknown``, ``prior_missing``,
            ``smplx_missing``, ``pose_other_body``, ``locked_without_pose``.
    """
    _in_range("height_cm", request.height_cm, *_HEIGHT_CM)
    if request.body == "smplx" and options.smplx_path is None:
        raise ProtocolError(
            "smplx_missing",
            "This server was not given the licensed SMPL-X body.",
            "Start it with --smplx-model SMPLX_NEUTRAL.npz, or choose the anny body.",
        )
    pose = request.initial if isinstance(request, Estimate) else request.pose
    wanted = "smplx" if request.body == "smplx" else "anny_smplx55"
    if pose is not None and pose.model != wanted:
        raise ProtocolError(
            "pose_other_body",
            f"The pose belongs to the body {pose.model[:40]!r}, not to {wanted}.",
            "Choose the body that the pose was made for, or estimate again.",
        )
    if isinstance(request, Estimate):
        if request.locked_joints and request.initial is None:
            raise ProtocolError(
                "locked_without_pose",
                "Locked joints keep the rotation of a given pose, and no pose was given.",
                "Send the corrected pose together with the locked joints.",
            )
        return
    if request.guidance not in options.guidances:
        raise ProtocolError(
            "guidance_unknown",
            f"This server has no guidance called {request.guidance[:40]!r}.",
            f"Choose one of: {', '.join(options.guidances)}.",
        )
    distils = request.guidance in PRIOR_GUIDANCE
    if request.preset == "paper" and distils and options.prior is None:
        raise ProtocolError(
            "prior_missing",
            "The paper preset distils Stable Diffusion, and this server was given none.",
            "Start it with humanref serve --prior FOLDER, or choose another preset or guidance.",
        )
    if request.steps is not None:
        _in_range("steps", request.steps, *_STEPS)
    if request.faces is not None:
        _in_range("faces", request.faces, *_FACES)
    if request.texture:
        _in_range("texture", request.texture, MIN_TEXTURE, MAX_TEXTURE)
    if not 0 <= request.seed < 2**63:
        raise _out_of_range("seed", request.seed, "a whole number from 0 up")
    if len(request.prompt) > _PROMPT:
        raise ProtocolError(
            "option_out_of_range",
            f"The prompt has {len(request.prompt)} characters.",
            f"At most {_PROMPT} are read.",
        )


def tidy(request: JobRequest) -> JobRequest:
    """The request with a photo name that is fit to show: one line, the last part of any path, short."""
    name = re.split(r"[/\\]", request.photo_name)[-1]
    shown = "".join(sign for sign in name if sign.isprintable()).strip()[-_PHOTO_NAME:]
    return evolve(request, photo_name=shown or "photo")


def needed_blobs(request: JobRequest) -> Iterator[BlobRef]:
    """The photo and the maps that must have been put."""
    yield request.photo
    maps = request.maps
    for blob in (maps.mask, maps.regions, maps.normals_front, maps.normals_back):
        if blob is not None:
            yield blob


def _in_range(name: str, value: int | float, least: int | float, most: int | float) -> None:
    if not least <= value <= most:
        raise _out_of_range(name, value, f"{least:g} to {most:g}")


def _out_of_range(name: str, value: int | float, wanted: str) -> ProtocolError:
    return ProtocolError(
        "option_out_of_range", f"{name} {value:g} makes no sense.", f"Give {wanted}."
    )
