"""The files that come of an estimate and of a character, by name. Heavy: it draws pictures.

A writer makes one file at the path it is given, whole or not at all; which files are wanted and where
they go is the caller's business (the command line's folder, the service's store).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.export.glb import write_glb
from backend.export.meshes import write_obj, write_ply
from backend.export.overlay import overlay
from backend.export.pictures import write_picture
from backend.export.turntable import turntable
from backend.fitting.pose_file import make_pose_file, write_pose
from backend.perception.region_files import write_regions
from backend.pipeline import Estimate, GenerateResult
from backend.rigging.character import Character

Writer = Callable[[Path], None]
"""Raises HumanRefError ``disk_full``, ``unwritable``, ``write_failed``."""


def estimate_files(estimated: Estimate) -> dict[str, Writer]:
    """``pose.json``, and ``overlay.png``: the body over the photo."""
    return {
        "pose.json": lambda path: _write_fit(path, estimated),
        "overlay.png": lambda path: _write_overlay(path, estimated),
    }


def result_files(
    estimated: Estimate, result: GenerateResult, name: str = "character"
) -> dict[str, Writer]:
    """Everything that is kept of a result but run.json.

    ``mesh.ply`` and ``pose.json`` share one frame: the character's world, metres, feet on y = 0.

    Args:
        name: what Blender calls the armature in ``character.glb``.
    """
    subject, character = estimated.subject, result.character
    return {
        "character.glb": lambda path: write_character(path, character, name),
        "mesh.ply": lambda path: write_ply(path, character.mesh),
        "pose.json": lambda path: _write_result_pose(path, estimated, result),
        "mask.png": lambda path: write_picture(path, subject.mask),
        "regions.png": lambda path: write_regions(path, subject.regions),
        "overlay.png": lambda path: _write_overlay(path, estimated),
        "turntable.png": lambda path: write_picture(
            path, turntable(character.mesh, subject.photo.rgb, subject.mask)
        ),
    }


def write_character(path: Path, character: Character, name: str) -> None:
    """The character in the format that the ending of ``path`` names.

    Args:
        path: ``.glb`` holds skin and skeleton; ``.ply`` and ``.obj`` the mesh in the photo's pose.
        name: what Blender calls the armature.

    Raises:
        HumanRefError: a file that cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".glb":
        write_glb(path, character, name)
    elif suffix == ".ply":
        write_ply(path, character.mesh)
    else:
        assert suffix == ".obj"
        write_obj(path, character.mesh)


def result_numbers(estimated: Estimate, result: GenerateResult) -> dict[str, Any]:
    """What run.json and the summary say about the result."""
    character, fit = result.character, estimated.fit
    return {
        "faces": len(character.mesh.faces),
        "vertices": len(character.mesh.vertices),
        "joints": len(character.joints),
        "texture": 0 if character.texture is None else len(character.texture),
        "height_m": character.height,
        "caption": estimated.subject.caption,
        "steps": result.summary.steps,
        "field_evaluations": result.summary.points,
        "mean_losses": dict(result.summary.losses),
        "fit": fit.report.as_dict(),
    }


def _write_fit(path: Path, estimated: Estimate) -> None:
    fit, photo = estimated.fit, estimated.subject.photo
    write_pose(path, make_pose_file(fit.pose, fit.camera, estimated.model, photo, fit.report))


def _write_result_pose(path: Path, estimated: Estimate, result: GenerateResult) -> None:
    photo, report = estimated.subject.photo, estimated.fit.report
    pose = result.character.pose
    write_pose(path, make_pose_file(pose, result.camera, estimated.model, photo, report))


def _write_overlay(path: Path, estimated: Estimate) -> None:
    photo = estimated.subject.photo.rgb
    write_picture(path, overlay(photo, estimated.body, estimated.fit.camera))
