"""Texts of the interface in other languages; English is the text in the code."""

from .german import GERMAN

TRANSLATIONS = {"de_DE": GERMAN}
"""Language -> (context, English) -> translation, as ``bpy.app.translations.register`` wants it."""
