"""The methods that are compared, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from backend.errors import HumanRefError
from backend.settings import PRIOR_GUIDANCE, GenerateSettings, Guidance

MethodName = Literal["standard", "recon", "mirror", "body", "ref-sds", "ref-sds-global", "sds"]


@dataclass(frozen=True)
class Method:
    """One row of the comparison."""

    name: MethodName
    what: str
    """One phrase for the report."""
    guidance: Guidance | None = None
    """What colours unseen sides; None leaves the settings' own default."""
    fits: bool = True
    """False: the fitted body itself, no field."""

    @property
    def needs_prior(self) -> bool:
        """Whether it distils a diffusion prior."""
        return self.guidance in PRIOR_GUIDANCE

    def settings(self, base: GenerateSettings) -> GenerateSettings:
        """The settings of its run."""
        return base if self.guidance is None else replace(base, guidance=self.guidance)


METHODS: tuple[Method, ...] = (
    Method("standard", "what `humanref generate` makes when no guidance is named"),
    Method("recon", "reconstruction only: nothing is asked of unseen sides", "none"),
    Method("mirror", "the photo's colours carried straight to the back, the face hidden", "mirror"),
    Method("body", "the fitted body, coloured straight through by the photo", fits=False),
    Method("ref-sds", "the paper's Ref-SDS from the named prior", "ref-sds"),
    Method("ref-sds-global", "the same without regions (Fig. 8)", "ref-sds-global"),
    Method("sds", "plain SDS, text only (Fig. 7)", "sds"),
)
assert tuple(method.name for method in METHODS) == get_args(MethodName)


def choose_methods(names: Sequence[MethodName], *, prior_named: bool) -> tuple[Method, ...]:
    """The named methods, each once, in the order they were named.

    Raises:
        HumanRefError: ``methods_empty``; ``prior_missing`` where a method needs a prior and none is
            named; ``option_conflict`` where one is named and no method reads it.
    """
    table = {method.name: method for method in METHODS}
    chosen = tuple(table[name] for name in dict.fromkeys(names))
    if not chosen:
        raise HumanRefError("methods_empty", "No method is named.", "Add --methods standard.")
    wanting = [method.name for method in chosen if method.needs_prior]
    if wanting and not prior_named:
        verb = "needs" if len(wanting) == 1 else "need"
        raise HumanRefError(
            "prior_missing",
            f"{' and '.join(wanting)} {verb} a diffusion model, and none was named.",
            "Add --prior FOLDER, or leave the method out.",
        )
    if prior_named and not wanting:
        raise HumanRefError(
            "option_conflict",
            "--prior is given, but none of the methods asks a prior.",
            "Add --methods ref-sds, or leave --prior out.",
        )
    return chosen
