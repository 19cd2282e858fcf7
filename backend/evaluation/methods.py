"""The methods that are compared, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from backend.errors import HumanRefError
from backend.settings import PRIOR_GUIDANCE, GenerateSettings, Guidance

MethodName = Literal[
    "standard",
    "recon",
    "mirror",
    "body",
    "ref-sds",
    "ref-sds-global",
    "sds",
    "no-rec",
    "no-sdf",
    "no-norm",
    "no-smooth",
    "no-perceptual",
]
GroupName = Literal["all", "ablations"]
Named = MethodName | GroupName


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
    without: tuple[str, ...] = ()
    """Terms of :class:`backend.settings.LossSettings` whose weight becomes 0."""

    def settings(self, base: GenerateSettings) -> GenerateSettings:
        """The settings of its run."""
        chosen = base if self.guidance is None else replace(base, guidance=self.guidance)
        # A run that never refines has no perceptual term to leave out: it is the same run.
        prior = chosen.prior
        refines = prior.refine_from < 1.0 and prior.kept_noises == 0
        refines = refines and chosen.guidance in PRIOR_GUIDANCE
        absent = {term: 0.0 for term in self.without if term != "perceptual" or refines}
        if not absent:
            return chosen
        optimization = chosen.optimization
        losses = replace(optimization.losses, **absent)
        return replace(chosen, optimization=replace(optimization, losses=losses))

    def reads_prior(self, base: GenerateSettings) -> bool:
        """Whether its run distils a diffusion prior."""
        return self.fits and self.settings(base).guidance in PRIOR_GUIDANCE


METHODS: tuple[Method, ...] = (
    Method("standard", "what `humanref generate` makes when no guidance is named"),
    Method("recon", "reconstruction only: nothing is asked of unseen sides", "none"),
    Method("mirror", "the photo's colours carried straight to the back, the face hidden", "mirror"),
    Method("body", "the fitted body, coloured straight through by the photo", fits=False),
    Method("ref-sds", "the paper's Ref-SDS", "ref-sds"),
    Method("ref-sds-global", "Ref-SDS without regions (Fig. 8)", "ref-sds-global"),
    Method("sds", "plain SDS, text only (Fig. 7)", "sds"),
    Method(
        "no-rec",
        "standard without L_rec, the photo's colours and silhouette (Table 1); the finished mesh still "
        "takes the photo's pixels where the photo sees it",
        without=("rgb", "iou"),
    ),
    Method("no-sdf", "standard without L_SDF (Table 1)", without=("sdf",)),
    Method("no-norm", "standard without L_norm, front and back (Table 1)", without=("normal",)),
    Method("no-smooth", "standard without L_smooth (Table 1)", without=("smooth",)),
    Method(
        "no-perceptual",
        "standard without the perceptual loss to refined pictures (Fig. 9)",
        without=("perceptual",),
    ),
)
assert tuple(method.name for method in METHODS) == get_args(MethodName)

GROUPS: Mapping[Named, tuple[MethodName, ...]] = {
    "all": ("standard", "recon", "mirror", "body", "sds", "ref-sds-global"),
    "ablations": ("no-rec", "no-sdf", "no-norm", "no-smooth", "no-perceptual", "ref-sds-global"),
}
"""``all`` compares with every baseline; ``ablations`` leaves one part of the method out at a time."""


def choose_methods(
    names: Sequence[Named], settings: GenerateSettings, *, prior_named: bool
) -> tuple[Method, ...]:
    """The named methods and the groups' members, each once, in the order they were named.

    Raises:
        HumanRefError: ``methods_empty``; ``option_conflict`` where a prior is named and no method
            reads it.
    """
    table: dict[Named, Method] = {method.name: method for method in METHODS}
    single: list[Named] = []
    for name in names:
        single += GROUPS.get(name, (name,))
    chosen = tuple(table[name] for name in dict.fromkeys(single))
    if not chosen:
        raise HumanRefError("methods_empty", "No method is named.", "Add --methods standard.")
    if prior_named and not any(method.reads_prior(settings) for method in chosen):
        raise HumanRefError(
            "option_conflict",
            "--prior is given, but none of the methods asks a prior.",
            "Add --methods ref-sds, or leave --prior out.",
        )
    return chosen
