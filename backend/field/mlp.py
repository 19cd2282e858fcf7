"""The field's two small networks as one autograd function with a hand-written backward.

SDF: bias-free, s = w3 . relu(W2 relu(W1 z)), z = (features of the coarse levels, x). Colour: bias-free,
sigmoid(C3 relu(C2 relu(C1 features))). Besides s and colour the function returns the slope ds/dx, by the
encoding's Jacobian J and the chain g0 = ds/dz that a ReLU network has in closed form.

A ReLU network is piecewise linear, so that chain, made forward for the slope, is also what carries
d loss / d s back: with e = d loss / d s and D = d loss / d g0 the gradient of W1 is g1^T (e z + D), that
of W2 is g2^T (e z1 + u) with u = relu'(h1) (D W1^T), and so on. This halves the matrix products of
autograd through an explicit chain, and needs no double backward. Points go through in chunks that stay
in the cache, which doubles the speed of products this narrow.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = 2048

_mask = torch.ops.aten.threshold_backward.default
_mask_into = torch.ops.aten.threshold_backward.grad_input


def sdf_network(
    z: Float[Tensor, "n i"],
    w1: Float[Tensor, "h i"],
    w2: Float[Tensor, "h h"],
    w3: Float[Tensor, "h"],
) -> Float[Tensor, "n"]:
    """The SDF network's value in plain torch."""
    return torch.relu(torch.relu(z @ w1.T) @ w2.T) @ w3


def color_network(
    z: Float[Tensor, "n i"],
    w1: Float[Tensor, "h i"],
    w2: Float[Tensor, "h h"],
    w3: Float[Tensor, "3 h"],
) -> Float[Tensor, "n 3"]:
    """The colour network in plain torch."""
    return torch.sigmoid(torch.relu(torch.relu(z @ w1.T) @ w2.T) @ w3.T)


def networks_reference(
    features: Float[Tensor, "n d"],
    jacobian: Float[Tensor, "n 3 j"],
    x: Float[Tensor, "n 3"],
    scale: float,
    sdf_weights: tuple[Tensor, Tensor, Tensor],
    color_weights: tuple[Tensor, Tensor, Tensor],
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Readable twin of :class:`FieldNetworks`: value, slope by autograd's chain, colour."""
    width = jacobian.shape[2]
    with torch.enable_grad():
        z = torch.cat([features[:, :width], x], 1)
        if not z.requires_grad:
            z.requires_grad_()
        s = sdf_network(z, *sdf_weights)
        (g0,) = torch.autograd.grad(s.sum(), z, create_graph=True)
    slope = scale * torch.einsum("nai,ni->na", jacobian, g0[:, :width]) + g0[:, width:]
    return s, slope, color_network(features, *color_weights)


class FieldNetworks(torch.autograd.Function):
    """``apply(features (n, d), jacobian (n, 3, j), x (n, 3), scale, W1, W2, w3, C1, C2, C3)``.

    Returns s (n,), ds/dx (n, 3) and colour (n, 3). The SDF network reads the first j features and x;
    ``jacobian`` is d feature / d v of those, v = scale * x + constant being what the encoding is asked
    for. Gradients flow once, to all but x.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, jacobian: Tensor, x: Tensor, scale: float, *weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        w1, w2, w3, c1, c2, c3 = weights
        n, j = len(x), jacobian.shape[2]
        s, slope, color = x.new_empty(n), torch.empty_like(x), torch.empty_like(x)
        keep = []
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            z = torch.cat([features[rows, :j], x[rows]], 1)
            z1 = torch.mm(z, w1.T).relu_()
            z2 = torch.mm(z1, w2.T).relu_()
            torch.mv(z2, w3, out=s[rows])
            g2 = _mask(w3.expand_as(z2), z2, 0)
            g1 = torch.mm(g2, w2)
            _mask_into(g1, z1, 0, grad_input=g1)
            g0 = torch.mm(g1, w1)
            chain = scale * g0[:, :j]
            torch.sum(jacobian[rows] * chain[:, None], 2, out=slope[rows])
            slope[rows] += g0[:, j:]
            y1 = torch.mm(features[rows], c1.T).relu_()
            y2 = torch.mm(y1, c2.T).relu_()
            torch.mm(y2, c3.T, out=color[rows])
            keep.append((z, z1, z2, g2, g1, g0, chain, y1, y2))
        color.sigmoid_()
        ctx.save_for_backward(features, jacobian, color, *weights)
        ctx.keep, ctx.scale = keep, scale
        return s, slope, color

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        into_s, into_slope, into_color = grads
        features, jacobian, color, *weights = ctx.saved_tensors
        w1, w2, _, c1, c2, c3 = weights
        j = jacobian.shape[2]
        dfeatures, djacobian = torch.empty_like(features), torch.empty_like(jacobian)
        dw1, dw2, dw3, dc1, dc2, dc3 = (torch.zeros_like(w) for w in weights)
        into_color = into_color * color * (1.0 - color)
        for number, kept in enumerate(ctx.keep):
            rows = slice(number * CHUNK, (number + 1) * CHUNK)
            z, z1, z2, g2, g1, g0, chain, y1, y2 = kept
            d3 = into_color[rows]
            dc3.addmm_(d3.T, y2)
            d2 = torch.mm(d3, c3)
            _mask_into(d2, y2, 0, grad_input=d2)
            dc2.addmm_(d2.T, y1)
            d1 = torch.mm(d2, c2)
            _mask_into(d1, y1, 0, grad_input=d1)
            dc1.addmm_(d1.T, features[rows])
            torch.mm(d1, c1, out=dfeatures[rows])

            e, along = into_s[rows, None], into_slope[rows]
            dfeatures[rows, :j].addcmul_(e, g0[:, :j])
            torch.mul(along[:, :, None], chain[:, None], out=djacobian[rows])
            down = torch.sum(jacobian[rows] * (ctx.scale * along)[:, :, None], 1)
            d0 = torch.cat([down, along], 1)
            u = torch.mm(d0, w1.T)
            dw1.addmm_(g1.T, d0.addcmul_(e, z))
            _mask_into(u, z1, 0, grad_input=u)
            d2 = torch.mm(u, w2.T)
            dw2.addmm_(g2.T, u.addcmul_(e, z1))
            _mask_into(d2, z2, 0, grad_input=d2)
            dw3 += d2.addcmul_(e, z2).sum(0)
        return dfeatures, djacobian, None, None, dw1, dw2, dw3, dc1, dc2, dc3
