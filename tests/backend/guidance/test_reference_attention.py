"""Reference attention in a whole U-Net against diffusers' own processors (3.3.1)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode

from backend.guidance.attention import attend_with_bias
from backend.guidance.prior import Condition, PredictionType, Prompt, Reference, View, add_noise
from backend.guidance.reference_attention import ReferenceCall, install_reference_attention
from backend.guidance.regions import RegionMaps
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.unet_pass import ReferenceUNet


@pytest.fixture(scope="module")
def unets(tiny_prior: StableDiffusionPrior) -> tuple[Any, ReferenceUNet]:
    """The same network twice in float64: with diffusers' processors, and with ours."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    stock = copy.deepcopy(tiny_prior.parts.unet).double()
    stock.set_attn_processor(AttnProcessor2_0())
    ours = copy.deepcopy(stock)
    layers = install_reference_attention(ours)
    return stock, ReferenceUNet(ours, layers, torch.float64, tiny_prior.alphas_cumprod.double())


def _condition(rows: int, seed: int) -> Condition:
    generator = torch.Generator().manual_seed(seed)
    positive, negative = torch.randn(2, rows, 77, 32, generator=generator, dtype=torch.float64)
    return Condition(positive, negative)


def _latents(rows: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 4, 16, 16, generator=generator, dtype=torch.float64)


def _joined_by_hooks(
    unet: Any, target: Tensor, reference: Tensor, t: int, words: tuple[Tensor, Tensor]
) -> Tensor:
    """Direct evaluation: stock processors, the reference's normed states joined to keys and values.

    A stock attention given ``encoder_hidden_states`` takes keys and values from there and queries from
    the hidden states: exactly "attention between p_tar and p_tar + p_ref" of the paper.
    """
    kept: dict[str, Tensor] = {}
    modules = {n: m for n, m in unet.named_modules() if n.endswith("attn1")}

    def keep(name: str) -> Any:
        return lambda _module, inputs: kept.__setitem__(name, inputs[0])

    def join(name: str) -> Any:
        def hook(_module: Any, inputs: Any, named: Any) -> Any:
            both = torch.cat([inputs[0], kept[name]], 1)
            return inputs, {**named, "encoder_hidden_states": both}

        return hook

    handles = [m.register_forward_pre_hook(keep(n)) for n, m in modules.items()]
    unet(reference, t, words[0])
    for handle in handles:
        handle.remove()
    handles = [m.register_forward_pre_hook(join(n), with_kwargs=True) for n, m in modules.items()]
    out: Tensor = unet(target, t, words[1]).sample
    for handle in handles:
        handle.remove()
    return out


def test_the_sixteen_self_attentions_of_version_1_5(unets: tuple[Any, ReferenceUNet]) -> None:
    layers = unets[1].layers
    assert len(layers) == 16
    levels = [layer.level for layer in layers]
    assert [levels.count(level) for level in range(4)] == [5, 5, 5, 1]
    assert [layer.index for layer in layers] == list(range(16))
    assert {layer.size(16, 10) for layer in layers} == {(16, 10), (8, 5), (4, 3), (2, 2)}


@torch.no_grad()
def test_without_a_reference_it_is_the_stock_network_bit_for_bit(
    unets: tuple[Any, ReferenceUNet],
) -> None:
    stock, ours = unets
    words = _condition(2, 1)
    t = torch.tensor([400])
    wanted = stock(_latents(2, 2), 400, words.positive).sample.float()
    assert torch.equal(ours.predict(_latents(2, 2), t, words, 1), wanted)
    # A reference of no tokens joins nothing.
    empty = {layer.index: torch.zeros(1, 0, layer.channels).double() for layer in ours.layers}
    call = ReferenceCall(torch.zeros(2, dtype=torch.int64), 0, empty)
    joined = ours.forward(
        _latents(2, 2), 400, words.positive, cross_attention_kwargs={"reference": call}
    ).sample
    assert torch.equal(joined.float(), wanted)


@torch.no_grad()
def test_one_batched_pass_equals_joining_keys_and_values_branch_by_branch(
    unets: tuple[Any, ReferenceUNet],
) -> None:
    stock, ours = unets
    target, clean, noise = _latents(2, 3), _latents(1, 4), _latents(2, 5)
    words, front = _condition(2, 6), _condition(1, 7)
    t = torch.tensor([250, 590])
    found = ours.predict(target, t, words, 2, Reference(clean, front, noise))
    noisy = add_noise(clean.expand(2, -1, -1, -1), noise, ours.alphas_cumprod[t])
    for branch, (own, beside) in enumerate(
        [(words.negative, front.negative), (words.positive, front.positive)]
    ):
        for row in range(2):
            one = slice(row, row + 1)
            wanted = _joined_by_hooks(
                stock, target[one], noisy[one], int(t[row]), (beside, own[one])
            )
            torch.testing.assert_close(
                found[2 * branch + row], wanted[0].float(), rtol=0, atol=1e-6
            )
    plain = ours.predict(target, t, words, 2)
    assert (plain - found).abs().max() > 0.01, "the reference must matter"


@torch.no_grad()
def test_one_reference_row_serves_all_targets_of_a_common_timestep(
    unets: tuple[Any, ReferenceUNet],
) -> None:
    _, ours = unets
    target, clean, noise = _latents(3, 3), _latents(1, 4), _latents(1, 5)
    words, front = _condition(3, 6), _condition(1, 7)
    t = torch.tensor([310])
    shared = ours.predict(target, t, words, 2, Reference(clean, front, noise))
    each = ours.predict(
        target, t.expand(3), words, 2, Reference(clean, front, noise.expand(3, -1, -1, -1))
    )
    torch.testing.assert_close(shared, each, rtol=0, atol=1e-6)
    clean_reference = ours.predict(target, t, words, 2, Reference(clean, front))
    at_zero = ours.record(Reference(clean, front), t, 2)
    assert (clean_reference - shared).abs().max() > 0.01
    assert at_zero[0].shape == (2, 256, ours.layers[0].channels)


@torch.no_grad()
def test_regions_reach_every_level_in_both_branches(
    unets: tuple[Any, ReferenceUNet],
) -> None:
    stock, fused = unets
    twin_network = copy.deepcopy(stock)
    twin = ReferenceUNet(
        twin_network,
        install_reference_attention(twin_network, attend_with_bias),
        torch.float64,
        fused.alphas_cumprod,
    )
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (2, 64, 64), generator=generator)
    face = torch.zeros(2, 64, 64, dtype=torch.bool)
    face[1, :32] = True
    reference = Reference(_latents(1, 4), _condition(1, 7), _latents(1, 5))
    outputs = []
    for network in (fused, twin):
        for regions in (None, RegionMaps(labels, labels[0], 0.3, hidden=face)):
            outputs.append(
                network.predict(
                    _latents(2, 3), torch.tensor([300]), _condition(2, 6), 2, reference, regions
                )
            )
    torch.testing.assert_close(outputs[0], outputs[2], rtol=0, atol=1e-6)
    torch.testing.assert_close(outputs[1], outputs[3], rtol=0, atol=1e-5)
    moved = (outputs[0] - outputs[1]).abs().amax((1, 2, 3))
    assert (moved > 1e-3).all(), moved


def test_row_counts_that_do_not_fit_are_refused(unets: tuple[Any, ReferenceUNet]) -> None:
    _, ours = unets
    words = _condition(2, 1)
    reference = Reference(_latents(1, 4), _condition(1, 7), _latents(1, 5))
    labels = torch.zeros(2, 8, 8, dtype=torch.int64)
    with pytest.raises(ValueError, match="needs a reference"):
        ours.predict(
            _latents(2, 1), torch.tensor([3]), words, 2, regions=RegionMaps(labels, labels[0])
        )
    with pytest.raises(ValueError, match="region maps"):
        ours.predict(
            _latents(2, 1),
            torch.tensor([3]),
            words,
            2,
            reference,
            RegionMaps(labels[:1], labels[0]),
        )
    with pytest.raises(ValueError, match="reference noises"):
        ours.predict(_latents(2, 1), torch.tensor([3, 4]), words, 2, reference)
    with pytest.raises(ValueError, match="timesteps"):
        ours.predict(_latents(2, 1), torch.tensor([3, 4, 5]), words, 2)


def test_gradients_flow_where_torch_records_them(tiny_prior: StableDiffusionPrior) -> None:
    latents = _latents(1, 1).float().requires_grad_()
    words = tiny_prior.condition(Prompt("a man"), [View(180.0)])
    eps = tiny_prior.predict_noise(latents, torch.tensor([300]), words, guidance_scale=7.5)
    (gradient,) = torch.autograd.grad(eps.sum(), latents)
    assert gradient.abs().max() > 0
    assert tiny_prior.prediction_type is PredictionType.EPSILON


class _Waits(TorchDispatchMode):
    """Notes operations whose answer, or its shape, a program must wait for on a GPU."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "aten.equal", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(func) for name in self.WAITING):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_a_pass_never_waits_for_the_device(tiny_prior: StableDiffusionPrior) -> None:
    words = tiny_prior.condition(Prompt("a man"), [View(180.0), View(90.0)])
    front = tiny_prior.condition(Prompt("a man"), [View(0.0)])
    labels = torch.randint(0, 5, (2, 64, 64))
    latents, t = _latents(2, 1).float(), torch.tensor([300])
    reference = Reference(latents[:1], front, latents[1:])
    with _Waits() as waits:
        assert not torch.equal(latents[0], latents[1])
        assert len(waits.seen) >= 1, "the watcher works"
        waits.seen.clear()
        tiny_prior.predict_noise(
            tiny_prior.encode(torch.rand(2, 3, 128, 128)),
            t,
            words,
            guidance_scale=7.5,
            reference=reference,
            regions=RegionMaps(labels, labels[0], hidden=labels == 1),
        )
    assert waits.seen == []


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """The tests' own shape checks cannot be traced."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked_shapes")
@torch.no_grad()
def test_the_network_compiles_whole(tiny_prior: StableDiffusionPrior) -> None:
    """One graph with references and regions (traced, not lowered: that takes a GPU to pay off)."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    layers = install_reference_attention(unet)
    network = ReferenceUNet(unet, layers, torch.float32, tiny_prior.alphas_cumprod)
    words = tiny_prior.condition(Prompt("a man"), [View(180.0)])
    labels = torch.randint(0, 5, (1, 64, 64))
    latents, t = _latents(1, 1).float(), torch.tensor([300])
    reference = Reference(latents, words, latents)
    regions = RegionMaps(labels, labels[0], hidden=labels == 1)
    traced = torch.compile(network.forward, backend="eager", fullgraph=True)
    compiled = replace(network, forward=traced)
    outputs = [n.predict(latents, t, words, 2, reference, regions) for n in (network, compiled)]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-6)
    counters.clear()
    for step in (310, 320):
        compiled.predict(latents, torch.tensor([step]), words, 2, reference, regions)
    assert counters["stats"]["unique_graphs"] == 0, "a new step must not compile again"
