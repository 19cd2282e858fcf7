"""Files a command makes: checked before the long work, put in place together or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from backend.errors import HumanRefError
from backend.files import write_error


def check_inputs(inputs: dict[str, Path | None]) -> None:
    """Refuse named input files that are not there or may not be read.

    Raises:
        HumanRefError: ``file_missing``, ``file_unreadable``; the option (or "the photo") is named.
    """
    for what, path in inputs.items():
        if path is None:
            continue
        try:
            if path.is_file():
                with path.open("rb"):
                    continue
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise HumanRefError(
                "file_unreadable",
                f"{what} {path} cannot be read ({reason}).",
                "Check the name, and that you may open the file.",
            ) from error
        if path.is_dir():
            message = f"{what} {path} is a folder, not a file."
        else:
            message = f"{what} {path} does not exist."
        raise HumanRefError("file_missing", message, "Check the name and the folder.")


def check_suffix(path: Path, suffixes: Sequence[str], what: str) -> None:
    """Refuse a file name that says another format. Raises HumanRefError ``output_format``."""
    if path.suffix.lower() in suffixes:
        return
    allowed = " or ".join((", ".join(suffixes[:-1]), suffixes[-1])) if suffixes[1:] else suffixes[0]
    ending = f"ends with {path.suffix}" if path.suffix else "has no ending"
    raise HumanRefError("output_format", f"{what} {path} {ending}.", f"End it with {allowed}.")


def check_outputs(
    outputs: Sequence[Path], inputs: Iterable[Path | None], *, force: bool, needed_bytes: int
) -> None:
    """Refuse, before the long work, outputs that could not be written after it.

    Args:
        outputs: every file the command will make.
        inputs: files it reads, which it must not write over.
        force: existing files may be replaced.
        needed_bytes: free space wanted in each output's folder.

    Raises:
        HumanRefError: ``output_clash``, ``output_is_input``, ``output_exists``, ``output_folder``,
            ``unwritable``, ``disk_full``.
    """
    places = [path.resolve() for path in outputs]
    if len(set(places)) < len(places):
        raise HumanRefError(
            "output_clash", "Two outputs have the same name.", "Give each its own name."
        )
    folders = {parent for place in places for parent in place.parents}
    for path, place in zip(outputs, places, strict=True):
        if place in folders:
            raise HumanRefError(
                "output_clash",
                f"{path} would be a file and a folder at once.",
                "Give the output and the folder different names.",
            )
    read = {path.resolve() for path in inputs if path is not None}
    for path, place in zip(outputs, places, strict=True):
        if place in read:
            raise HumanRefError(
                "output_is_input",
                f"{path} is also an input; writing would destroy it.",
                "Choose another name for the output.",
            )
        try:
            _check_place(path, force)
            check_folder(place.parent, needed_bytes)
        except OSError as error:
            # Looking is refused too: a folder that may not be entered, a name that is too long.
            raise write_error(error, path) from error


def _check_place(path: Path, force: bool) -> None:
    if path.is_dir():
        raise HumanRefError("output_folder", f"{path} is a folder.", "Give the output a file name.")
    if path.exists() and not force:
        raise HumanRefError(
            "output_exists",
            f"{path} already exists.",
            "Choose another name, or add --force to replace it.",
        )


def check_folder(folder: Path, needed_bytes: int) -> None:
    """Prove that files can be made in ``folder``, which need not exist yet.

    Raises:
        HumanRefError: ``unwritable``, ``disk_full``.
    """
    ancestor = folder
    while not ancestor.exists() and ancestor != ancestor.parent:
        ancestor = ancestor.parent
    if not ancestor.is_dir():
        raise HumanRefError(
            "unwritable",
            f"Nothing can be written in {folder}: {ancestor} is not a folder.",
            "Choose another folder for the output.",
        )
    try:
        with tempfile.TemporaryFile(dir=ancestor):
            pass
    except OSError as error:
        raise write_error(error, folder) from error
    free = shutil.disk_usage(ancestor).free
    if free < needed_bytes:
        raise HumanRefError(
            "disk_full",
            f"{folder} has {free / 1e6:.0f} MB free; this needs about {needed_bytes / 1e6:.0f} MB.",
            "Free some space, or choose another disk for the output.",
            retryable=True,
        )


@dataclass(frozen=True)
class _Move:
    """One file on its way to its place, and where the one it replaces waits."""

    staged: Path
    final: Path
    kept: Path
    had_old: bool


class OutputFiles:
    """Files made under temporary names beside their places and moved there together.

    Used as a context manager: leaving it without :meth:`commit` removes everything it made, folders
    included.
    """

    def __init__(self) -> None:
        self._rooms: dict[Path, Path] = {}
        self._made: list[Path] = []
        self._staged: list[tuple[Path, Path]] = []
        self._moves: list[_Move] = []

    def __enter__(self) -> OutputFiles:
        return self

    def stage(self, final: Path) -> Path:
        """A temporary path on the same disk to write ``final`` to; its name keeps the ending.

        Raises:
            HumanRefError: the folder cannot be made.
        """
        final = final.resolve()
        try:
            room = self._room(final.parent)
        except OSError as error:
            raise write_error(error, final) from error
        staged = room / final.name
        self._staged.append((staged, final))
        return staged

    def commit(self) -> list[Path]:
        """Move every staged file to its place; on failure or Ctrl-C put the old files back.

        Returns the final paths.

        Raises:
            HumanRefError: a file cannot be put in its place.
        """
        for number, (staged, final) in enumerate(self._staged):
            kept = staged.with_name(f"replaced-{number}")
            try:
                # Noted before anything moves: Ctrl-C may come between any two of these lines.
                self._moves.append(_Move(staged, final, kept, final.exists()))
                if self._moves[-1].had_old:
                    os.replace(final, kept)
                os.replace(staged, final)
            except BaseException as error:
                self._put_back()
                if isinstance(error, OSError):
                    raise self._in_words(error, final) from error
                raise
        self._moves.clear()
        finals = [final for _, final in self._staged]
        self._staged.clear()
        self._made.clear()
        return finals

    def _put_back(self) -> None:
        """Undo every move. What lies where is read from the disk: it may be called again."""
        for move in reversed(self._moves):
            with suppress(OSError):
                if move.kept.exists():
                    os.replace(move.kept, move.final)
                elif not move.had_old and not move.staged.exists():
                    move.final.unlink(missing_ok=True)

    def _in_words(self, error: OSError, final: Path) -> HumanRefError:
        words = write_error(error, final)
        for move in self._moves:
            if move.kept.exists():
                words.hint += f" The old {move.final.name} is kept as {move.kept}."
        return words

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Still there when Ctrl-C came in the middle of commit, or a second one while it undid.
        self._put_back()
        in_use = {move.kept.parent for move in self._moves if move.kept.exists()}
        for room in self._rooms.values():
            # An old file that could not be put back must not go with its room.
            if room not in in_use:
                shutil.rmtree(room, ignore_errors=True)
        for folder in reversed(self._made):
            # A folder that something else has been put into is no longer ours to remove.
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, HumanRefError):
            self._name_finals(error)

    def _name_finals(self, error: HumanRefError) -> None:
        """A writer names the temporary path it knows: say the place the user asked for instead."""
        for staged, final in self._staged:
            error.message = error.message.replace(str(staged), str(final))

    def _room(self, folder: Path) -> Path:
        if folder not in self._rooms:
            missing = [folder, *folder.parents]
            for parent in reversed([each for each in missing if not each.exists()]):
                parent.mkdir()
                self._made.append(parent)
            self._rooms[folder] = Path(tempfile.mkdtemp(prefix=".humanref-", dir=folder))
        return self._rooms[folder]
