"""``humanref serve``."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from backend.cli.arguments import out_of_range
from backend.cli.preflight import check_prior
from backend.cli.serve_arguments import Serve
from backend.errors import HumanRefError
from backend.service.folders import default_data_dir
from backend.service.options import SHIPPED_GUIDANCES, ServeOptions
from backend.service.serve import serve
from backend.service.worker import JobRunner
from backend.service.worker_messages import LaneName
from backend.settings import COMPACT_PRIOR, Guidance
from shared_protocol.connection import Connection, default_connection_path

_MOST_DAYS = 3650


def run_serve(args: Serve) -> dict[str, Any]:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        HumanRefError: an option that makes no sense; see :func:`backend.service.serve.serve`.
    """
    options = serve_options(args)

    def announce(connection: Connection) -> None:
        if not args.json:
            where = f"{connection.control}, connection file {options.connection_file}"
            print(
                f"humanref listens on {where}; Ctrl-C stops, jobs continue next time.", flush=True
            )

    serve(options, partial(make_runner, prior=options.prior), announce)
    return {"command": "serve", "stopped": True}


def make_runner(lane: LaneName, smplx_path: Path | None, prior: str | None = None) -> JobRunner:
    """The pipeline, imported in the worker process and nowhere else."""
    from backend.service.worker_jobs import PipelineRunner

    return PipelineRunner(lane, smplx_path, prior)


def serve_options(args: Serve) -> ServeOptions:
    """The server's options.

    Raises:
        HumanRefError: ``option_out_of_range``, ``smplx_missing``; see ``check_prior``.
    """
    guidances = SHIPPED_GUIDANCES
    if args.prior is not None:
        from backend.guidance.prior_choice import named_prior, uses_compact_prior

        prior = named_prior(COMPACT_PRIOR, args.prior)
        check_prior(prior, "ref-sds")
        if not uses_compact_prior(prior) and find_spec("peft") is not None:
            guidances = get_args(Guidance)
    idle = math.inf if args.idle_exit is None else args.idle_exit
    for name, value, good, wanted in (
        ("--max-jobs", args.max_jobs, args.max_jobs >= 1, "1 or more"),
        (
            "--ttl-days",
            args.ttl_days,
            0 < args.ttl_days <= _MOST_DAYS,
            f"more than 0, {_MOST_DAYS} at most",
        ),
        ("--quota-gb", args.quota_gb, 0 < args.quota_gb < math.inf, "a number above 0"),
        ("--idle-exit", idle, idle > 0, "more than 0"),
    ):
        if not good:
            raise out_of_range(name, value, wanted)
    if args.smplx_model is not None and not args.smplx_model.exists():
        raise HumanRefError(
            "smplx_missing",
            f"--smplx-model {args.smplx_model} does not exist.",
            "Download SMPLX_NEUTRAL.npz from smpl-x.is.tue.mpg.de and give its path.",
        )
    plain = ServeOptions(
        data_dir=(args.data_dir or default_data_dir()).absolute(),
        connection_file=(args.connection_file or default_connection_path()).absolute(),
    )
    return dataclasses.replace(
        plain,
        bind=args.bind,
        address=args.address,
        curve=args.curve,
        keys_dir=args.keys_dir,
        max_jobs=args.max_jobs,
        ttl_days=args.ttl_days,
        quota_gb=args.quota_gb,
        idle_exit_minutes=args.idle_exit,
        smplx_path=args.smplx_model.absolute() if args.smplx_model else None,
        prior=args.prior,
        guidances=guidances,
    )
