"""Words for Stable Diffusion: the caption and the view it is seen from (3.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Azimuths (degrees off the front) where "front" ends and "back" begins.
_FRONT_UNTIL = 45.0
_BACK_FROM = 135.0


def view_words(azimuth: float) -> str:
    """ "front view", "side view" or "back view" of an azimuth in degrees."""
    away = abs((azimuth + 180.0) % 360.0 - 180.0)
    if away <= _FRONT_UNTIL:
        return "front view"
    return "side view" if away < _BACK_FROM else "back view"


@dataclass(frozen=True)
class PromptTokens:
    """Token ids of one prompt, padded to the text encoder's length."""

    ids: tuple[int, ...]
    dropped: int
    """Tokens of the caption that found no room."""


def prompt_tokens(tokenizer: Any, caption: str, suffix: str, length: int) -> PromptTokens:
    """Tokenize "caption, suffix"; a caption that is too long is cut, never the suffix.

    Args:
        tokenizer: a CLIP tokenizer.
        caption: any text, also none.
        suffix: the view's words; may be empty.
        length: of the text encoder, 77 for Stable Diffusion.
    """
    caption = " ".join(caption.split())
    head = _ids(tokenizer, caption)
    tail = _ids(tokenizer, f", {suffix}" if head and suffix else suffix)
    room = length - 2 - len(tail)
    kept = head[:room]
    ids = [tokenizer.bos_token_id, *kept, *tail, tokenizer.eos_token_id]
    padding = [tokenizer.pad_token_id] * (length - len(ids))
    return PromptTokens((*ids, *padding), len(head) - len(kept))


def _ids(tokenizer: Any, text: str) -> list[int]:
    if not text:
        return []
    # Not verbose: the library would warn of the length that is cut right after.
    found = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)
    ids: list[int] = found["input_ids"]
    return ids
