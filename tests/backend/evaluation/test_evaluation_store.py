"""What a kept result of an evaluation depends on."""

from pathlib import Path

from backend.evaluation.store import code_digest


def test_other_code_or_weights_are_another_result(tmp_path: Path) -> None:
    def digest() -> str:
        code_digest.cache_clear()
        return code_digest(tmp_path)

    (tmp_path / "room" / "weights" / "net").mkdir(parents=True)
    module, index = tmp_path / "room" / "module.py", tmp_path / "room/weights/net/config.json"
    module.write_text("a = 1\n")
    index.write_text("{}")
    (tmp_path / "notes.md").write_text("one")
    found = [digest()]
    (tmp_path / "notes.md").write_text("two")
    assert digest() == found[0]
    for file, text in ((module, "a = 2\n"), (index, '{"sha256": ""}')):
        file.write_text(text)
        found.append(digest())
    assert len(set(found)) == 3
    code_digest.cache_clear()
