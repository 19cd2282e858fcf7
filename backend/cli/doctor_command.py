"""``humanref doctor``."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.cli.arguments import Doctor
from backend.doctor import DoctorReport, examine
from backend.errors import HumanRefError


def run_doctor(args: Doctor) -> dict[str, Any]:
    """Examine the machine and print what was found.

    Raises:
        HumanRefError: ``installation_broken`` when a required part does not load.
    """
    report = examine()
    if not args.json:
        print_report(report, Console(file=sys.stdout, soft_wrap=not sys.stdout.isatty()))
    if report.problems:
        raise HumanRefError(
            "installation_broken",
            " ".join(f"{problem.what}." for problem in report.problems),
            " ".join(dict.fromkeys(problem.remedy for problem in report.problems)),
        )
    return {"command": "doctor", **report.to_json()}


def print_report(report: DoctorReport, console: Console) -> None:
    """The findings as two tables in a terminal, as one block a stage in a pipe."""
    for name, value in report.machine.items():
        console.print(Text(f"{name.replace('_', ' '):<14} {value}"))
    console.print()
    if not console.is_terminal:
        _print_blocks(report, console)
        return
    table = Table(box=None, padding=(0, 2, 1, 0), show_edge=False)
    for heading in ("stage", "provider", "why", "licence", "better"):
        table.add_column(heading, overflow="fold")
    for row in report.stages:
        table.add_row(*map(Text, (row.stage, row.provider, row.why, row.licence, row.improve)))
    console.print(table)


def _print_blocks(report: DoctorReport, console: Console) -> None:
    for row in report.stages:
        console.print(Text(f"{row.stage}: {row.provider}"))
        console.print(Text(f"  why      {row.why}"))
        console.print(Text(f"  licence  {row.licence}"))
        if row.improve:
            console.print(Text(f"  better   {row.improve}"))
