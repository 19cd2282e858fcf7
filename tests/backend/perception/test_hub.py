"""Weights are looked for on this machine only, unless the user named them."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import HumanRefError
from backend.perception import hub


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def test_a_folder_with_weights_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert hub.local_weights(str(folder)) is None
    (folder / "model.safetensors").write_bytes(b"x")
    assert hub.local_weights(str(folder)) == folder
    assert hub.resolve_weights(str(folder), allow_download=False) == str(folder)


def test_a_hub_id_goes_out_only_when_allowed() -> None:
    assert hub.local_weights("nobody/nothing-here") is None
    assert hub.resolve_weights("nobody/nothing-here", allow_download=True) == "nobody/nothing-here"
    with pytest.raises(HumanRefError) as caught:
        hub.resolve_weights("nobody/nothing-here", allow_download=False)
    assert caught.value.code == "weights_missing"


@pytest.mark.parametrize("path", ["./missing", "/missing/folder", "~/missing", "missing"])
def test_a_missing_folder_is_never_taken_for_a_hub_id(path: str) -> None:
    with pytest.raises(HumanRefError) as caught:
        hub.resolve_weights(path, allow_download=True)
    assert caught.value.code == "weights_missing"


def test_a_cached_snapshot_is_found(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "cache" / "models--some--model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x")
    assert hub.local_weights("some/model") == snapshot


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(HumanRefError) as caught:
        hub.require("hub", "json", "no_such_package_here")
    assert caught.value.code == "missing_package"
    assert "humanref[hub]" in caught.value.hint
