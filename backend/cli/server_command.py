"""``--server``: an estimate or a character from a server instead of this process."""

from __future__ import annotations

from typing import Any

from backend.cli.arguments import Estimate, Generate
from backend.cli.server_estimate import run_estimate_on_server
from backend.cli.server_generate import run_generate_on_server
from backend.errors import HumanRefError


def run_on_server(args: Generate | Estimate) -> dict[str, Any]:
    """Do the work of a command at ``args.remote.server``.

    Raises:
        HumanRefError: ``option_conflict`` for a key without a server; see the two commands.
    """
    if args.remote.server is None:
        raise HumanRefError(
            "option_conflict",
            "--key is given, but no --server to use it with.",
            "Add --server and the server's connection file, or leave --key out.",
        )
    if isinstance(args, Estimate):
        return run_estimate_on_server(args)
    return run_generate_on_server(args)
