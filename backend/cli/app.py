"""The command's outermost layer: exit codes, and errors as sentences.

Exit codes: 0 done; 2 bad input or a refused request (one sentence, no traceback); 130 stopped by
Ctrl-C; 1 an error of ours (one sentence and where the traceback was written).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from backend.cli.arguments import (
    Command,
    Doctor,
    Estimate,
    Evaluate,
    Keys,
    MakePeople,
    Serve,
    TrainLifting,
    TrainNormals,
    TrainPrior,
    parse,
)
from backend.errors import Cancelled, HumanRefError
from backend.files import is_disk_full, write_error
from backend.threads import calm_thread_pools

DONE, OURS, BAD_INPUT, STOPPED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code (see the module text)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    calm_thread_pools()
    _tolerate_any_code_page()
    if argv == ["--version"]:
        return _print_version()
    try:
        command = parse(argv or ["--help"])
    except SystemExit as stop:
        return int(stop.code or 0)
    with warnings.catch_warnings():
        # Libraries warn their developers; what a user must know is an event and lands in run.json.
        warnings.simplefilter("ignore")
        return _guard(command, run_command)


def run_command(command: Command) -> dict[str, Any]:
    """Do the work of a command; its result in JSON types. Imports what is heavy only here."""
    if isinstance(command, Doctor):
        from backend.cli.doctor_command import run_doctor

        return run_doctor(command)
    if isinstance(command, Serve):
        from backend.cli.serve_command import run_serve

        return run_serve(command)
    if isinstance(command, Keys):
        from backend.cli.keys_command import run_keys

        return run_keys(command)
    if isinstance(command, Evaluate):
        from backend.cli.evaluate_command import run_evaluate

        return run_evaluate(command)
    if isinstance(command, TrainPrior):
        from backend.cli.train_prior_command import run_train_prior

        return run_train_prior(command)
    if isinstance(command, TrainNormals):
        from backend.cli.train_normals_command import run_train_normals

        return run_train_normals(command)
    if isinstance(command, TrainLifting):
        from backend.cli.train_lifting_command import run_train_lifting

        return run_train_lifting(command)
    if isinstance(command, MakePeople):
        from backend.cli.make_people_command import run_make_people

        return run_make_people(command)
    if command.remote.server is not None or command.remote.key is not None:
        from backend.cli.server_command import run_on_server

        return run_on_server(command)
    if isinstance(command, Estimate):
        from backend.cli.estimate_command import run_estimate

        return run_estimate(command)
    from backend.cli.generate_command import run_generate

    return run_generate(command)


def _guard(command: Command, run: Callable[[Command], dict[str, Any]]) -> int:
    """Run a command and turn every way it can end into an exit code and a sentence."""
    finished = False
    try:
        result = run(command)
        finished = True
        if command.json:
            _print_json({"ok": True, **result})
        sys.stdout.flush()
    except Cancelled as stop:
        return _say(command, stop, STOPPED)
    except KeyboardInterrupt:
        hint = "" if finished else "Nothing was written."
        return _say(command, Cancelled("Stopped.", hint), STOPPED)
    except HumanRefError as error:
        return _say(command, error, BAD_INPUT)
    except BrokenPipeError:
        # `humanref doctor | head`: the reader has gone, which is no error of ours.
        _let_stdout_go()
        return DONE
    except Exception as error:
        known = _as_known(error)
        if known is not None:
            return _say(command, known, BAD_INPUT)
        return _say(command, _unexpected(error), OURS)
    return DONE


def _as_known(error: Exception) -> HumanRefError | None:
    """Failures of the machine that any code may meet, in words."""
    if isinstance(error, OSError) and is_disk_full(error):
        return write_error(error, Path(error.filename or tempfile.gettempdir()))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return HumanRefError(
            "out_of_memory",
            "There is not enough memory for this.",
            "Close other programs, or use --preset draft.",
            retryable=True,
        )
    return None


def _unexpected(error: Exception) -> HumanRefError:
    """An error of ours: the traceback goes to a file, the sentence says which."""
    name = f"humanref-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    log = Path(tempfile.gettempdir()) / name
    text = "".join(traceback.format_exception(error))
    try:
        log.write_text(f"{sys.argv}\n{text}", encoding="utf-8")
        hint = f"The details are in {log}; please report them."
    except OSError:
        sys.stderr.write(text)
        hint = "The details are above; please report them."
    summary = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {summary[0]}" if summary else type(error).__name__
    return HumanRefError("unexpected", f"Something went wrong in humanref ({reason}).", hint)


def _say(command: Command, error: HumanRefError, code: int) -> int:
    sys.stderr.write(f"humanref: {error.message} {error.hint}".rstrip() + "\n")
    if command.json:
        details = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "retryable": error.retryable,
        }
        # The sentence has been said on stderr: a stdout that takes nothing changes no exit code.
        with suppress(OSError):
            _print_json({"ok": False, "error": details})
    return code


def _print_json(content: dict[str, Any]) -> None:
    """One line of strict JSON on stdout, at once; numbers that are not finite become null.

    Raises:
        OSError: stdout takes no more (BrokenPipeError: its reader has gone).
    """
    # Imports numpy, which reads its number of threads once: after calm_thread_pools.
    from backend.run_report import json_types

    text = json.dumps(json_types(content), allow_nan=False)
    try:
        print(text, flush=True)
    except OSError:
        _let_stdout_go()
        raise


def _let_stdout_go() -> None:
    """What is still buffered goes nowhere, instead of failing again when Python ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version() -> int:
    from importlib import metadata

    print(f"humanref {metadata.version('humanref')}")
    return DONE


def _tolerate_any_code_page() -> None:
    """A file name or caption outside the terminal's code page must not end a run."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
