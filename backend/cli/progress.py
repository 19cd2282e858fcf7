"""Progress on stderr: live bars in a terminal, plain lines in a pipe or a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from backend.events import Event, OnEvent, StageFinished, StageStarted, Step, Warned

PLAIN_LINE_EVERY = 5.0
"""Seconds between two lines of one stage's progress in a pipe."""

_TITLE_WIDTH, _BAR_WIDTH = 13, 16


def make_progress() -> PlainProgress | LiveProgress:
    """Live bars when stderr is a terminal, plain lines when it is not."""
    console = Console(stderr=True)
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


@contextmanager
def loading(on_event: OnEvent) -> Iterator[None]:
    """Report the import of heavy packages as a stage: it takes seconds, once a command."""
    on_event(StageStarted("loading", "PyTorch, MediaPipe and the body"))
    start = time.perf_counter()
    yield
    on_event(StageFinished("loading", time.perf_counter() - start))


def duration(seconds: int | float) -> str:
    """In words: "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def losses_line(losses: Mapping[str, float]) -> str:
    """Losses as "rgb 12.3  iou 0.81 ..." with three digits each."""
    return "  ".join(f"{name} {value:.3g}" for name, value in losses.items())


def _title(stage: str) -> str:
    return stage.replace("_", " ")


class PlainProgress:
    """One line an event, without colours or cursor movements; ASCII for any code page."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._start = clock()
        self._last_step = -PLAIN_LINE_EVERY

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._console.file.flush()

    def __call__(self, event: Event) -> None:
        now = self._clock() - self._start
        if isinstance(event, StageStarted):
            self._last_step = now - PLAIN_LINE_EVERY
            self._line(now, f"{_title(event.stage)}: {event.provider or 'started'}")
        elif isinstance(event, StageFinished):
            self._line(now, f"{_title(event.stage)}: done in {duration(event.seconds)}")
        elif isinstance(event, Warned):
            self._line(now, f"note: {event.message}")
        elif isinstance(event, Step):
            if now - self._last_step < PLAIN_LINE_EVERY and event.step < event.total:
                return
            self._last_step = now
            text = f"{_title(event.stage)}: {event.step}/{event.total}"
            if event.step < event.total:
                text += f", {duration(event.eta)} left"
            if event.losses:
                text += f", {losses_line(event.losses)}"
            self._line(now, text)

    def _line(self, now: float, text: str) -> None:
        line = f"[{now:7.1f} s] {text}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


class LiveProgress:
    """The list of stages as it grows, the running one with a bar, the time left and its losses."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # The text beside a bar may be long: it is cut off before it squeezes title and bar away.
        fixed = Column(min_width=_TITLE_WIDTH, no_wrap=True)
        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]\u2713"),
            TextColumn("{task.description}", table_column=fixed),
            BarColumn(bar_width=_BAR_WIDTH, table_column=Column(min_width=_BAR_WIDTH)),
            TextColumn("{task.fields[info]}", style="dim", markup=False, table_column=rest),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._providers: dict[str, str] = {}

    def __enter__(self) -> LiveProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._providers[event.stage] = event.provider
            self._progress.update(self._task(event.stage), info=event.provider, completed=0)
        elif isinstance(event, StageFinished):
            provider = self._providers.get(event.stage, "")
            info = duration(event.seconds) + (f"  {provider}" if provider else "")
            self._progress.update(self._task(event.stage), total=1, completed=1, info=info)
        elif isinstance(event, Step):
            info = f"{event.step}/{event.total}  {duration(event.eta)} left"
            self._progress.update(
                self._task(event.stage), total=event.total, completed=event.step, info=info
            )
            if event.losses:
                self._progress.update(
                    self._task(event.stage), info=f"{info}  {losses_line(event.losses)}"
                )
        elif isinstance(event, Warned):
            note = Text.assemble(("note", "yellow"), f"  {event.message}")
            self._progress.console.print(note)

    def _task(self, stage: str) -> TaskID:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(_title(stage), total=None, info="")
        return self._tasks[stage]
