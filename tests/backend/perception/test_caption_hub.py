"""BLIP and BLIP-2 through their real loaders, with tiny weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from perception_support import Seen
from transformers import (
    BertTokenizerFast,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
)

from backend.errors import HumanRefError
from backend.perception.caption_hub import Blip2Caption, BlipCaption

WORDS = ["a", "person", "man", "woman", "in", "red", "blue", "shirt", "and", "trousers", "standing"]


def bert_tokenizer(folder: Path) -> BertTokenizerFast:
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    return BertTokenizerFast(str(folder / "vocab.txt"))


def tiny_blip(folder: Path) -> Path:
    tokenizer = bert_tokenizer(folder / "raw")
    size = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = BlipConfig(
        text_config=dict(
            **size,
            vocab_size=len(tokenizer),
            encoder_hidden_size=16,
            bos_token_id=2,
            eos_token_id=3,
            sep_token_id=3,
            pad_token_id=0,
            max_position_embeddings=64,
        ),
        vision_config=dict(**size, image_size=32, patch_size=16),
        projection_dim=16,
    )
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(config)
    model.save_pretrained(folder)
    image = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(image, tokenizer).save_pretrained(folder)
    return folder


def tiny_blip2(folder: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["<pad>", "</s>", "<unk>", "<image>", *WORDS]
    raw = Tokenizer(models.WordLevel({t: k for k, t in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    size = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**size, image_size=32, patch_size=16).to_dict(),
        qformer_config=Blip2QFormerConfig(**size, encoder_hidden_size=16, vocab_size=8).to_dict(),
        text_config=OPTConfig(
            vocab_size=len(names),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=16,
            word_embed_proj_dim=16,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
            max_position_embeddings=128,
        ).to_dict(),
        num_query_tokens=4,
        image_token_index=3,
    )
    torch.manual_seed(0)
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    image = BlipImageProcessor(size={"height": 32, "width": 32})
    Blip2Processor(image, tokenizer, num_query_tokens=4).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("make", "kind"), [(tiny_blip, BlipCaption), (tiny_blip2, Blip2Caption)])
def test_a_local_folder_makes_a_caption(
    tmp_path: Path, seen: Seen, make: type, kind: type[BlipCaption]
) -> None:
    captioner = kind(str(make(tmp_path / "m")))
    regions = (seen.mask > 0.5).astype(np.uint8)
    caption = captioner.caption(seen.photo, regions, seen.detection.landmarks)
    assert caption
    assert set(caption.split()) <= {*WORDS, "[UNK]", "<unk>"}
    assert caption == captioner.caption(seen.photo, regions, seen.detection.landmarks)


def test_missing_weights(tmp_path: Path) -> None:
    for kind in (BlipCaption, Blip2Caption):
        with pytest.raises(HumanRefError) as caught:
            kind(str(tmp_path / "nothing"))
        assert caught.value.code == "weights_missing"
