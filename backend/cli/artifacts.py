"""What the commands write. Heavy: imported when a command runs."""

from __future__ import annotations

from collections.abc import Mapping
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


def write_estimate(estimated: Estimate, pose: Path, picture: Path | None) -> None:
    """pose.json and, where asked for, the body over the photo.

    Raises:
        HumanRefError: a file that cannot be written.
    """
    fit, photo = estimated.fit, estimated.subject.photo
    write_pose(pose, make_pose_file(fit.pose, fit.camera, estimated.model, photo, fit.report))
    if picture is not None:
        write_picture(picture, overlay(photo.rgb, estimated.body, fit.camera))


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


def write_artifacts(
    places: Mapping[str, Path], estimated: Estimate, result: GenerateResult
) -> None:
    """Everything of ``--artifacts`` but run.json.

    Args:
        places: file name in the folder -> where to write it now; empty without ``--artifacts``.

    ``mesh.ply`` and ``pose.json`` share one frame: the character's world, metres, feet on y = 0.

    Raises:
        HumanRefError: a file that cannot be written.
    """
    if not places:
        return
    subject, character = estimated.subject, result.character
    photo = subject.photo
    write_ply(places["mesh.ply"], character.mesh)
    pose_file = make_pose_file(
        character.pose, result.camera, estimated.model, photo, estimated.fit.report
    )
    write_pose(places["pose.json"], pose_file)
    write_picture(places["mask.png"], subject.mask)
    write_regions(places["regions.png"], subject.regions)
    body_over_photo = overlay(photo.rgb, estimated.body, estimated.fit.camera)
    write_picture(places["overlay.png"], body_over_photo)
    write_picture(places["turntable.png"], turntable(character.mesh, photo.rgb, subject.mask))


def result_numbers(estimated: Estimate, result: GenerateResult) -> dict[str, Any]:
    """What run.json and the summary say about the result."""
    character, fit = result.character, estimated.fit
    return {
        "faces": len(character.mesh.faces),
        "vertices": len(character.mesh.vertices),
        "joints": len(character.joints),
        "height_m": character.height,
        "caption": estimated.subject.caption,
        "steps": result.summary.steps,
        "field_evaluations": result.summary.points,
        "mean_losses": dict(result.summary.losses),
        "fit": fit.report.as_dict(),
    }
