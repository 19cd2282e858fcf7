"""What a prior costs, known from its files: against the loaded model and what autograd keeps."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from backend.errors import HumanRefError
from backend.guidance.memory import (
    STABLE_DIFFUSION_15,
    GuidanceMemory,
    PriorSizes,
    count_parameters,
    spend,
)
from backend.guidance.reference_cache import CachePlan
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.tiny_stable_diffusion import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", latent_size=8)


def _kept(vae: nn.Module, side: int) -> int:
    """Numbers that autograd holds between encoding and its backward."""
    own = {p.untyped_storage()._cdata for p in vae.parameters()}
    kept = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = (storage, storage.nbytes() // 4)
        return tensor

    picture = torch.rand(1, 3, side, side, device="meta", requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        mean = vae.encode(picture).latent_dist.mean
    total = sum(numbers for _, numbers in kept.values())
    del mean
    return total


def test_sizes_of_a_folder_are_those_of_the_loaded_model(folder: Path) -> None:
    sizes = PriorSizes.of_folder(folder)
    prior = StableDiffusionPrior.load(folder)
    parts = prior.parts
    for module, said in (
        (parts.unet, sizes.unet),
        (parts.vae, sizes.vae),
        (parts.text_encoder, sizes.text_encoder),
    ):
        assert said == sum(p.numel() for p in module.parameters())
    assert sizes.picture == prior.resolution
    assert (sizes.latent, sizes.latent) == prior.latent_shape[1:]
    plan = CachePlan(200, 220, width=10, noises=2)
    entries = len(plan.centers) * plan.noises * plan.branches
    exact = plan.bytes(prior.unet.layers, prior.latent_shape[1:], torch.float32)
    assert 4 * sizes.cache_entry * entries == exact


def test_sizes_of_version_15_are_those_of_its_architecture() -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    sizes = STABLE_DIFFUSION_15
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=sizes.unet_widths,
            cross_attention_dim=768,
            attention_head_dim=8,
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=sizes.vae_widths,
            layers_per_block=sizes.vae_blocks,
        )
    assert sizes.unet == sum(p.numel() for p in unet.parameters())
    assert sizes.vae == sum(p.numel() for p in vae.parameters())
    # 23 MB a bucket and branch in half precision, as the design has it.
    assert 2 * sizes.cache_entry == pytest.approx(23e6, rel=0.01)
    vae.requires_grad_(False).eval()
    whole = _kept(vae, 512)
    assert sizes.encoding(checkpointed=False) == pytest.approx(whole, rel=0.1)
    spend(vae, GuidanceMemory(checkpoint_encoder=True))
    spared = _kept(vae, 512)
    assert spared < 0.1 * whole
    assert spared < sizes.encoding(checkpointed=True) < whole


def test_spending_less_changes_no_gradient(folder: Path) -> None:
    prior = StableDiffusionPrior.load(folder)
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = []
    for memory in (
        GuidanceMemory(),
        GuidanceMemory(checkpoint_encoder=True, one_picture_at_a_time=True),
    ):
        spend(prior.parts.vae, memory)
        image = picture.clone().requires_grad_()
        latents = prior.encode(image)
        latents.square().sum().backward()
        decoded = prior.decode(latents.detach())
        found.append((latents.detach(), image.grad, decoded))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    for content in (b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]"):
        (tmp_path / "unet" / "model.safetensors").write_bytes(content)
        with pytest.raises(HumanRefError) as error:
            count_parameters(tmp_path, "unet")
        assert error.value.code == "weights_unreadable"


def test_other_copies_of_the_weights_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    weights = {"weight": torch.zeros(5, 20)}
    for name in ("model", "model.non_ema", "model.fp16", "model-00002-of-00002"):
        save_file(weights, tmp_path / "unet" / f"{name}.safetensors")
    assert count_parameters(tmp_path, "unet") == 200
