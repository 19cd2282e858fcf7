"""Marigold through diffusers' real loader, with tiny weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, MarigoldNormalsPipeline, UNet2DConditionModel
from perception_support import disc_subject, sphere_body
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.perception.normals import BodyNormals
from backend.perception.normals_hub import MarigoldNormals

N = 64


def tiny_marigold(folder: Path) -> Path:
    words = folder / "words"
    words.mkdir(parents=True)
    (words / "vocab.json").write_text('{"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}')
    (words / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    blocks = ("DownEncoderBlock2D",) * 2
    pipeline = MarigoldNormalsPipeline(
        unet=UNet2DConditionModel(
            sample_size=16,
            in_channels=8,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            cross_attention_dim=16,
            attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        vae=AutoencoderKL(
            down_block_types=blocks,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            latent_channels=4,
        ),
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=3,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=77,
                bos_token_id=0,
                eos_token_id=1,
            )
        ),
        tokenizer=CLIPTokenizer(
            str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=77
        ),
        prediction_type="normals",
        use_full_z_range=True,
        default_denoising_steps=1,
        default_processing_resolution=N,
    )
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_marigold(tmp_path_factory.mktemp("marigold"))


def test_front_is_the_networks_and_back_is_the_bodys(folder: Path) -> None:
    subject, crop, frame = disc_subject(N, (34.0, 30.0), 20.0, Region.UPPER)
    body = sphere_body(0.5, (0.0, 0.0, 0.0))
    maps = MarigoldNormals(str(folder)).estimate(subject, body, crop, frame, N)
    plain = BodyNormals().estimate(subject, body, crop, frame, N)
    np.testing.assert_array_equal(maps.back, plain.back)
    np.testing.assert_array_equal(maps.back_weight, plain.back_weight)
    assert maps.provider == "marigold (front), body (back)"
    inside = subject.mask > 0.5
    assert not np.allclose(maps.front[inside], plain.front[inside], atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(maps.front, axis=-1), 1.0, atol=1e-4)
    np.testing.assert_array_equal(maps.front_weight[~inside], 0.0)
    again = MarigoldNormals(str(folder)).estimate(subject, body, crop, frame, N)
    np.testing.assert_array_equal(maps.front, again.front)


def test_axes_are_passed_through_unturned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction of x right, y up, z towards the viewer is the world's own vector."""
    subject, crop, frame = disc_subject(N, (32.0, 32.0), 20.0, Region.UPPER)
    estimator = MarigoldNormals(str(folder))
    wanted = np.array([0.6, 0.48, 0.64], np.float32)

    class Answer:
        prediction = np.broadcast_to(wanted, (1, N, N, 3))

    monkeypatch.setattr(estimator, "_pipeline", lambda image, **_: Answer())
    maps = estimator.estimate(subject, sphere_body(0.5, (0.0, 0.0, 0.0)), crop, frame, N)
    np.testing.assert_allclose(maps.front[32, 32], wanted, atol=1e-6)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(HumanRefError) as caught:
        MarigoldNormals(str(tmp_path / "nothing"))
    assert caught.value.code == "weights_missing"
