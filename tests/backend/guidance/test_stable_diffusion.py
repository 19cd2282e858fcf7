"""Loading Stable Diffusion folders, good and bad; encoding and prompting."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.errors import HumanRefError
from backend.events import Event, Warned
from backend.guidance.prior import DiffusionPrior, PredictionType, Prompt, Reference, View
from backend.guidance.regions import RegionMaps
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.stable_diffusion_files import DEFAULT_REVISION
from backend.guidance.tiny_stable_diffusion import main, make_tiny_stable_diffusion

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "sd"))


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _refusal(folder: Path | str, **options: Any) -> HumanRefError:
    with pytest.raises(HumanRefError) as raised:
        StableDiffusionPrior.load(folder, **options)
    return raised.value


def test_a_loaded_folder_is_a_prior(tiny_prior: StableDiffusionPrior) -> None:
    assert isinstance(tiny_prior, DiffusionPrior)
    assert tiny_prior.resolution == 128
    assert tiny_prior.latent_shape == (4, 16, 16)
    assert tiny_prior.licence == "gpl-3.0"
    assert tiny_prior.alphas_cumprod.shape == (1000,)
    for part in (tiny_prior.parts.unet, tiny_prior.parts.vae, tiny_prior.parts.text_encoder):
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())


def test_encode_is_the_scaled_posterior_mean_with_its_gradient(
    tiny_prior: StableDiffusionPrior,
) -> None:
    images = torch.rand(2, 3, 128, 128, requires_grad=True)
    latents = tiny_prior.encode(images)
    vae = tiny_prior.parts.vae
    wanted = vae.encode(2 * images - 1).latent_dist.mode() * 0.18215
    assert torch.equal(latents, wanted)
    gradients = [torch.autograd.grad(x.square().sum(), images)[0] for x in (latents, wanted)]
    assert torch.equal(*gradients)
    assert gradients[0].abs().amax((1, 2, 3)).min() > 0
    # Renders of any size are brought to the size that the model was trained on.
    assert tiny_prior.encode(torch.rand(1, 3, 64, 64)).shape == (1, 4, 16, 16)
    assert tiny_prior.encode(torch.rand(1, 3, 256, 256)).shape == (1, 4, 16, 16)
    pictures = tiny_prior.decode(latents)
    assert pictures.shape == (2, 3, 128, 128)
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_conditions_follow_the_view_and_the_words(tiny_prior: StableDiffusionPrior) -> None:
    words = tiny_prior.condition(Prompt("a man", "blur"), [View(0.0), View(180.0), View(10.0)])
    assert words.positive.shape == words.negative.shape == (3, 77, 32)
    assert torch.equal(words.positive[0], words.positive[2])
    assert not torch.equal(words.positive[0], words.positive[1])
    ids = tiny_prior.parts.tokenizer("a man, back view", padding="max_length", return_tensors="pt")
    direct = tiny_prior.parts.text_encoder(ids["input_ids"]).last_hidden_state
    torch.testing.assert_close(words.positive[1:2], direct)
    plain = tiny_prior.condition(Prompt(""), [View(0.0)])
    assert torch.isfinite(plain.positive).all()
    assert not torch.equal(plain.negative, words.negative[:1])


def test_a_caption_too_long_is_cut_and_told_once(folder: Path) -> None:
    told: list[Event] = []
    prior = StableDiffusionPrior.load(folder, on_event=told.append)
    for _ in range(2):
        words = prior.condition(Prompt("y" * 10_000), [View(0.0), View(180.0)])
    assert words.positive.shape == (2, 77, 32)
    assert [event.code for event in told if isinstance(event, Warned)] == ["caption_cut"]


@torch.no_grad()
def test_guidance_scale_and_prediction_type(folder: Path) -> None:
    latents = torch.randn(2, 4, 16, 16)
    t = torch.tensor([300])
    eps: dict[str, Any] = {}
    for kind in PredictionType:
        _edit(folder / "scheduler/scheduler_config.json", prediction_type=str(kind))
        prior = StableDiffusionPrior.load(folder)
        assert prior.prediction_type is kind
        words = prior.condition(Prompt("a man"), [View(0.0), View(180.0)])
        eps[kind] = prior.predict_noise(latents, t, words, guidance_scale=3.0)
    raw = prior.unet.predict(latents, t, words, 2)
    guided = raw[:2] + 3.0 * (raw[2:] - raw[:2])
    a = prior.alphas_cumprod[300]
    torch.testing.assert_close(eps["epsilon"], guided)
    torch.testing.assert_close(eps["sample"], (latents - a.sqrt() * guided) / (1 - a).sqrt())
    torch.testing.assert_close(eps["v_prediction"], a.sqrt() * guided + (1 - a).sqrt() * latents)
    # Without guidance the positive branch alone is computed.
    _edit(folder / "scheduler/scheduler_config.json", prediction_type="epsilon")
    single = StableDiffusionPrior.load(folder).predict_noise(latents, t, words, guidance_scale=1.0)
    torch.testing.assert_close(single, raw[2:], rtol=1e-4, atol=1e-5)


def test_half_precision_keeps_a_float32_interface(folder: Path) -> None:
    prior = StableDiffusionPrior.load(folder, dtype=torch.bfloat16)
    exact = StableDiffusionPrior.load(folder)
    assert prior.parts.unet.dtype is prior.parts.vae.dtype is torch.bfloat16
    images = torch.rand(1, 3, 128, 128)
    outputs = []
    for each in (prior, exact):
        words = each.condition(Prompt("a man"), [View(0.0)])
        latents = each.encode(images)
        assert latents.dtype is torch.float32
        fixed = torch.full((1, 4, 16, 16), 0.5)
        labels = torch.arange(4).repeat(4, 1)[None] + 1
        outputs.append(
            each.predict_noise(
                fixed,
                torch.tensor([300]),
                words,
                guidance_scale=2.0,
                reference=Reference(-fixed, words, fixed),
                regions=RegionMaps(labels, labels[0], hidden=labels == 1),
            )
        )
        assert outputs[-1].dtype is torch.float32
    assert (outputs[0] - outputs[1]).abs().max() < 0.05 * outputs[1].abs().max()
    # Gradients through a half-precision encoder underflow in float16.
    assert StableDiffusionPrior.load(folder, dtype=torch.float16).parts.vae.dtype is torch.float32


def _drop_weight(folder: Path) -> None:
    weights = load_file(folder / UNET)
    del weights["mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"]
    save_file(weights, folder / UNET)


def _break_weight(folder: Path) -> None:
    weights = load_file(folder / UNET)
    weights["conv_out.weight"][0, 0] = float("nan")
    save_file(weights, folder / UNET)


def _cut_file(folder: Path) -> None:
    whole = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(whole[: len(whole) // 2])


def _other_shape(folder: Path) -> None:
    _edit(folder / "unet/config.json", block_out_channels=[24, 32, 32, 32])


BAD_FOLDERS: list[tuple[Callable[[Path], object], str, str]] = [
    (
        lambda f: shutil.copytree(f / "text_encoder", f / "text_encoder_2"),
        "wrong_architecture",
        "XL",
    ),
    (
        lambda f: _edit(f / "model_index.json", _class_name="StableDiffusionXLPipeline"),
        "wrong_architecture",
        "XL",
    ),
    (lambda f: _edit(f / "unet/config.json", cross_attention_dim=2048), "wrong_architecture", "XL"),
    (lambda f: _edit(f / "unet/config.json", in_channels=9), "wrong_architecture", "9 input"),
    (lambda f: _edit(f / "text_encoder/config.json", hidden_size=64), "wrong_architecture", "64"),
    (lambda f: (f / UNET).rename(f / "unet/model.bin"), "pickle_refused", "model.bin"),
    (lambda f: (f / UNET).unlink(), "weights_incomplete", "unet"),
    (lambda f: shutil.rmtree(f / "vae"), "weights_incomplete", "vae"),
    (lambda f: shutil.rmtree(f / "tokenizer"), "weights_incomplete", "tokenizer"),
    (lambda f: shutil.rmtree(f / "unet"), "weights_incomplete", "unet/config.json"),
    (_drop_weight, "weights_incomplete", "mid_block.attentions.0"),
    (_break_weight, "weights_not_finite", "conv_out.weight"),
    (_cut_file, "weights_unreadable", "could not be loaded"),
    (_other_shape, "weights_unreadable", "could not be loaded"),
    (lambda f: (f / "unet/config.json").write_text("{"), "weights_unreadable", "JSON"),
    (
        lambda f: _edit(f / "scheduler/scheduler_config.json", prediction_type="flow"),
        "wrong_architecture",
        "flow",
    ),
]


@pytest.mark.parametrize(("damage", "code", "names"), BAD_FOLDERS)
def test_bad_folders_are_refused_by_name(
    folder: Path, damage: Callable[[Path], object], code: str, names: str
) -> None:
    damage(folder)
    error = _refusal(folder)
    assert (error.code, names in error.message) == (code, True), error
    assert error.hint


def test_half_precision_files_serve_where_only_they_exist(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.fp16.safetensors")
    assert StableDiffusionPrior.load(folder).parts.unet.dtype is torch.float32


def test_absent_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    error = _refusal("stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert error.code == "weights_missing"
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5" in error.hint
    assert f"--revision {DEFAULT_REVISION}" in error.hint
    assert _refusal("someone/their-model").code == "revision_unpinned"
    assert _refusal("someone/their-model", revision="0" * 40).code == "weights_missing"
    assert _refusal(tmp_path / "nothing").code == "weights_missing"


@pytest.mark.parametrize(
    ("name", "code"), [("v1-5.ckpt", "pickle_refused"), ("v1-5.safetensors", "not_a_folder")]
)
def test_single_files_are_refused(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert _refusal(tmp_path / name).code == code
    assert _refusal(tmp_path).code == code


def test_the_tiny_folder_is_reproducible(tiny_folder: Path, tmp_path: Path) -> None:
    again = make_tiny_stable_diffusion(tmp_path / "again")
    assert (again / UNET).read_bytes() == (tiny_folder / UNET).read_bytes()
    other = make_tiny_stable_diffusion(tmp_path / "other", seed=1)
    assert (other / UNET).read_bytes() != (tiny_folder / UNET).read_bytes()
    assert main([str(again)]) == 1, "an existing folder is not overwritten"
    assert main([]) == 2
