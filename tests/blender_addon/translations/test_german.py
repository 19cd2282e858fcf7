import ast
from pathlib import Path

from humanref_addon.translations import TRANSLATIONS

ADDON = Path(__file__).parents[3] / "blender_addon"


def words_in_the_code() -> set[str]:
    """Every string of the add-on, docstrings included: Blender shows those of operators."""
    found = set()
    for path in ADDON.rglob("*.py"):
        if "translations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_every_translated_text_is_one_that_the_code_says() -> None:
    known = words_in_the_code()
    for table in TRANSLATIONS.values():
        gone = sorted(english for _, english in table if english not in known)
        assert not gone


def test_placeholders_are_kept() -> None:
    for table in TRANSLATIONS.values():
        for (_, english), translated in table.items():
            assert english.count("{}") == translated.count("{}"), english
            assert translated
