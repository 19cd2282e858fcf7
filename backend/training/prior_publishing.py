"""A trained prior as others use it: measured, written with its model card, and known to be whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.errors import HumanRefError
from backend.files import write_whole
from backend.guidance.compact_files import check_compact, write_compact
from backend.training.prior_card import LICENCE, model_card, training_record
from backend.training.prior_sheets import Validation
from backend.training.prior_sources import PeopleSource
from backend.training.prior_training import PriorTrainer

PRIOR = "prior"
"""Folder inside a run's own that holds the prior."""
METRICS = "metrics.json"
CARD = "README.md"


def publish_prior(
    output: Path, trainer: PriorTrainer, sources: Sequence[PeopleSource], validation: Validation
) -> dict[str, Any]:
    """Measure the averaged weights and write prior, card, last sheet and ``metrics.json``.

    Returns the record of the training (:func:`backend.training.prior_card.training_record`).

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    validation.draw(trainer.average, f"sheet_{trainer.step}.png")
    metrics = validation.measure(trainer.average)
    count = len(validation.people)
    record = training_record(trainer.settings, trainer.step, sources, metrics, count)
    size = write_compact(trainer.average, output / PRIOR, LICENCE, record)
    card = model_card(record, trainer.average, licence=LICENCE, size_bytes=size)
    write_whole(output / PRIOR / CARD, card.encode())
    # Last: where it lies, all else does.
    write_whole(output / METRICS, (json.dumps(record, indent=1) + "\n").encode())
    return record


def published_record(output: Path, steps: int) -> dict[str, Any] | None:
    """The record of a prior that was published after so many steps and is still whole, else None."""
    try:
        record: dict[str, Any] = json.loads((output / METRICS).read_text(encoding="utf-8"))
        index, _ = check_compact(output / PRIOR)
        whole = (output / PRIOR / CARD).is_file() and index["training"] == record
        return record if whole and record["steps"] == steps else None
    except (OSError, ValueError, KeyError, TypeError, HumanRefError):
        return None
