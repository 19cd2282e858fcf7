"""Steps whose numbers are not finite are skipped, and only many in a row end a run.

Half-precision networks overflow now and then. Whether they did is known on the device alone: the
optimiser is told there (as ``torch.amp.GradScaler`` does), and the host asks when it reports anyway.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

# Skipped steps in a row after which the run is lost.
PATIENCE = 10
_LOWEST = 2.0**-14
# Good steps in a row after which the scale is doubled again.
_CALM = 200.0


class FiniteGuard:
    """A loss scale of at most 1, halved by each bad step, and the count of bad steps in a row.

    At scale 1 every number is what it would be without the guard.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale: Tensor = torch.ones((), device=device)
        self._bad: Tensor = torch.zeros((), device=device)
        self._good: Tensor = torch.zeros((), device=device)
        self._skipped: Tensor = torch.zeros((), device=device)

    @torch.no_grad()
    def judge(
        self, total: Float[Tensor, ""], gradients: Iterable[Tensor]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """1 where the step must be skipped, else 0; and the scale that its gradients carry.

        Args:
            total: the scaled loss.
            gradients: of it, by all parameters that will be moved.
        """
        norms = torch.stack(torch._foreach_norm(list(gradients)))
        bad = 1.0 - torch.isfinite(norms.sum() + total.detach()).to(total.dtype)
        carried = self.scale
        self._bad = (self._bad + 1.0) * bad
        self._skipped = self._skipped + bad
        calm = self._good >= _CALM
        self._good = torch.where(calm, 0.0, self._good + 1.0) * (1.0 - bad)
        raised = torch.where(calm, carried * 2.0, carried).clamp(max=1.0)
        self.scale = torch.where(bad > 0, (carried * 0.5).clamp(min=_LOWEST), raised)
        return bad, carried

    @property
    def bad_in_a_row(self) -> int:
        """Waits for the device."""
        return int(self._bad)

    @property
    def skipped(self) -> int:
        """Skipped steps of the whole run; waits for the device."""
        return int(self._skipped)

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        parts = (self.scale, self._bad, self._good, self._skipped)
        return {"numbers": torch.stack(parts)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from :meth:`state_dict`."""
        numbers = state["numbers"].to(self.scale.device)
        self.scale, self._bad, self._good, self._skipped = numbers.unbind()
