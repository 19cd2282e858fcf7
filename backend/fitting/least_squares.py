"""Levenberg-Marquardt with robust (Geman-McClure) residual groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Linearization:
    """A robust cost at one point; residual and Jacobian are weighted for a Gauss-Newton step."""

    cost: float
    residual: Float[np.ndarray, "r"]
    jacobian: Float[np.ndarray, "r n"]


Objective = Callable[[Float[np.ndarray, "n"]], Linearization]


def geman_mcclure(
    squared: Float[np.ndarray, "g"], width: float
) -> tuple[Float[np.ndarray, "g"], Float[np.ndarray, "g"]]:
    """rho(s) = s / (1 + s / width^2) and its derivative; s is a group's squared length in sigmas.

    ``width`` (sigmas) is where an outlier starts to lose its say; np.inf leaves plain squares.
    """
    if np.isinf(width):
        return squared, np.ones_like(squared)
    ratio = 1.0 / (1.0 + squared / width**2)
    return squared * ratio, ratio**2


def weighted_block(
    residual: Float[np.ndarray, "g c"], jacobian: Float[np.ndarray, "g c n"], width: float = np.inf
) -> Linearization:
    """One robust kernel a group of ``c`` residuals (already divided by their sigma)."""
    rho, slope = geman_mcclure((residual**2).sum(1), width)
    root = np.sqrt(slope)
    return Linearization(
        float(rho.sum()),
        (root[:, None] * residual).ravel(),
        (root[:, None, None] * jacobian).reshape(-1, jacobian.shape[2]),
    )


def minimize(
    objective: Objective, start: Float[np.ndarray, "n"], iterations: int, damping: float = 1e-2
) -> tuple[Float[np.ndarray, "n"], Linearization]:
    """Take up to ``iterations`` accepted or refused steps; stops when a step gains under 0.01%."""
    x, here = start, objective(start)
    for _ in range(iterations):
        hessian = here.jacobian.T @ here.jacobian
        gradient = here.jacobian.T @ here.residual
        diagonal = np.diag(hessian)
        step = np.linalg.solve(
            hessian + np.diag(damping * np.maximum(diagonal, 1e-6 * diagonal.max())), -gradient
        )
        # A step far too long may overflow; its cost is no number then and the step is refused.
        with np.errstate(over="ignore", invalid="ignore"):
            there = objective(x + step)
        if there.cost < here.cost:
            gain = here.cost - there.cost
            x, here = x + step, there
            damping = max(damping * 0.3, 1e-6)
            if gain < 1e-4 * here.cost:
                break
        else:
            damping *= 8.0
            if damping > 1e8:
                break
    return x, here
