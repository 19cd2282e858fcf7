"""Checkpoints are whole or absent, and refuse what they do not belong to."""

from pathlib import Path

import pytest
import torch

from backend.errors import HumanRefError
from backend.optimization.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def _checkpoint() -> Checkpoint:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = torch.Generator().manual_seed(3).get_state()
    sampler = {"grid": torch.zeros(2, 2, 2), "moved": 0.5}
    return Checkpoint("abc", 7, layer.state_dict(), optimizer.state_dict(), state, sampler, 1.5)


def test_round_trip(tmp_path: Path) -> None:
    saved = _checkpoint()
    save_checkpoint(tmp_path / "a.checkpoint", saved)
    loaded = load_checkpoint(tmp_path / "a.checkpoint", "abc")
    assert (loaded.step, loaded.seconds) == (7, 1.5)
    torch.testing.assert_close(loaded.field, saved.field)
    assert torch.equal(loaded.generator, saved.generator)
    assert [p.name for p in tmp_path.iterdir()] == ["a.checkpoint"]


@pytest.mark.parametrize(
    ("content", "fingerprint", "code"),
    [
        (None, "abc", "checkpoint_missing"),
        (b"not a checkpoint", "abc", "checkpoint_unreadable"),
        ("good", "other", "checkpoint_mismatch"),
    ],
)
def test_refusals(tmp_path: Path, content: object, fingerprint: str, code: str) -> None:
    path = tmp_path / "a.checkpoint"
    if content == "good":
        save_checkpoint(path, _checkpoint())
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(HumanRefError) as error:
        load_checkpoint(path, fingerprint)
    assert error.value.code == code


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(HumanRefError) as error:
        save_checkpoint(tmp_path / "file" / "a.checkpoint", _checkpoint())
    assert error.value.code == "checkpoint_unwritable"
