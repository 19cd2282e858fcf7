"""Step 2: a photo from a file, from a drop into the viewport, or from the .blend."""

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ImportHelper

from ..session.problem import ProblemError
from .operator_base import ExplainedOperator
from .photo_display import put_photo_up
from .requirements import need_photo

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


class HUMANREF_OT_open_photo(ExplainedOperator, ImportHelper, bpy.types.Operator):
    """Open a photo of one person and show it behind the body"""

    bl_idname = "humanref.open_photo"
    bl_label = "Open Photo"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="File", description="Photo of one person", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(
        name="Filter",
        description="Pictures that the backend reads",
        default=";".join(f"*{extension}" for extension in EXTENSIONS),
        options={"HIDDEN"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        # A drop brings the path along; a button asks for it.
        if self.filepath:
            return self.execute(context)
        return ImportHelper.invoke(self, context, event)

    def run(self, context: bpy.types.Context) -> None:
        path = Path(self.filepath)
        if not path.is_file():
            raise ProblemError("photo_unreadable", f"{path} is no file.", "Choose a photo.")
        try:
            image = bpy.data.images.load(str(path), check_existing=True)
        except RuntimeError as error:
            raise ProblemError(
                "photo_unreadable", f"{path.name} cannot be read as a picture.", "Try PNG or JPEG."
            ) from error
        if image.size[0] == 0:
            # One that the file had already is the artist's.
            if not image.users:
                bpy.data.images.remove(image)
            raise ProblemError(
                "photo_unreadable", f"{path.name} cannot be read as a picture.", "Try PNG or JPEG."
            )
        # Choosing it shows it.
        context.scene.humanref.photo = image


class HUMANREF_OT_show_photo(ExplainedOperator, bpy.types.Operator):
    """Show the photo behind the body and look through its camera"""

    bl_idname = "humanref.show_photo"
    bl_label = "Look Through Photo"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    needs = (need_photo,)

    def run(self, context: bpy.types.Context) -> None:
        put_photo_up(context)


class HUMANREF_FH_photo(bpy.types.FileHandler):
    """Pictures that are dropped into the 3D viewport"""

    bl_idname = "HUMANREF_FH_photo"
    bl_label = "Photo of a Person (HumanRef)"
    bl_import_operator = "humanref.open_photo"
    bl_file_extensions = ";".join(EXTENSIONS)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


CLASSES = (HUMANREF_OT_open_photo, HUMANREF_OT_show_photo, HUMANREF_FH_photo)
