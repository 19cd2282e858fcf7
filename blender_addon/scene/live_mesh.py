"""The mesh as it grows: one object whose geometry is replaced many times, quickly and outside undo."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray


class LiveMesh:
    """Shows previews. Keeps names only, so the user may delete, rename or undo what it shows."""

    def __init__(self, name: str, collection: bpy.types.Collection | None = None) -> None:
        """Nothing appears before the first update; ``collection`` None is the scene's own."""
        self._name = name

    def update(
        self,
        vertices: NDArray[np.float32],
        faces: NDArray[np.int32],
        colors: NDArray[np.uint8],
        topology: str,
    ) -> bool:
        """Show a mesh.

        Args:
            vertices: (v, 3) metres, the body's world (y up).
            faces: (f, 3).
            colors: (v, 3) sRGB.
            topology: same id, same faces: only positions and colours are written.

        Returns:
            False where the user edits the mesh and it was left alone.
        """
        raise NotImplementedError

    @property
    def object(self) -> bpy.types.Object | None:
        """What is shown now, if it is still there."""
        raise NotImplementedError

    def remove(self) -> None:
        """Take the object and its mesh out of the file; nothing happens where it is gone already."""
        raise NotImplementedError
