"""Nearest patches of a picture by random search and propagation (PatchMatch, Barnes et al. 2009).

Patches are squares of 2 ``RADIUS`` + 1 pixels. The readable twin of the search, which looks at every
patch, stands beside its tests.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

RADIUS = 3
# Weights beside the mean squared difference of colours (sRGB, summed over channels) of two patches: of
# the squared difference of tones, of squared pixels along the body beyond those that are free, and the
# price of a patch of another part. Chosen on made people, see docs/method.md.
_TONE, _PER_PIXEL, _FREE, _OTHER_PART = 4.0, 1e-4, 8.0, 0.3
_FAR = 1e18


@njit(cache=True, nogil=True)
@no_type_check
def patch_cost(picture, current, tone, along, part, y, x, v, u, limit):
    """What the patch of ``picture`` at (v, u) differs by from that of ``current`` at (y, x).

    Rows stop once the sum is above ``limit``: the result is then some number above it.
    """
    side = 2 * RADIUS + 1
    cost = 0.0
    for c in range(3):
        d = tone[y, x, c] - tone[v, u, c]
        cost += _TONE * d * d
    beyond = abs(along[y, x] - along[v, u]) - _FREE
    if beyond > 0.0:
        cost += _PER_PIXEL * beyond * beyond
    if part[y, x] != part[v, u]:
        cost += _OTHER_PART
    for dy in range(-RADIUS, RADIUS + 1):
        if cost > limit:
            return cost
        row = 0.0
        for dx in range(-RADIUS, RADIUS + 1):
            for c in range(3):
                d = current[y + dy, x + dx, c] - picture[v + dy, u + dx, c]
                row += d * d
        cost += row / (side * side)
    return cost


@njit(cache=True, nogil=True)
@no_type_check
def search(picture, current, tone, along, part, targets, allowed, nearest, cost, rounds, rng):
    """Improve ``nearest`` (h, w, 2) and ``cost`` (h, w) of ``targets`` (n, 2) in place.

    ``allowed`` marks centres of patches that may be taken; they and the targets keep RADIUS pixels from
    the picture's edge. Pixels that are no targets have a cost of infinity; ``rng`` is a numpy generator.
    """
    height, width = allowed.shape
    for i in range(len(targets)):
        y, x = targets[i]
        v, u = nearest[y, x]
        cost[y, x] = patch_cost(picture, current, tone, along, part, y, x, v, u, _FAR)
    for turn in range(rounds):
        step = 1 - 2 * (turn % 2)
        for k in range(len(targets)):
            y, x = targets[k if step == 1 else len(targets) - 1 - k]
            reach = max(height, width)
            neighbour = 0
            while reach >= 1:
                if neighbour < 2:
                    # What suits the pixel before this one, one further.
                    b, a = (y - step, x) if neighbour == 0 else (y, x - step)
                    neighbour += 1
                    if not cost[b, a] < _FAR:
                        continue
                    v, u = nearest[b, a, 0] + y - b, nearest[b, a, 1] + x - a
                else:
                    v = nearest[y, x, 0] + rng.integers(-reach, reach + 1)
                    u = nearest[y, x, 1] + rng.integers(-reach, reach + 1)
                    reach //= 2
                if v < 0 or u < 0 or v >= height or u >= width or not allowed[v, u]:
                    continue
                found = patch_cost(picture, current, tone, along, part, y, x, v, u, cost[y, x])
                if found < cost[y, x]:
                    cost[y, x] = found
                    nearest[y, x, 0] = v
                    nearest[y, x, 1] = u


@njit(cache=True, nogil=True)
@no_type_check
def vote(picture, targets, nearest, cost, softness, hole):
    """Sums (h, w, 4) of colours and weights that patches give to each pixel of the hole."""
    height, width = hole.shape
    total = np.zeros((height, width, 4))
    for i in range(len(targets)):
        y, x = targets[i]
        v, u = nearest[y, x]
        weight = np.exp(-cost[y, x] / softness) + 1e-9
        for dy in range(-RADIUS, RADIUS + 1):
            for dx in range(-RADIUS, RADIUS + 1):
                if hole[y + dy, x + dx]:
                    for c in range(3):
                        total[y + dy, x + dx, c] += weight * picture[v + dy, u + dx, c]
                    total[y + dy, x + dx, 3] += weight
    return total
