"""``--server``: where it is, and what of a command line can travel there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.cli.arguments import Estimate, Generate
from backend.errors import HumanRefError
from shared_protocol.client.keys import KeyPair, read_key_pair
from shared_protocol.connection import default_connection_path
from shared_protocol.errors import ProtocolError

LOCAL = "local"


def as_humanref_error(error: ProtocolError) -> HumanRefError:
    """The same sentence as this side's exception."""
    return HumanRefError(error.code, error.message, error.hint, retryable=error.retryable)


def connection_path(server: str) -> Path:
    """The connection file that ``--server`` names; "local" is this user's own backend."""
    return default_connection_path() if server == LOCAL else Path(server)


def key_pair(path: Path | None) -> KeyPair | None:
    """The keys of ``--key``. Raises HumanRefError ``not_allowed`` for a file that holds none."""
    if path is None:
        return None
    try:
        return read_key_pair(path)
    except ProtocolError as error:
        raise as_humanref_error(error) from error


def check_can_travel(args: Generate | Estimate) -> None:
    """Refuse options that only this computer's own run knows.

    Raises:
        HumanRefError: ``option_conflict``, ``refit_without_pose``, ``locked_without_refit``.
    """
    chosen = {
        "--segmentation": args.providers.segmentation,
        "--parsing": args.providers.parsing,
        "--captioner": args.providers.captioner,
        "--normals-provider": args.providers.normals_provider,
    }
    for option, value in chosen.items():
        if value != "auto":
            raise _stays_here(option, "The server chooses its providers itself; see its doctor.")
    if args.body.smplx_model is not None:
        raise _stays_here("--smplx-model", "Start the server with it: humanref serve.")
    if isinstance(args, Generate):
        if args.resume:
            raise _stays_here("--resume", "The server continues its jobs itself.")
        return
    if args.your_own.caption is not None:
        raise _stays_here("--caption", "Give it to humanref generate, which uses it.")
    if args.refit and args.pose is None:
        raise HumanRefError(
            "refit_without_pose",
            "There is no pose to fit again from.",
            "Give the corrected pose, or leave the re-fit out to have the pose found.",
        )
    if args.lock and not args.refit:
        raise HumanRefError(
            "locked_without_refit",
            "Joints are locked, but nothing is fitted again: a given pose stays as it is.",
            "Ask for a re-fit as well, or leave the locks out.",
        )
    if args.pose is not None and not args.refit:
        raise _stays_here("--pose without --refit", "Add --refit to fit again from that pose.")


def map_files(args: Generate | Estimate) -> dict[str, Path]:
    """The user's own maps that were given, by their role on the wire."""
    own = args.your_own
    maps = {
        "mask": own.mask,
        "regions": own.regions,
        "normals_front": own.normals_front,
        "normals_back": own.normals_back,
    }
    return {role: path for role, path in maps.items() if path is not None}


def common_fields(args: Generate | Estimate) -> dict[str, Any]:
    """What an estimate and a submit both carry."""
    return {
        "photo_name": args.photo.name,
        "height_cm": args.body.height_cm,
        "person": args.person,
        "body": args.body.model,
        "device": args.device,
        "maps": map_files(args),
    }


def _stays_here(option: str, hint: str) -> HumanRefError:
    return HumanRefError("option_conflict", f"{option} cannot be used with --server.", hint)
