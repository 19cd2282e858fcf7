"""The benchmark: every method on every subject, finished ones kept."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.errors import Cancelled, HumanRefError
from backend.evaluation.costs import StageCosts
from backend.evaluation.dataset import SIDE, check_subject, find_subjects, load_truth
from backend.evaluation.features import FeatureMetrics
from backend.evaluation.judge import Judge, Measure, judge
from backend.evaluation.methods import Method
from backend.evaluation.paper_metrics import load_paper_metrics
from backend.evaluation.predictions import cut_out_photo, predict_body, predict_character
from backend.evaluation.report import Outcome, build_report
from backend.evaluation.sheet import SheetSubject, sheet, strip
from backend.evaluation.store import Finished, ResultStore, fingerprint, read_strip, subject_digest
from backend.events import OnEvent, ignore_events
from backend.export.pictures import write_picture
from backend.perception.photo import load_photo
from backend.pipeline import Estimate, EstimateRequest, estimate, stage
from backend.settings import GenerateSettings


@dataclass(frozen=True)
class EvaluationRequest:
    """What is compared on what."""

    dataset: Path
    output: Path
    methods: tuple[Method, ...]
    settings: GenerateSettings
    """Of the runs; a method replaces the guidance alone."""
    limit: int | None = None
    """Only the first so many subjects, by name."""
    fresh: bool = False
    """Compute again what is finished."""


def evaluate(request: EvaluationRequest, on_event: OnEvent = ignore_events) -> dict[str, Any]:
    """Run and judge; writes ``results/`` and ``sheet.png`` into the output folder.

    A subject that a method refuses is listed as failed, and the others go on.

    Returns:
        The content of report.json.

    Raises:
        HumanRefError: a dataset that is not whole, before anything runs; ``evaluation_failed`` when not
            one run came to an end.
        KeyboardInterrupt: finished results stay and are not computed again.
    """
    folders = find_subjects(request.dataset, request.limit)
    with stage("dataset", on_event, f"{len(folders)} subjects"):
        for folder in folders:
            check_subject(folder)
        # Loaded before the first run: a missing package is then said at once.
        judges = Judge(FeatureMetrics(), load_paper_metrics())
    store = ResultStore(request.output)
    outcomes: list[Outcome] = []
    blocks: list[SheetSubject] = []
    for number, folder in enumerate(folders, 1):
        with stage(f"subject {number} of {len(folders)}", on_event, folder.name):
            done = _Subject(request, folder, judges, store, on_event).run()
            outcomes += done.outcomes
            if done.strips:
                blocks.append(_block(folder, done.strips))
        gc.collect()
    if not blocks:
        first = outcomes[0]
        raise HumanRefError(
            "evaluation_failed",
            f"Not one run came to an end; {first.subject}, {first.method}: {first.error}",
            "Try the photo alone with humanref generate.",
        )
    with stage("sheet", on_event):
        write_picture(request.output / "sheet.png", sheet(blocks))
    settings = request.settings
    return build_report(
        request.dataset.resolve().name,
        request.methods,
        outcomes,
        {
            "preset": settings.preset,
            "steps": settings.optimization.steps,
            "seed": settings.seed,
            "device": settings.device,
        },
        judges.paper.absent,
    )


@dataclass(frozen=True)
class _Done:
    outcomes: list[Outcome]
    strips: dict[str, Path]


class _Subject:
    """One subject's runs; truth and estimate are made only when a run asks for them, and once."""

    def __init__(
        self,
        request: EvaluationRequest,
        folder: Path,
        judges: Judge,
        store: ResultStore,
        on_event: OnEvent,
    ) -> None:
        self._request = request
        self._folder = folder
        self._judges = judges
        self._store = store
        self._on_event = on_event
        self._digest = subject_digest(folder)
        self._estimated: tuple[Estimate, StageCosts] | HumanRefError | None = None
        self._measure: Measure | None = None

    def run(self) -> _Done:
        """Every method in turn."""
        done = _Done([], {})
        # Runs that are one and the same (standard is ref-sds) are made once.
        same: dict[str, tuple[str, Finished]] = {}
        name = self._folder.name
        for method in self._request.methods:
            settings = method.settings(self._request.settings)
            key = fingerprint(method, settings, self._digest)
            kept = None if self._request.fresh else self._store.load(name, method.name, key)
            try:
                if key in same:
                    twin, first = same[key]
                    kept = replace(first, metrics={**first.metrics, "same_run_as": twin})
                elif kept is None:
                    kept = self._compute(method, settings, key)
            except Cancelled:
                raise
            except HumanRefError as error:
                if error.code in ("disk_full", "unwritable", "write_failed", "out_of_memory"):
                    raise
                done.outcomes.append(Outcome(name, method.name, None, str(error)))
                continue
            same.setdefault(key, (method.name, kept))
            done.outcomes.append(Outcome(name, method.name, kept.metrics))
            done.strips[method.name] = kept.strip
        return done

    def _compute(self, method: Method, settings: GenerateSettings, key: str) -> Finished:
        estimated, before = self._estimate()
        measure = self._load_truth()
        costs = StageCosts(self._on_event)
        if method.fits:
            prediction = predict_character(estimated, settings, costs)
        else:
            prediction = predict_body(estimated, costs)
        with stage("judging", self._on_event, f"{self._folder.name}: {method.name}"):
            photo = cut_out_photo(estimated, prediction.crop, SIDE)
            found = judge(self._judges, prediction, measure, photo)
            metrics = {
                **found.metrics,
                "cost": _cost(before, costs),
                "guidance": prediction.guidance,
                "providers": dict(prediction.providers),
            }
            pictures = strip(found.views)
        return self._store.save(self._folder.name, method.name, key, metrics, pictures)

    def _estimate(self) -> tuple[Estimate, StageCosts]:
        if self._estimated is None:
            costs = StageCosts(self._on_event)
            try:
                # The photo is all that a method may read.
                request = EstimateRequest(self._folder / "photo.png")
                self._estimated = estimate(request, costs), costs
            except Cancelled:
                raise
            except HumanRefError as error:
                self._estimated = error
        if isinstance(self._estimated, HumanRefError):
            raise self._estimated
        return self._estimated

    def _load_truth(self) -> Measure:
        if self._measure is None:
            with stage("truth", self._on_event, self._folder.name):
                self._measure = Measure.of(self._judges, load_truth(self._folder))
        return self._measure


def _cost(before: StageCosts, after: StageCosts) -> dict[str, Any]:
    seconds = {**before.seconds, **after.seconds}
    memory = {**before.peak_memory_mb, **after.peak_memory_mb}
    return {
        "seconds": seconds,
        "peak_memory_mb": memory,
        "memory_is": "of each stage" if after.memory_is_per_stage else "of the process so far",
        "total_seconds": sum(before.outer_seconds) + sum(after.outer_seconds),
        "total_peak_memory_mb": max(memory.values()),
    }


def _block(folder: Path, strips: Mapping[str, Path]) -> SheetSubject:
    rows = {"truth": strip(load_truth(folder).colors)}
    rows |= {name: read_strip(path) for name, path in strips.items()}
    return SheetSubject(folder.name, load_photo(folder / "photo.png").rgb, rows)
