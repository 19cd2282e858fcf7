"""report.json and report.md: means over subjects, and every number behind them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.evaluation.methods import Method
from backend.evaluation.wins import UNSEEN_METRICS, count_wins, unseen_means
from backend.run_report import package_versions
from backend.threads import usable_cores

FORMAT = "humanref-evaluation"
FORMAT_VERSION = 1

DEFINITIONS: Mapping[str, str] = {
    "alignment": "similarity of the 22 body joints (joints); then 20 steps of rigid ICP, closest points "
    "both ways on the outer surfaces (icp)",
    "views": "512 x 512, orthographic, unlit, over middle grey, cut to the box around the truth's "
    "silhouette; front 000, back 180, sides the mean of the other six",
    "perceptual": "squared distance of unit EfficientNet-Lite0 features, five scales, lower is better",
    "contextual": "contextual distance (Mechrez et al. 2018, h = 0.5) of EfficientNet-Lite0 features "
    "inside the silhouettes, mean of scales 1/4, 1/8 and 1/16, lower is better",
    "wins": "subjects on which the row's method is better than the column's, of those that both finished; "
    "mean of the seven views that the photo does not show, after ICP",
    "silhouette_iou": "of whole views, alpha cut at one half",
    "chamfer_cm": "mean of the mean distances both ways between the outer surfaces",
    "point_to_surface_cm": "mean distance from ours to the truth's outer surface",
    "normal_error_deg": "normal consistency: mean angle of normals at nearest points, both ways",
    "normal_view_error_deg": "mean angle to the truth's front and back normal pictures",
    "mpjpe_mm": "mean distance of the 22 body joints; mpjpe_all_mm: of all joints that the truth names",
    "input_view": "the photo's own crop against the photo, cut out by the silhouette that was found",
    "paper": "the paper's definitions, against the photo: LPIPS (VGG16) at its view; contextual (VGG19 "
    "conv4_2) and CLIP score as the mean of the seven other views",
    "cost": "seconds and peak MiB of each stage; the estimate is made once and counted in every method",
}


@dataclass(frozen=True)
class Outcome:
    """One method on one subject: its numbers, or why there are none."""

    subject: str
    method: str
    metrics: Mapping[str, Any] | None
    error: str = ""


def mean_tree(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of every number over trees of one shape; a number that some trees lack is the mean of
    those that have it. Words that all trees share stay."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for tree in trees for key in tree):
        values = [tree[key] for tree in trees if tree.get(key) is not None]
        branches = [value for value in values if isinstance(value, Mapping)]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if branches:
            found[key] = mean_tree(branches)
        elif numbers:
            found[key] = math.fsum(numbers) / len(numbers)
        elif values and all(value == values[0] for value in values):
            found[key] = values[0]
    return found


def build_report(
    dataset: str,
    methods: Sequence[Method],
    outcomes: Sequence[Outcome],
    settings: Mapping[str, Any],
    unavailable: Mapping[str, str],
) -> dict[str, Any]:
    """The content of report.json."""
    names = list(dict.fromkeys(outcome.subject for outcome in outcomes))
    done = [outcome for outcome in outcomes if outcome.metrics is not None]
    subjects = {
        name: {o.method: o.metrics for o in done if o.subject == name and o.metrics}
        for name in names
    }
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "dataset": dataset,
        "methods": {method.name: method.what for method in methods},
        "settings": dict(settings),
        "definitions": dict(DEFINITIONS),
        "unavailable": dict(unavailable),
        "mean": {
            method.name: {
                "subjects": sum(o.method == method.name for o in done),
                **mean_tree([o.metrics for o in done if o.method == method.name and o.metrics]),
            }
            for method in methods
        },
        "wins": count_wins(subjects.values(), [method.name for method in methods]),
        "subjects": subjects,
        "failed": [
            {"subject": o.subject, "method": o.method, "error": o.error}
            for o in outcomes
            if o.metrics is None
        ],
        "versions": package_versions(),
        "cores": usable_cores(),
    }


_PICTURES = (
    ("psnr_db", "PSNR dB", 2),
    ("ssim", "SSIM", 3),
    ("perceptual", "perceptual", 3),
    ("contextual", "contextual", 3),
    ("silhouette_iou", "IoU", 3),
)
_SURFACE = (
    ("geometry", "chamfer_cm", "Chamfer cm", 2),
    ("geometry", "point_to_surface_cm", "point to surface cm", 2),
    ("geometry", "normal_error_deg", "normals deg", 1),
    ("geometry", "normal_view_error_deg", "normal pictures deg", 1),
    ("body", "mpjpe_mm", "MPJPE mm", 1),
)


def markdown(report: Mapping[str, Any]) -> str:
    """report.md: the means as tables, then one line a subject and method."""
    means: Mapping[str, Any] = report["mean"]
    subjects: Mapping[str, Any] = report["subjects"]
    text = [f"# Evaluation on {report['dataset']}: {len(subjects)} subjects", ""]
    for name, what in report["methods"].items():
        text.append(
            f"- **{name}** ({means[name]['subjects']} subjects): {what}. {_said(means[name])}"
        )
    text += [
        "",
        "Lower is better for perceptual, contextual and everything in cm, degrees and mm.",
        "",
    ]
    for group in ("front", "sides", "back"):
        text += [f"## {group.capitalize()}, after ICP", ""]
        titles = ["method", *(title for _, title, _ in _PICTURES)]
        rows = [
            [name, *(_number(m, p, "aligned", "icp", "views", group, k) for k, _, p in _PICTURES)]
            for name, m in means.items()
        ]
        text += [*_table(titles, rows), ""]
    text += _unseen(report)
    for alignment, title in (("joints", "aligned by joints"), ("icp", "after ICP")):
        text += [f"## Surface and body, {title}", ""]
        rows = [
            [name, *(_number(m, p, "aligned", alignment, part, k) for part, k, _, p in _SURFACE)]
            for name, m in means.items()
        ]
        text += [*_table(["method", *(t for _, _, t, _ in _SURFACE)], rows), ""]
    text += ["## The photo's view, the paper's metrics, cost", ""]
    text += [*_table(*_rest(means)), ""]
    text += ["## Subject by subject, after ICP", "", *_table(*_one_by_one(subjects)), ""]
    if report["failed"]:
        text += ["## Failed", ""]
        text += [f"- {f['subject']}, {f['method']}: {f['error']}" for f in report["failed"]] + [""]
    text += ["## What the numbers mean", ""]
    text += [f"- {name}: {what}" for name, what in report["definitions"].items()]
    text += [f"- {name} is unavailable: {why}" for name, why in report["unavailable"].items()]
    return "\n".join(text) + "\n"


_UNSEEN_TITLES = {"perceptual": "perceptual", "contextual": "contextual", "psnr_db": "PSNR"}


def _unseen(report: Mapping[str, Any]) -> list[str]:
    """Means over the views that the photo does not show, and who wins there how often."""
    methods = list(report["mean"])
    if len(methods) < 2:
        return []
    found: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for subject in report["subjects"].values():
        for name, metrics in subject.items():
            found[name].append(unseen_means(metrics))
    rows = []
    for name, values in found.items():
        row = [name]
        for metric, digits in (("perceptual", 3), ("contextual", 3), ("psnr_db", 2)):
            mean = [value[metric] for value in values]
            row.append(f"{math.fsum(mean) / len(mean):.{digits}f}" if mean else "-")
        rows.append(row)
    text = ["## Sides and back together, after ICP", ""]
    text += [*_table(["method", *_UNSEEN_TITLES.values()], rows), ""]
    for metric in UNSEEN_METRICS:
        won = report["wins"][metric]
        text += [f"Subjects won by {_UNSEEN_TITLES[metric]}, row against column:", ""]
        rows = []
        for ours in methods:
            duels = [won[ours].get(other) for other in methods]
            rows.append([ours, *(f"{d['won']} of {d['of']}" if d else "" for d in duels)])
        text += [*_table(["", *methods], rows), ""]
    return text


def _said(mean: Mapping[str, Any]) -> str:
    guidance = mean.get("guidance")
    return f"Unseen sides: {guidance}." if isinstance(guidance, str) else ""


def _rest(means: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    titles = ["method", "PSNR dB", "IoU", "LPIPS (VGG)", "Contextual (VGG19)", "CLIP score"]
    rows = [
        [
            name,
            _number(mean, 2, "input_view", "psnr_db"),
            _number(mean, 3, "input_view", "silhouette_iou"),
            _number(mean, 3, "paper", "lpips_vgg"),
            _number(mean, 3, "paper", "contextual_vgg19"),
            _number(mean, 1, "paper", "clip_score"),
            _number(mean, 0, "cost", "total_seconds"),
            _number(mean, 0, "cost", "total_peak_memory_mb"),
        ]
        for name, mean in means.items()
    ]
    return [*titles, "seconds", "peak MiB"], rows


def _one_by_one(subjects: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    titles = ["subject", "method", "sides perceptual", "sides contextual", "sides PSNR"]
    titles += ["back perceptual", "back contextual", "back PSNR", "Chamfer cm", "MPJPE mm"]
    rows = []
    for subject, methods in subjects.items():
        for method, metrics in methods.items():
            row = [subject, method]
            for group in ("sides", "back"):
                for key, digits in (("perceptual", 3), ("contextual", 3), ("psnr_db", 2)):
                    row.append(_number(metrics, digits, "aligned", "icp", "views", group, key))
            row.append(_number(metrics, 2, "aligned", "icp", "geometry", "chamfer_cm"))
            row.append(_number(metrics, 1, "aligned", "joints", "body", "mpjpe_mm"))
            rows.append(row)
    return titles, rows


def _number(tree: Mapping[str, Any], digits: int, *path: str) -> str:
    """A number of a tree as text; words stay words, what is absent is a dash."""
    value: Any = tree
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, int | float):
        return f"{value:.{digits}f}"
    return value if isinstance(value, str) else "-"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
