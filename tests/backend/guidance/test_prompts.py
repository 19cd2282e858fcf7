"""Prompts: views by azimuth, captions of any length."""

from __future__ import annotations

import pytest

from backend.guidance.prompts import prompt_tokens, view_words
from backend.guidance.stable_diffusion import StableDiffusionPrior


@pytest.mark.parametrize(
    ("azimuth", "words"),
    [
        *((0.0, "front view"), (-45.0, "front view"), (330.0, "front view")),
        *((60.0, "side view"), (-90.0, "side view"), (270.0, "side view")),
        *((180.0, "back view"), (-180.0, "back view"), (500.0, "back view"), (225.0, "back view")),
    ],
)
def test_views(azimuth: float, words: str) -> None:
    assert view_words(azimuth) == words


def test_prompts_keep_their_view_however_long_the_caption(tiny_prior: StableDiffusionPrior) -> None:
    tokenizer = tiny_prior.parts.tokenizer
    whole = prompt_tokens(tokenizer, "A man\n in red", "back view", 77)
    assert (
        list(whole.ids)
        == tokenizer("a man in red, back view", padding="max_length", max_length=77)["input_ids"]
    )
    assert whole.dropped == 0
    long = prompt_tokens(tokenizer, "x" * 10_000, "back view", 77)
    assert len(long.ids) == 77
    tail = tokenizer(", back view", add_special_tokens=False)["input_ids"]
    assert list(long.ids[-1 - len(tail) : -1]) == tail
    assert long.dropped == 10_000 - (75 - len(tail))
    empty = prompt_tokens(tokenizer, "  ", "back view", 77)
    assert (
        list(empty.ids) == tokenizer("back view", padding="max_length", max_length=77)["input_ids"]
    )
