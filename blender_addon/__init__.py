"""The host side: what Blender loads. It is built together with the wire protocol it speaks."""


def register() -> None:
    """Blender's hook on enabling the extension."""
    # Blender reads this file for its metadata as well: nothing heavy is imported before it is used.
    from .registration import register_everything

    register_everything()


def unregister() -> None:
    """Blender's hook on disabling the extension and on quitting."""
    from .registration import unregister_everything

    unregister_everything()
